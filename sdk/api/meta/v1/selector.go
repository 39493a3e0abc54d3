package v1

import (
	"slices"
	"strings"
)

// Matches tells whether labels satisfy the selector. A nil selector matches
// nothing, an empty one everything. An operator that is not known matches
// nothing.
func (s *LabelSelector) Matches(labels map[string]string) bool {
	if s == nil {
		return false
	}
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for i := range s.MatchExpressions {
		if !s.MatchExpressions[i].Matches(labels) {
			return false
		}
	}
	return true
}

// Matches tells whether labels satisfy one requirement.
func (r *LabelSelectorRequirement) Matches(labels map[string]string) bool {
	v, ok := labels[r.Key]
	switch r.Operator {
	case LabelSelectorOpIn:
		return ok && slices.Contains(r.Values, v)
	case LabelSelectorOpNotIn:
		return !ok || !slices.Contains(r.Values, v)
	case LabelSelectorOpExists:
		return ok
	case LabelSelectorOpDoesNotExist:
		return !ok
	}
	return false
}

// String writes the selector as list options and kubectl -l take it, in a
// stable order. A selector that matches everything is "".
func (s *LabelSelector) String() string {
	if s == nil {
		return ""
	}
	var parts []string
	for k, v := range s.MatchLabels {
		parts = append(parts, k+"="+v)
	}
	for _, r := range s.MatchExpressions {
		values := slices.Clone(r.Values)
		slices.Sort(values)
		list := " (" + strings.Join(values, ",") + ")"
		switch r.Operator {
		case LabelSelectorOpIn:
			parts = append(parts, r.Key+" in"+list)
		case LabelSelectorOpNotIn:
			parts = append(parts, r.Key+" notin"+list)
		case LabelSelectorOpExists:
			parts = append(parts, r.Key)
		case LabelSelectorOpDoesNotExist:
			parts = append(parts, "!"+r.Key)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

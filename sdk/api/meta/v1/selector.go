package v1

import (
	"fmt"
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

// ParseToLabelSelector reads a selector as list options and kubectl -l take it:
// terms "k=v", "k==v", "k!=v", "k in (a,b)", "k notin (a,b)", "k" and "!k",
// separated by commas. "" matches everything.
//
// # Errors
//   - a term of another form
func ParseToLabelSelector(text string) (*LabelSelector, error) {
	s := &LabelSelector{}
	for rest := strings.TrimSpace(text); rest != ""; {
		term := rest
		end := strings.IndexByte(rest, ',')
		if open := strings.IndexByte(rest, '('); open >= 0 && open < end {
			if end = strings.IndexByte(rest, ')'); end >= 0 {
				end++
			}
		}
		if end >= 0 && end < len(rest) {
			term, rest = rest[:end], strings.TrimSpace(rest[end:])
			if rest != "" {
				if rest[0] != ',' || len(rest) == 1 {
					return nil, fmt.Errorf("selector %q: a term is missing or too much at %q", text, rest)
				}
				rest = rest[1:]
			}
		} else {
			rest = ""
		}
		r, ok := parseTerm(strings.TrimSpace(term))
		if !ok {
			return nil, fmt.Errorf("selector %q: %q is no term", text, term)
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	return s, nil
}

func parseTerm(term string) (r LabelSelectorRequirement, ok bool) {
	for _, sign := range []string{"!=", "==", "="} {
		if k, v, found := strings.Cut(term, sign); found {
			r.Key, r.Values, r.Operator = strings.TrimSpace(k), []string{strings.TrimSpace(v)}, LabelSelectorOpIn
			if sign == "!=" {
				r.Operator = LabelSelectorOpNotIn
			}
			return r, plainText(r.Key) && plainText(r.Values[0]+"x")
		}
	}
	if list, found := strings.CutSuffix(term, ")"); found {
		head, values, _ := strings.Cut(list, "(")
		words := strings.Fields(head)
		if len(words) != 2 {
			return r, false
		}
		r.Key, r.Operator = words[0], map[string]LabelSelectorOperator{"in": LabelSelectorOpIn, "notin": LabelSelectorOpNotIn}[words[1]]
		for v := range strings.SplitSeq(values, ",") {
			r.Values = append(r.Values, strings.TrimSpace(v))
		}
		return r, r.Operator != "" && plainText(r.Key)
	}
	r.Key, r.Operator = term, LabelSelectorOpExists
	if key, absent := strings.CutPrefix(term, "!"); absent {
		r.Key, r.Operator = strings.TrimSpace(key), LabelSelectorOpDoesNotExist
	}
	return r, plainText(r.Key)
}

// plainText tells whether a key or value has none of what selectors are made of.
func plainText(s string) bool { return s != "" && !strings.ContainsAny(s, " \t=!(),<>") }

package review

import (
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

func resourceAttributes(u user.Info, r *authorizationv1.ResourceAttributes) authorizer.AttributesRecord {
	a := authorizer.AttributesRecord{
		User: u, Verb: r.Verb, Namespace: r.Namespace, APIGroup: r.Group, APIVersion: r.Version,
		Resource: r.Resource, Subresource: r.Subresource, Name: r.Name, ResourceRequest: true,
	}
	if r.FieldSelector != nil {
		a.FieldSelectorRequirements, a.FieldSelectorParsingErr = fieldRequirements(r.FieldSelector)
	}
	if r.LabelSelector != nil {
		a.LabelSelectorRequirements, a.LabelSelectorParsingErr = labelRequirements(r.LabelSelector)
	}
	return a
}

// fieldRequirements knows what a field selector can say: equal and not equal.
func fieldRequirements(s *authorizationv1.FieldSelectorAttributes) (fields.Requirements, error) {
	if s.RawSelector != "" {
		sel, err := fields.ParseSelector(s.RawSelector)
		if err != nil {
			return nil, err
		}
		return sel.Requirements(), nil
	}
	var out fields.Requirements
	for _, r := range s.Requirements {
		op := selection.Equals
		switch {
		case len(r.Values) != 1:
			return nil, fmt.Errorf("field selector requirement on %q must have one value", r.Key)
		case r.Operator == metav1.FieldSelectorOpIn:
		case r.Operator == metav1.FieldSelectorOpNotIn:
			op = selection.NotEquals
		default:
			return nil, fmt.Errorf("%q is not a valid field selector operator", r.Operator)
		}
		out = append(out, fields.Requirement{Field: r.Key, Operator: op, Value: r.Values[0]})
	}
	return out, nil
}

func labelRequirements(s *authorizationv1.LabelSelectorAttributes) (labels.Requirements, error) {
	var sel labels.Selector
	var err error
	if s.RawSelector != "" {
		sel, err = labels.Parse(s.RawSelector)
	} else {
		sel, err = metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: s.Requirements})
	}
	if err != nil {
		return nil, err
	}
	out, _ := sel.Requirements()
	return out, nil
}

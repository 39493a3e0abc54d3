package registry

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	operator "k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pintle-io/pintle/kernel/watch"
)

// selection is what a list or a watch looks at.
type selection struct {
	namespace string
	name      string // "" for all
	// field, value: one of the kind's fields that must have a value; the
	// watch cache has an index of these.
	field, value string
	// match is nil when everything in namespace and of name matches.
	match func(*watch.Object) bool
	// none: no object can match.
	none bool
}

// whole reports that everything of the namespace is selected.
func (s *selection) whole() bool {
	return s.name == "" && s.field == "" && s.match == nil && !s.none
}

const (
	fieldName      = "metadata.name"
	fieldNamespace = "metadata.namespace"
)

func (c *Core) selection(k *kind, t Target, o metav1.ListOptions) (*selection, error) {
	s := &selection{namespace: k.scope(t.Namespace), name: t.Name}
	byLabel, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	byField, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	if err := selectorCost(byLabel, byField); err != nil {
		return nil, err
	}
	byField, err = byField.Transform(func(label, value string) (string, string, error) {
		return c.fieldLabel(k, t, label, value)
	})
	if err != nil {
		return nil, badRequest(err.Error())
	}
	if name, ok := byField.RequiresExactMatch(fieldName); t.Name != "" && (ok && name != t.Name || !ok && !byField.Empty()) {
		return nil, badRequest("fieldSelector metadata.name doesn't match requested name")
	}
	byField = s.narrow(k, byField)
	s.match = matcher(k, byLabel, byField)
	return s, nil
}

// selectorCost refuses a selector that is too dear to be asked about every
// object.
func selectorCost(byLabel labels.Selector, byField fields.Selector) error {
	n := len(byField.Requirements())
	terms, _ := byLabel.Requirements()
	for _, r := range terms {
		n += max(len(r.ValuesUnsorted()), 1)
	}
	if n > maxSelector {
		return badRequestf("the selector has %d terms and values, the limit is %d", n, maxSelector)
	}
	return nil
}

// fieldLabel checks a field selector's label and brings it to the hub's
// spelling.
func (c *Core) fieldLabel(k *kind, t Target, label, value string) (string, string, error) {
	if label == fieldName || slices.Contains(k.Strategy.FieldLabels, label) {
		return label, value, nil
	}
	newLabel, newValue, err := k.types.ConvertFieldLabel(c.kindIn(k, t), label, value)
	if err != nil {
		return "", "", err
	}
	if newLabel != fieldName && newLabel != fieldNamespace && k.Strategy.Fields == nil {
		return "", "", fmt.Errorf("field label not supported: %s", label)
	}
	return newLabel, newValue, nil
}

// narrow takes the conditions out that a selection holds by itself (name,
// namespace, and the first field with an exact value) and returns the others.
// In a selection "" is no condition, in a selector it is a value like any
// other: what no object can have selects nothing.
func (s *selection) narrow(k *kind, sel fields.Selector) fields.Selector {
	var left []fields.Selector
	for _, r := range sel.Requirements() {
		exact := r.Operator == operator.Equals || r.Operator == operator.DoubleEquals
		switch {
		case exact && r.Field == fieldName:
			s.require(&s.name, r.Value, r.Value != "")
		case exact && r.Field == fieldNamespace && k.Namespaced:
			s.require(&s.namespace, r.Value, len(validation.IsDNS1123Label(r.Value)) == 0)
		case exact && s.field == "" && r.Field != fieldNamespace:
			s.field, s.value = r.Field, r.Value
		case exact:
			left = append(left, fields.OneTermEqualSelector(r.Field, r.Value))
		default:
			left = append(left, fields.OneTermNotEqualSelector(r.Field, r.Value))
		}
	}
	return fields.AndSelectors(left...)
}

// require sets a condition that is "" so far. One that no object can fulfil,
// or not together with what is set, selects nothing.
func (s *selection) require(condition *string, value string, possible bool) {
	switch {
	case !possible || *condition != "" && *condition != value:
		s.none = true
	default:
		*condition = value
	}
}

// matcher is nil if both selectors select everything.
func matcher(k *kind, byLabel labels.Selector, byField fields.Selector) func(*watch.Object) bool {
	switch {
	case byLabel.Empty() && byField.Empty():
		return nil
	case byField.Empty():
		return func(o *watch.Object) bool { return byLabel.Matches(labelsOf(o.Obj)) }
	}
	return func(o *watch.Object) bool {
		return (byLabel.Empty() || byLabel.Matches(labelsOf(o.Obj))) && byField.Matches(fieldsOf{k, o})
	}
}

func labelsOf(obj runtime.Object) labels.Set {
	m, err := accessor(obj)
	if err != nil {
		return nil
	}
	return m.GetLabels()
}

// fieldsOf looks a field up without building a set where the metadata is
// enough.
type fieldsOf struct {
	k *kind
	o *watch.Object
}

func (f fieldsOf) Get(field string) string {
	switch {
	case field == fieldName:
		return f.o.Name
	case field == fieldNamespace:
		return f.o.Namespace
	case f.k.Strategy.Fields == nil:
		return ""
	}
	return f.k.Strategy.Fields(f.o.Obj).Get(field)
}

func (f fieldsOf) Has(field string) bool {
	if field == fieldName || field == fieldNamespace {
		return true
	}
	return f.k.Strategy.Fields != nil && f.k.Strategy.Fields(f.o.Obj).Has(field)
}

// checkListOptions refuses combinations that have no meaning, in upstream's
// words.
func checkListOptions(o metav1.ListOptions, watching bool) error {
	errs := listFaults(o)
	if watching {
		errs = watchFaults(o)
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", errs)
}

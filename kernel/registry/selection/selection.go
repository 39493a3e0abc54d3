// Package selection is what a list or a watch looks at: label and field selectors and
// names, checked and brought to the form in which the watch cache can use them; the
// options that go with them; and pages, with the tokens that continue them and the
// snapshots that those refer to.
//
// It reads no store, waits for nothing and answers no client. Start reading at
// [Parse].
package selection

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	operator "k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Kind is what a selection asks of the resource's kind.
type Kind struct {
	*resource.Definition
	Types runtime.ObjectConvertor // knows the spelling of fields in other versions
}

// Selection is what a list or a watch looks at. It is immutable and safe for
// concurrent use.
type Selection struct {
	kind      Kind
	Namespace string // "" for all
	name      string // "" for all
	// field, value: one of the kind's fields that must have a value; the
	// watch cache has an index of these.
	field, value string
	// match is nil when everything in Namespace and of name matches.
	match func(*watch.Object) bool
	// none: no object can match.
	none bool
	// selective: there were selectors, whatever became of them.
	selective bool
}

// Selective reports that selectors were given, be it only for a name or namespace:
// what is left of such a list is not counted for the client.
func (s *Selection) Selective() bool { return s.selective }

// None reports that no object can match.
func (s *Selection) None() bool { return s.none }

// Whole reports that everything of the namespace is selected.
func (s *Selection) Whole() bool {
	return s.name == "" && s.field == "" && s.match == nil && !s.none
}

const (
	fieldName      = "metadata.name"
	fieldNamespace = "metadata.namespace"
)

// maxTerms bounds the terms of a selector, labels and fields alike, and the values in
// them: each is compared with each object, and for a watch with each event.
const maxTerms = 1000

// Parse makes the selection of a request in a version of the kind. namespace is the
// one that the cache knows the objects under, name may be empty.
//
// # Errors
//   - BadRequest
func Parse(k Kind, version schema.GroupVersionKind, namespace, name string, o metav1.ListOptions) (*Selection, error) {
	s := &Selection{kind: k, Namespace: namespace, name: name}
	byLabel, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if err := selectorCost(byLabel, byField); err != nil {
		return nil, err
	}
	byField, err = byField.Transform(func(label, value string) (string, string, error) {
		return k.fieldLabel(version, label, value)
	})
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if exact, ok := byField.RequiresExactMatch(fieldName); name != "" && (ok && exact != name || !ok && !byField.Empty()) {
		return nil, apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
	}
	s.selective = !byLabel.Empty() || !byField.Empty()
	byField = s.narrow(byField)
	s.match = matcher(k, byLabel, byField)
	return s, nil
}

// selectorCost refuses a selector that is too expensive to be asked about every
// object.
func selectorCost(byLabel labels.Selector, byField fields.Selector) error {
	n := len(byField.Requirements())
	terms, _ := byLabel.Requirements()
	for _, r := range terms {
		n += max(len(r.ValuesUnsorted()), 1)
	}
	if n > maxTerms {
		return apierrors.NewBadRequest(fmt.Sprintf("the selector has %d terms and values, the limit is %d", n, maxTerms))
	}
	return nil
}

// fieldLabel checks a field selector's label and brings it to the hub's
// spelling.
func (k Kind) fieldLabel(version schema.GroupVersionKind, label, value string) (string, string, error) {
	if label == fieldName || slices.Contains(k.Strategy.FieldLabels, label) {
		return label, value, nil
	}
	newLabel, newValue, err := k.Types.ConvertFieldLabel(version, label, value)
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
func (s *Selection) narrow(sel fields.Selector) fields.Selector {
	var left []fields.Selector
	for _, r := range sel.Requirements() {
		exact := r.Operator == operator.Equals || r.Operator == operator.DoubleEquals
		switch {
		case exact && r.Field == fieldName:
			s.require(&s.name, r.Value, r.Value != "")
		case exact && r.Field == fieldNamespace && s.kind.Namespaced:
			s.require(&s.Namespace, r.Value, len(validation.IsDNS1123Label(r.Value)) == 0)
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
func (s *Selection) require(condition *string, value string, possible bool) {
	switch {
	case !possible || *condition != "" && *condition != value:
		s.none = true
	default:
		*condition = value
	}
}

// matcher is nil if both selectors select everything.
func matcher(k Kind, byLabel labels.Selector, byField fields.Selector) func(*watch.Object) bool {
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
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil
	}
	return m.GetLabels()
}

// fieldsOf looks a field up without building a set where the metadata is
// enough.
type fieldsOf struct {
	k Kind
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

// Filter is the selection as the watch cache takes it.
func (s *Selection) Filter() watch.Filter {
	f := watch.Filter{Namespace: s.Namespace, Name: s.name, Field: s.field, Value: s.value, Match: s.match}
	if s.none {
		f.Match = func(*watch.Object) bool { return false }
	}
	return f
}

// Source is a view of a resource's objects at one revision.
type Source interface {
	Revision() int64
	Ascend(namespace, after string, fn func(*watch.Object) bool)
}

// Ascend calls fn for the selected objects behind a key until it returns
// false.
func (s *Selection) Ascend(src Source, after string, fn func(*watch.Object) bool) {
	if snap, ok := src.(watch.Snapshot); ok && s.name != "" && (s.Namespace != "" || !s.kind.Namespaced) {
		if o := snap.Get(s.Namespace, s.name); o != nil && o.Key > after && s.selects(o) {
			fn(o)
		}
		return
	}
	src.Ascend(s.Namespace, after, func(o *watch.Object) bool {
		return !s.selects(o) || fn(o)
	})
}

func (s *Selection) selects(o *watch.Object) bool {
	return (s.name == "" || s.name == o.Name) &&
		(s.field == "" || fieldsOf{s.kind, o}.Get(s.field) == s.value) &&
		(s.match == nil || s.match(o))
}

package selection

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	operator "k8s.io/apimachinery/pkg/selection"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Outside is the part of a field selector whose fields have to be asked for outside of
// the process: those of a kind whose versions a webhook converts, in the version of
// the request. The watch cache cannot wait for that, so that whoever has the objects of
// the rest of the selector chooses among them.
type Outside struct {
	selector fields.Selector
	version  schema.GroupVersion
	types    resource.Deferrer
}

// Split takes that part out of options that Parse takes; nil if there is none. A list of
// the rest is whole: a page of it would not be one of what is chosen.
func Split(k Kind, version schema.GroupVersion, o metav1.ListOptions) (rest metav1.ListOptions, outside *Outside) {
	types, ok := k.Types.(resource.Deferrer)
	if !ok || !types.Defers() || o.FieldSelector == "" {
		return o, nil
	}
	sel, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return o, nil // Parse says so
	}
	var in, out []fields.Selector
	for _, r := range sel.Requirements() {
		term := fields.OneTermEqualSelector(r.Field, r.Value)
		if r.Operator == operator.NotEquals {
			term = fields.OneTermNotEqualSelector(r.Field, r.Value)
		}
		if r.Field == fieldName || r.Field == fieldNamespace {
			in = append(in, term)
		} else {
			out = append(out, term)
		}
	}
	if out == nil {
		return o, nil
	}
	o.FieldSelector, o.Limit = fields.AndSelectors(in...).String(), 0
	return o, &Outside{fields.AndSelectors(out...), version, types}
}

// chosen tells which of the objects are selected; nil ones are not.
func (x *Outside) chosen(ctx context.Context, objs []*watch.Object) ([]bool, error) {
	in := make([]runtime.Object, 0, len(objs))
	for _, o := range objs {
		if o != nil {
			in = append(in, o.Obj)
		}
	}
	sets, err := x.types.FieldsIn(ctx, in, x.version)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(objs))
	for i, o := range objs {
		if o != nil {
			out[i], sets = x.selector.Matches(sets[0]), sets[1:]
		}
	}
	return out, nil
}

// Items are those of a list that are selected, in their order.
func (x *Outside) Items(ctx context.Context, items []*watch.Object) ([]*watch.Object, error) {
	chosen, err := x.chosen(ctx, items)
	if err != nil {
		return nil, err
	}
	var out []*watch.Object
	for i, o := range items {
		if chosen[i] {
			out = append(out, o)
		}
	}
	return out, nil
}

// Events are what is seen of changes, in their order, in the array of events.
func (x *Outside) Events(ctx context.Context, events []watch.Event) ([]watch.Event, error) {
	states := make([]*watch.Object, 0, 2*len(events))
	for _, e := range events {
		now := e.Object
		if e.Type == watch.Bookmark || e.Type == watch.Deleted {
			now = nil
		}
		prev := e.Prev
		if e.Type == watch.Added { // by the other selectors: who watches has not seen it
			prev = nil
		}
		states = append(states, prev, now)
	}
	chosen, err := x.chosen(ctx, states)
	if err != nil {
		return nil, err
	}
	out := events[:0]
	for i, e := range events {
		if e.Type == watch.Bookmark {
			out = append(out, e)
		} else if e, ok := e.Seen(chosen[2*i], chosen[2*i+1]); ok {
			out = append(out, e)
		}
	}
	return out, nil
}

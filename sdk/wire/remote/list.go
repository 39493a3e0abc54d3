package remote

import (
	"fmt"
	"reflect"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// maxHeld bounds what an instance keeps of its lists, in bytes as they
// came; decoded objects take two to three times as much. A larger list is
// decoded anew each time.
const maxHeld = 24 << 20

// listKey names a list that may be held.
type listKey struct {
	elem                                reflect.Type
	resource, namespace, labels, fields string
	owner                               wire.Owner
	limit                               uint64
}

// heldList is the last answer to a list, to be changed by the next.
type heldList struct {
	token uint64
	more  uint64        // beyond the limit
	items reflect.Value // []*T
	sizes []int         // bytes of each item
	size  int
	used  uint64
}

func (c *caller) List(list any, o client.ListOptions) error {
	out := reflect.ValueOf(list)
	if out.Kind() != reflect.Pointer || out.Elem().Kind() != reflect.Slice || out.Elem().Type().Elem().Kind() != reflect.Pointer {
		return fmt.Errorf("list into %T: a pointer to a slice of pointers is needed", list)
	}
	out = out.Elem()
	elem := out.Type().Elem()
	probe, ok := reflect.New(elem.Elem()).Interface().(client.Object)
	if !ok {
		return fmt.Errorf("list into %T: %s has no APIResource", list, elem)
	}
	if o.Resource == "" {
		o.Resource = probe.APIResource()
	}
	owner, err := narrowed(&o)
	if err != nil {
		return err
	}
	key := listKey{elem, o.Resource, o.Namespace, o.Labels, o.Fields, owner, uint64(max(o.Limit, 0))}
	old := c.lists[key]
	if old == nil {
		old = &heldList{items: reflect.Zero(reflect.SliceOf(elem))}
	}
	resp, err := c.do(wire.HostList, wire.ListRequest{Resource: key.resource, Namespace: o.Namespace, Labels: o.Labels,
		Fields: o.Fields, Owner: owner, Only: record.FieldsOf(elem.Elem()).String(), Token: old.token, Limit: key.limit, Fresh: o.Fresh}.Append)
	if err != nil {
		return err
	}
	now, err := applyList(old, elem, resp)
	if err != nil {
		c.forget(key)
		return fmt.Errorf("list %s: %w", key.resource, err)
	}
	c.hold(key, now)
	mine := reflect.MakeSlice(out.Type(), now.items.Len(), now.items.Len())
	reflect.Copy(mine, now.items)
	out.Set(mine)
	if o.Remaining != nil {
		*o.Remaining = int(min(now.more, 1<<30))
	}
	return nil
}

// narrowed is how a list is narrowed on the wire, by owner or by an index.
func narrowed(o *client.ListOptions) (wire.Owner, error) {
	switch {
	case o.By == client.Index{}:
		return o.Owner, nil
	case o.Owner != wire.Owner{} || o.Fields != "" || o.Fresh:
		return wire.Owner{}, wire.Errorf(wire.KindBadRequest, "a list By an index takes no Owner or Fields, and cannot be Fresh")
	}
	if err := record.CheckPath(o.By.Path); err != nil {
		return wire.Owner{}, wire.Errorf(wire.KindBadRequest, "list By: %v", err)
	}
	return wire.AtPath(o.By.Path, o.By.Value), nil
}

// applyList makes the new list from the held one and the answer's edits.
func applyList(old *heldList, elem reflect.Type, resp []byte) (*heldList, error) {
	r := wire.NewReader(resp)
	now := &heldList{token: r.Uint()}
	full, n := r.Bool(), int(min(r.Uint(), 1<<30))
	if full {
		old = &heldList{items: reflect.Zero(reflect.SliceOf(elem))}
	}
	// Every item is either held or takes bytes of the answer.
	if n > old.items.Len()+len(r.Rest()) {
		return nil, wire.Errorf(wire.KindProtocol, "list of %d items in %d bytes", n, len(resp))
	}
	now.items = reflect.MakeSlice(reflect.SliceOf(elem), 0, n)
	now.sizes = make([]int, 0, n)
	for at := 0; now.items.Len() < n; {
		keep, drop, add := r.Uint(), r.Uint(), r.Uint()
		left := uint64(old.items.Len() - at)
		if err := r.Err(); err != nil {
			return nil, err
		}
		if keep > left || drop > left-keep || keep|drop|add == 0 {
			return nil, wire.Errorf(wire.KindProtocol, "list edit beyond the held list")
		}
		end := at + int(keep)
		now.items = reflect.AppendSlice(now.items, old.items.Slice(at, end))
		now.sizes = append(now.sizes, old.sizes[at:end]...)
		at = end + int(drop)
		for range add {
			body := r.Bytes()
			if err := r.Err(); err != nil {
				return nil, err
			}
			obj := reflect.New(elem.Elem())
			if err := record.Decode(body, obj.Interface()); err != nil {
				return nil, err
			}
			now.items, now.sizes = reflect.Append(now.items, obj), append(now.sizes, len(body))
		}
	}
	if len(r.Rest()) > 0 { // an older host sends none
		now.more = r.Uint()
		if err := r.Err(); err != nil {
			return nil, err
		}
	}
	for _, s := range now.sizes {
		now.size += s
	}
	return now, nil
}

// hold keeps a list in place of the one before and drops those used longest
// ago while there is too much.
func (c *caller) hold(key listKey, l *heldList) {
	c.forget(key)
	if l.size > maxHeld || l.items.Len() == 0 {
		return
	}
	c.clock++
	l.used = c.clock
	c.lists[key] = l
	c.held += l.size
	for c.held > maxHeld {
		oldest, found := listKey{}, false
		for k, h := range c.lists {
			if !found || h.used < c.lists[oldest].used {
				oldest, found = k, true
			}
		}
		c.forget(oldest)
	}
}

func (c *caller) forget(key listKey) {
	if l := c.lists[key]; l != nil {
		c.held -= l.size
		delete(c.lists, key)
	}
}

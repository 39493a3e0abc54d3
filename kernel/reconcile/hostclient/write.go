package hostclient

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

func (c *Config) options() registry.WriteOptions {
	return registry.WriteOptions{FieldManager: c.Plugin, FieldValidation: metav1.FieldValidationIgnore,
		MayCreate: func(_ context.Context, t registry.Target) error { return c.May("create", t) }}
}

// decode reads the object of a write and completes the target from it.
func (c *Config) decode(q wire.WriteRequest) (registry.Target, runtime.Object, error) {
	t, d, err := c.resolve(q.Resource)
	if err != nil {
		return t, nil, err
	}
	t.Subresource = q.Subresource
	if err := actsBy(q.Verb, t, d); err != nil {
		return t, nil, err
	}
	obj, err := c.object(q.Object, t, d)
	if err != nil {
		return t, nil, err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return t, nil, err
	}
	t.Namespace, t.Name = m.GetNamespace(), m.GetName()
	if q.Verb == "create" && t.Subresource == "" {
		t.Name = ""
	}
	if err := placed(&t, q.Resource, d); err != nil {
		return t, nil, err
	}
	return t, obj, c.May(q.Verb, t)
}

// actsBy tells who would post to a subresource that takes no posts.
func actsBy(verb string, t registry.Target, d *resource.Definition) error {
	if verb != "create" || t.Subresource == "" {
		return nil
	}
	if s := d.Subresource(t.Subresource); s == nil || s.Style != resource.StyleAction {
		return wire.Errorf(wire.KindUnsupported, "%s of %s have no subresource %q to create", t.Resource.Resource, t.Resource.GroupVersion(), t.Subresource)
	}
	return nil
}

// object reads what is sent to a target. An author's types need not name their kind,
// as client-go's typed objects do not: it follows from the resource. Another kind is
// refused.
func (c *Config) object(body []byte, t registry.Target, d *resource.Definition) (runtime.Object, error) {
	gvk, accepts := kindAt(t, d)
	if d.Types != nil && gvk.Kind == d.Kind {
		// The objects of custom kinds are nothing but their fields: without these two
		// they are none.
		var err error
		if body, err = typed(body, gvk); err != nil {
			return nil, err
		}
	}
	want := gvk
	obj, got, _, err := c.Codec.DecodeRequest(body, jsonType, &want, false)
	if err != nil {
		return nil, err
	}
	if got == nil || *got == gvk {
		return obj, nil
	}
	if slices.Contains(accepts, *got) {
		return c.Codec.Versioned(obj, gvk.GroupVersion())
	}
	return nil, wire.Errorf(wire.KindBadRequest, "apiVersion %q and kind %q do not belong to resource %q, whose objects are %s of %s: leave both out, or name these",
		got.GroupVersion(), got.Kind, t.Resource.GroupResource(), gvk.Kind, gvk.GroupVersion())
}

// kindAt is the kind that is sent to a target, and the others that are taken for it.
func kindAt(t registry.Target, d *resource.Definition) (schema.GroupVersionKind, []schema.GroupVersionKind) {
	if s := d.Subresource(t.Subresource); s != nil && s.Kind.Kind != "" {
		return s.Kind, s.Accepts
	}
	return t.Resource.GroupVersion().WithKind(d.Kind), nil
}

// spend takes one write out of the plugin's budget. It is called behind May,
// so that what is not allowed costs nothing.
func (c *Config) spend(bytes int) error { return c.Budget.write(c.Plugin, 1, bytes) }

func (k *Client) write(ctx context.Context, r *wire.Reader) error {
	q := r.WriteRequest()
	if err := r.Err(); err != nil {
		return err
	}
	if q.Verb == "apply" {
		return k.apply(ctx, q)
	}
	only, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	t, obj, err := k.c.decode(q)
	if err != nil {
		return err
	}
	if err := k.c.spend(len(q.Object)); err != nil {
		return err
	}
	var res *registry.Result
	switch q.Verb {
	case "create":
		res, err = k.c.Registry.Create(ctx, t, obj, k.c.options())
	case "update":
		res, err = k.c.Registry.Update(ctx, t, obj, k.c.options())
	default:
		return wire.Errorf(wire.KindBadRequest, "verb %q: want create, update or apply", q.Verb)
	}
	return k.finish(res, err, t, only)
}

// finish answers the object as stored.
func (k *Client) finish(res *registry.Result, err error, t registry.Target, only *record.Plan) error {
	if err != nil || res == nil {
		return err
	}
	k.c.wrote(t, res)
	if s := res.Answer; s != nil && res.Object == nil {
		return k.answerProjection(s, only)
	}
	return k.answer(res.Object, t, only)
}

func (k *Client) apply(ctx context.Context, q wire.WriteRequest) error {
	only, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	// Decoded for its name only: apply takes the fields as they were sent.
	t, _, err := k.c.decode(wire.WriteRequest{Verb: "patch", Resource: q.Resource, Subresource: q.Subresource, Object: q.Object})
	if err != nil {
		return err
	}
	if err := k.c.spend(len(q.Object)); err != nil {
		return err
	}
	d := k.c.Catalog.Lookup(t.Resource.GroupResource())
	if d == nil {
		return wire.Errorf(wire.KindNotFound, "there is no resource %q", q.Resource) // it went this moment
	}
	gvk, _ := kindAt(t, d)
	body, err := typed(q.Object, gvk)
	if err != nil {
		return err
	}
	o := k.c.options()
	o.Force = q.Force
	res, err := k.c.Registry.Patch(ctx, t, types.ApplyPatchType, body, o)
	return k.finish(res, err, t, only)
}

// typed fills in apiVersion and kind where they are not said.
func typed(body []byte, gvk schema.GroupVersionKind) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "object: %v", err)
	}
	if fields == nil {
		return nil, wire.Errorf(wire.KindBadRequest, "object: want a JSON object, not null")
	}
	missing := false
	for name, v := range map[string]string{"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind} {
		switch string(fields[name]) {
		case "", `""`, "null":
			fields[name], missing = strconv.AppendQuote(nil, v), true
		}
	}
	if !missing {
		return body, nil
	}
	return json.Marshal(fields)
}

func (k *Client) patch(ctx context.Context, r *wire.Reader) error {
	q := r.PatchRequest()
	if err := r.Err(); err != nil {
		return err
	}
	only, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	t, _, err := k.c.target(q.Resource, q.Namespace, q.Name, q.Subresource)
	if err != nil {
		return err
	}
	if err := k.c.May("patch", t); err != nil {
		return err
	}
	if err := k.c.spend(len(q.Data)); err != nil {
		return err
	}
	res, err := k.c.Registry.Patch(ctx, t, types.PatchType(q.Type), q.Data, k.c.options())
	return k.finish(res, err, t, only)
}

func deleteOptions(q wire.DeleteRequest) metav1.DeleteOptions {
	var o metav1.DeleteOptions
	if q.UID != nil || q.ResourceVersion != nil {
		o.Preconditions = &metav1.Preconditions{UID: (*types.UID)(q.UID), ResourceVersion: q.ResourceVersion}
	}
	if q.Propagation != "" {
		p := metav1.DeletionPropagation(q.Propagation)
		o.PropagationPolicy = &p
	}
	if q.Grace >= 0 {
		o.GracePeriodSeconds = &q.Grace
	}
	return o
}

func (k *Client) delete(ctx context.Context, r *wire.Reader) error {
	q := r.DeleteRequest()
	if err := r.Err(); err != nil {
		return err
	}
	t, _, err := k.c.target(q.Resource, q.Namespace, q.Name, "")
	if err != nil {
		return err
	}
	if err := k.c.May("delete", t); err != nil {
		return err
	}
	if err := k.c.spend(0); err != nil {
		return err
	}
	res, err := k.c.Registry.Delete(ctx, t, deleteOptions(q))
	if err == nil {
		k.c.wrote(t, res)
	}
	return err
}

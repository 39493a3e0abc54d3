package hostclient

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// subresource answers what a subresource makes of an object (scale), not older than the
// plugin's own last write.
func (k *Client) subresource(ctx context.Context, r *wire.Reader) error {
	q := r.SubresourceRequest()
	if err := r.Err(); err != nil {
		return err
	}
	t, d, err := k.c.target(q.Resource, q.Namespace, q.Name, q.Subresource)
	if err != nil {
		return err
	}
	if err := k.c.May("get", t); err != nil {
		return err
	}
	if err := projects(t, d); err != nil {
		return err
	}
	only, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	obj, err := k.c.Registry.GetProjection(ctx, t, metav1.GetOptions{ResourceVersion: k.c.since()})
	if err != nil {
		return err
	}
	return k.answerProjection(obj, only)
}

// projects tells apart that a kind has no such subresource, which no look at its objects
// changes, and that there is no such object.
func projects(t registry.Target, d *resource.Definition) error {
	s := d.Subresource(t.Subresource)
	if s == nil || s.Style != resource.StyleProjection || !s.In(t.Resource.Version) {
		return wire.Errorf(wire.KindUnsupported, "%s of %s have no subresource %q to get", t.Resource.Resource, t.Resource.GroupVersion(), t.Subresource)
	}
	return nil
}

// answerProjection answers an object that is nowhere stored as it is.
func (k *Client) answerProjection(obj runtime.Object, only *record.Plan) (err error) {
	k.buf, err = only.Append(k.buf, obj)
	return err
}

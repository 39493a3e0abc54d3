package controller

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

// Open is called by the hosts.
func (p *Points) Open(h instance.Host) instance.Instance {
	fields := make([]*record.Fields, len(p.Watches))
	for i, w := range p.Watches {
		var err error
		if fields[i], err = record.FieldsOfPaths(w.Fields...); err != nil {
			panic(fmt.Sprintf("controller.Watch.Fields of %s, %s: %v", h.Plugin, w.Resource, err))
		}
	}
	o := &opened{plugin: h.Plugin, points: p, fields: fields}
	o.client = remote.NewClientAt(h.Call, func() time.Time { return o.now })
	return o
}

// opened is the points as the dispatcher of a guest sees them.
type opened struct {
	plugin string
	points *Points
	fields []*record.Fields // by watch
	client client.Client
	now    time.Time // of the request in hand
}

func (o *opened) Describe(m *wire.Manifest) {
	m.Points |= wire.PointController
	m.Workers = uint32(max(o.points.Workers, 1))
	m.Implements = append(m.Implements, o.points.Implements...)
	for i, w := range o.points.Watches {
		if w.Resource == AllResources && !w.Metadata {
			w.Resource = "* without Metadata" // which no kernel follows, and says so
		}
		if o.points.Implements == nil && w.Map.Kind == MapSelf && w.Resource != AllResources {
			m.Implements = append(m.Implements, w.Resource)
		}
		m.Watches = append(m.Watches, wire.Watch{Resource: w.Resource, Map: uint8(w.Map.Kind), Arg: w.Map.Arg,
			ToNamespace: w.Map.To.Namespace, ToName: w.Map.To.Name, Present: w.Present, Fields: o.fields[i].String()})
	}
}

func (o *opened) Serves(op wire.Op) bool { return op == wire.OpReconcile || op == wire.OpMap }

func (o *opened) Serve(out []byte, op wire.Op, req, _ []byte) ([]byte, error) {
	if op == wire.OpMap {
		return o.mapObject(out, req)
	}
	return o.reconcile(out, req)
}

func (o *opened) reconcile(out, req []byte) ([]byte, error) {
	q, now, err := wire.ReconcileRequest(req)
	if err != nil {
		return out, err
	}
	if o.now = now; now.IsZero() {
		o.now = time.Now()
	}
	res, err := o.points.Reconcile(o.client, Request(q))
	if err != nil {
		return out, err
	}
	return wire.AppendReconcileResult(out, res.RequeueAfter, frames(res.Enqueue)), nil
}

func (o *opened) mapObject(out, req []byte) ([]byte, error) {
	i, b, err := wire.MapRequest(req)
	if err != nil {
		return out, err
	}
	if i < 0 || i >= len(o.points.Watches) || o.points.Watches[i].Map.Func == nil {
		return out, wire.Errorf(wire.KindUnsupported, "plugin %s has no map function %d", o.plugin, i)
	}
	object, err := record.Parse(b, o.fields[i])
	if err != nil {
		return out, wire.Errorf(wire.KindProtocol, "%v", err)
	}
	requests := o.points.Watches[i].Map.Func(object)
	if name := object.Undeclared(); name != "" {
		return out, fmt.Errorf("the map of %s reads %q, which its Fields do not declare", o.points.Watches[i].Resource, name)
	}
	return wire.AppendRequests(out, frames(requests)), nil
}

func frames(list []Request) []wire.Request {
	out := make([]wire.Request, len(list))
	for i, q := range list {
		out[i] = wire.Request(q)
	}
	return out
}

func (o *opened) Close() {
	if o.points.Close != nil {
		o.points.Close()
	}
}

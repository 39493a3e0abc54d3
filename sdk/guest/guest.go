// Package guest is the one dispatcher that answers the kernel's operations,
// whichever host runs the plugin: hosts differ only in how a request reaches
// [Guest.Handle].
package guest

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/tape"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Guest is one instance of a plugin, before and after it is opened. It is used
// by one goroutine at a time.
type Guest struct {
	call   sdk.HostCall
	client sdk.Client
	reader sdk.Reader
	name   string
	points *sdk.Points
	sched  *sdk.Scheduling
	out    []byte
}

// New makes a guest that reaches the kernel through call.
func New(call sdk.HostCall) *Guest {
	return &Guest{call: call, client: sdk.NewClient(call), reader: sdk.NewReader(call)}
}

// Handle answers one operation with a framed response, valid until the next.
// region is the memory shared with the kernel, nil when there is none. A
// panic of the plugin is not caught here: what it means is up to the host.
func (g *Guest) Handle(op wire.Op, req, region []byte) []byte {
	out, err := g.handle(append(g.out[:0], 0), op, req, region)
	if err != nil {
		out = wire.AppendResult(out[:0], nil, err)
	}
	g.out = out
	return out
}

// handle appends the payload of the response to out.
func (g *Guest) handle(out []byte, op wire.Op, req, region []byte) ([]byte, error) {
	switch op {
	case wire.OpHandshake:
		return handshake(out), nil
	case wire.OpOpen:
		return g.open(out, req)
	}
	if g.points == nil {
		return out, wire.Errorf(wire.KindProtocol, "%s before open", op)
	}
	switch op {
	case wire.OpMutate:
		return g.review(out, op, g.points.Mutate, req)
	case wire.OpValidate:
		return g.review(out, op, g.points.Validate, req)
	case wire.OpReconcile:
		return g.reconcile(out, req)
	case wire.OpMap:
		return g.mapObject(out, req)
	case wire.OpClose:
		return out, g.close()
	}
	if op >= wire.OpScheduling {
		resp, err := g.sched.Handle(op, req, region)
		return append(out, resp...), err
	}
	return out, wire.Errorf(wire.KindUnsupported, "%s is unknown to this plugin", op)
}

func handshake(out []byte) []byte {
	all := sdk.Registered()
	out = wire.AppendUint(out, uint64(len(all)))
	for _, p := range all {
		out = wire.AppendManifest(out, wire.Manifest{Name: p.Name, Version: p.Version, Major: wire.Major, Minor: wire.Minor})
	}
	return out
}

func (g *Guest) open(out, req []byte) ([]byte, error) {
	r := wire.NewReader(req)
	name, config := r.Str(), r.Bytes()
	if err := r.Err(); err != nil {
		return out, err
	}
	p, ok := sdk.Lookup(name)
	if !ok {
		return out, wire.Errorf(wire.KindNotFound, "no plugin %q in this module", name)
	}
	points, err := p.New(append([]byte(nil), config...))
	if err != nil {
		return out, err
	}
	if points == nil {
		points = &sdk.Points{}
	}
	g.name, g.points = name, points
	g.sched = sdk.NewScheduling(name, points)
	return wire.AppendManifest(out, Manifest(p, points)), nil
}

func (g *Guest) close() error {
	if g.points.Close != nil {
		g.points.Close()
	}
	g.points = nil
	return nil
}

func (g *Guest) review(out []byte, op wire.Op, rule func(*sdk.Review) error, req []byte) ([]byte, error) {
	if rule == nil {
		return out, wire.Errorf(wire.KindUnsupported, "plugin %s does not serve %s", g.name, op)
	}
	r := wire.NewReader(req)
	h, object, old := r.Review(req)
	if err := r.Err(); err != nil {
		return out, err
	}
	review := sdk.Review{Operation: sdk.Operation(h.Operation), Resource: h.Resource, Subresource: h.Subresource, Kind: h.Kind,
		Namespace: h.Namespace, Name: h.Name, User: h.User, Groups: h.Groups, DryRun: h.DryRun, Reader: g.reader}
	for _, part := range []struct {
		tape []byte
		to   *sdk.Value
	}{{object, &review.Object}, {old, &review.Old}} {
		t, err := tape.Parse(part.tape)
		if err != nil {
			return out, wire.Errorf(wire.KindProtocol, "%v", err)
		}
		*part.to = t.Root()
	}
	if err := rule(&review); err != nil {
		return out, err
	}
	return verdict(review.Verdict()).Append(out), nil
}

func verdict(v sdk.Verdict) wire.Verdict {
	w := wire.Verdict{Denied: v.Denied, Message: v.Message, Warnings: v.Warnings, Forbidden: v.Forbidden}
	for _, p := range v.Patch {
		w.Patch = append(w.Patch, wire.PatchOp{Remove: p.Remove, Path: p.Path, Value: p.Value})
	}
	for _, o := range v.Await {
		w.Await = append(w.Await, wire.GetRequest{Resource: o.Resource, Namespace: o.Namespace, Name: o.Name})
	}
	return w
}

func (g *Guest) reconcile(out, req []byte) ([]byte, error) {
	if g.points.Controller == nil {
		return out, wire.Errorf(wire.KindUnsupported, "plugin %s has no controller", g.name)
	}
	r := wire.NewReader(req)
	q := r.Request()
	if err := r.Err(); err != nil {
		return out, err
	}
	res, err := g.points.Controller.Reconcile(g.client, sdk.Request(q))
	if err != nil {
		return out, err
	}
	also := make([]wire.Request, len(res.Also))
	for i, q := range res.Also {
		also[i] = wire.Request(q)
	}
	return wire.AppendReconcileResult(out, res.RequeueAfter, also), nil
}

func (g *Guest) mapObject(out, req []byte) ([]byte, error) {
	r := wire.NewReader(req)
	i, b := r.MapRequest(req)
	if err := r.Err(); err != nil {
		return out, err
	}
	c := g.points.Controller
	if c == nil || i < 0 || i >= len(c.Watches) || c.Watches[i].Map.Func == nil {
		return out, wire.Errorf(wire.KindUnsupported, "plugin %s has no map function %d", g.name, i)
	}
	t, err := tape.Parse(b)
	if err != nil {
		return out, wire.Errorf(wire.KindProtocol, "%v", err)
	}
	requests := c.Watches[i].Map.Func(t.Root())
	out = wire.AppendUint(out, uint64(len(requests)))
	for _, q := range requests {
		out = wire.Request(q).Append(out)
	}
	return out, nil
}

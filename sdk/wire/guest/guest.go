// Package guest is the one dispatcher that answers the kernel's operations,
// whichever host runs the plugin: hosts differ only in how a request reaches
// [Guest.Handle].
package guest

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Guest is one instance of a plugin, before and after it is opened. It is used
// by one goroutine at a time.
type Guest struct {
	call   wire.HostCall
	name   string
	opened instance.Instance // nil before it is opened, and after
	out    []byte
}

// New makes a guest that reaches the kernel through call.
func New(call wire.HostCall) *Guest { return &Guest{call: call} }

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
	if g.opened == nil {
		return out, wire.Errorf(wire.KindProtocol, "%s before open", op)
	}
	if op == wire.OpClose {
		g.opened.Close()
		g.opened = nil
		return out, nil
	}
	if !g.opened.Serves(op) {
		return out, wire.Errorf(wire.KindUnsupported, "plugin %s does not serve %s", g.name, op)
	}
	return g.opened.Serve(out, op, req, region)
}

func handshake(out []byte) []byte {
	var all []wire.Manifest
	for _, p := range sdk.Registered() {
		all = append(all, manifest(p))
	}
	return wire.AppendManifests(out, all)
}

func manifest(p sdk.Plugin) wire.Manifest {
	return wire.Manifest{Name: p.Name, Version: p.Version, Major: wire.Major, Minor: wire.Minor}
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
		points = sdk.Join()
	}
	g.name, g.opened = name, points.Open(instance.Host{Plugin: name, Call: g.call})
	m := manifest(p)
	g.opened.Describe(&m)
	return wire.AppendManifest(out, m), nil
}

package guest

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Manifest describes a plugin and its points for the kernel.
func Manifest(p sdk.Plugin, points *sdk.Points) wire.Manifest {
	m := wire.Manifest{Name: p.Name, Version: p.Version, Major: wire.Major, Minor: wire.Minor, Points: pointsOf(points), Scope: uint8(points.Scope)}
	for _, rule := range points.Match {
		w := wire.Match{Resources: rule.Resources, Namespaces: rule.Namespaces, ExceptNamespaces: rule.ExceptNamespaces, Present: rule.Present}
		for _, op := range rule.Operations {
			w.Operations = append(w.Operations, string(op))
		}
		m.Match = append(m.Match, w)
	}
	if c := points.Controller; c != nil {
		m.Workers = uint32(max(c.Workers, 1))
		for _, w := range c.Watches {
			m.Watches = append(m.Watches, wire.Watch{Resource: w.Resource, Map: uint8(w.Map.Kind), Arg: w.Map.Arg,
				ToNamespace: w.Map.To.Namespace, ToName: w.Map.To.Name, Present: w.Present})
		}
	}
	return m
}

func pointsOf(p *sdk.Points) wire.Point {
	var out wire.Point
	for _, x := range []struct {
		served bool
		point  wire.Point
	}{
		{p.PreFilter != nil, wire.PointPreFilter}, {p.Filter != nil, wire.PointFilter}, {p.FilterAll != nil, wire.PointFilterAll},
		{p.PreScore != nil, wire.PointPreScore}, {p.Score != nil, wire.PointScore}, {p.ScoreAll != nil, wire.PointScoreAll},
		{p.Normalize != nil, wire.PointNormalize}, {p.Mutate != nil, wire.PointMutate}, {p.Validate != nil, wire.PointValidate},
		{p.Controller != nil, wire.PointController},
	} {
		if x.served {
			out |= x.point
		}
	}
	for _, m := range p.Members {
		if m.Points != nil {
			out |= pointsOf(m.Points) & wire.Scheduling
		}
	}
	return out
}

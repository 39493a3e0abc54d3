package loader

import (
	"slices"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// What is known of a plugin that is not there comes from its Plugin resource:
// what it served when it was last loaded is in the status, and a spec.match
// says that it is a policy before anybody has loaded it.

// expect tells those whose plugins decide about requests that a plugin is not
// there: because it is being loaded, or for the reason err.
func (l *Loader) expect(p *v1alpha1.Plugin, err error) {
	known := expected(p)
	known.Err = err
	for _, c := range l.Consumers {
		x, ok := c.Sink.(plugin.Expecter)
		if !ok {
			continue
		}
		if err := x.Expect(p.Name, known); err != nil {
			l.Log.Error("a plugin that is not loaded is not stood in for", "plugin", p.Name, "consumer", c.Name, "error", err)
		}
	}
}

// expected is what a Plugin resource says about a plugin that is not loaded.
func expected(p *v1alpha1.Plugin) plugin.Expected {
	e := plugin.Expected{Spec: p.Spec, Points: wire.PointsOf(p.Status.Points)}
	same := p.Status.Digest == p.Spec.Digest && p.Status.ObservedGeneration == p.Generation
	if len(p.Spec.Match) > 0 && !e.Points.Has(wire.Admission) && !(same && e.Points != 0) {
		e.Points |= wire.Admission
	}
	for _, m := range p.Status.Match {
		e.Match = append(e.Match, wire.Match{Operations: m.Operations, Resources: m.Resources, Namespaces: m.Namespaces, ExceptNamespaces: m.ExceptNamespaces, Present: m.Present})
	}
	return e
}

// weightOf is what may not go on before the first load of a plugin has ended.
func weightOf(p *v1alpha1.Plugin, leftOut, ships bool) weight {
	switch e := expected(p); {
	case leftOut:
		return other
	case e.Points.Has(wire.Admission):
		return policy
	case e.Points == 0 && ships:
		return unforeseen
	}
	return other
}

// maxMatch bounds the match rules that are kept in a status; of a plugin with
// more of them nothing is known but that it may match anything.
const maxMatch = 64

// matchOf is a manifest's match as a status shows it.
func matchOf(m wire.Manifest) []v1alpha1.MatchRule {
	if !m.Points.Has(wire.Admission) || len(m.Match) > maxMatch {
		return nil
	}
	var out []v1alpha1.MatchRule
	for _, r := range m.Match {
		for _, list := range [][]string{r.Operations, r.Resources, r.Namespaces, r.ExceptNamespaces, r.Present} {
			if len(list) > maxMatch || slices.ContainsFunc(list, func(s string) bool { return len(s) > 4*maxMatch }) {
				return nil
			}
		}
		out = append(out, v1alpha1.MatchRule{Operations: r.Operations, Resources: r.Resources, Namespaces: r.Namespaces, ExceptNamespaces: r.ExceptNamespaces, Present: r.Present})
	}
	return out
}

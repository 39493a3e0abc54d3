// Package charts installs what charts of well-known operators bring, as a user does: with
// kubectl. The definitions are of the size and features of those of cert-manager, Argo CD
// and prometheus-operator, and written here, so that none of theirs is copied: equal seeds
// write equal ones. It knows a cluster by its kubeconfig only.
//
// Begin at [Run].
package charts

import "fmt"

// Chart is what one operator brings.
type Chart struct {
	Name        string
	Definitions []object // CustomResourceDefinitions
	Objects     []object // the namespace, then rights, Service, Deployment
	Webhooks    []object // configurations of webhooks whose server does not run
	Customs     []object // objects of its kinds
	// ServerSide: how its definitions are applied; they are too large for kubectl's
	// annotation.
	ServerSide bool

	group string
	kept  []object // the first of Objects, which stay
}

// rest is what is deleted of Objects.
func (c *Chart) rest() []object { return c.Objects[len(c.kept):] }

// Charts are all of them, by a seed.
func Charts(seed uint64) []*Chart {
	all := []*Chart{certificates(seed), delivery(seed), monitoring(seed)}
	for _, c := range all {
		c.Objects, c.Webhooks = split(c.Objects)
	}
	return all
}

// split takes the configurations of webhooks out.
func split(all []object) (others, webhooks []object) {
	for _, o := range all {
		switch o["kind"] {
		case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
			webhooks = append(webhooks, o)
		default:
			others = append(others, o)
		}
	}
	return others, webhooks
}

// custom is an object of a kind of a chart, in the chart's namespace.
func custom(c *Chart, version, kind, name string, spec object) object {
	return customIn(c.Name, c, version, kind, name, spec)
}

func customIn(namespace string, c *Chart, version, kind, name string, spec object) object {
	m := object{"name": name}
	if namespace != "" {
		m["namespace"] = "charts-" + namespace
	}
	return object{"apiVersion": c.group + "/" + version, "kind": kind, "metadata": m, "spec": spec}
}

// Many makes n definitions of middle size, fifteen to a group.
func Many(seed uint64, n int) []object {
	w := newWriter(seed, "many")
	out := make([]object, n)
	for i := range out {
		group := fmt.Sprintf("g%02d.many.charts.example", i/15)
		k := kind{group: group, name: fmt.Sprintf("Thing%03d", i), plural: fmt.Sprintf("thing%03ds", i), versions: []object{scaled(version("v1", true,
			w.fill(w.record(object{"replicas": w.number(), "size": with(w.number(), object{"default": 1})}), 14_000),
			w.record(object{"replicas": w.number(), "selector": w.text(), "conditions": w.conditions()})))}}
		out[i] = k.definition()
		out[i]["metadata"].(object)["labels"] = object{"charts.example/part": "many"}
	}
	return out
}

package charts

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// installSteps are the way of a chart from its definitions to its end.
func (k *tool) installSteps(c *Chart, own []step) []step {
	how := []string{}
	var steps []step
	if c.ServerSide {
		how = []string{"--server-side"}
		if biggest := slices.MaxFunc(c.Definitions, func(a, b object) int { return sizeOf(a) - sizeOf(b) }); sizeOf(biggest) > large {
			steps = append(steps, step{what: fmt.Sprintf("client-side apply refuses %d KB, as its annotation is too long", sizeOf(biggest)/1000),
				do: k.refusesBy(fmt.Sprintf("The CustomResourceDefinition %q is invalid: metadata.annotations: Too long: may not be more than 262144 bytes", nameOf(biggest)), []object{biggest})})
		}
	}
	size := 0
	for _, d := range c.Definitions {
		size += sizeOf(d)
	}
	steps = append(steps,
		step{what: fmt.Sprintf("apply %d definitions, %d KB %s", len(c.Definitions), size/1000, strings.Join(how, " ")), do: k.appliesAll(c.Definitions, how...)},
		step{what: "wait until they are established", do: k.established(c.Definitions)},
		step{what: fmt.Sprintf("apply %d objects: rights, Service, Deployment …", len(c.Objects)), do: k.appliesAll(c.Objects, how...)},
		step{what: "its account may what its role says", do: k.wants("yes", c.Name, "auth", "can-i", "update", nameOf(c.Definitions[0]), "--as=system:serviceaccount:charts-"+c.Name+":"+c.Name)},
		step{what: fmt.Sprintf("apply %d custom objects", len(c.Customs)), do: k.appliesAll(c.Customs, how...)},
	)
	steps = append(steps, own...)
	steps = append(steps, step{what: "apply configurations of webhooks", do: k.appliesAll(c.Webhooks, how...)}, k.webhookStep(c),
		step{what: "delete them", do: k.deletes(c.Webhooks)},
		step{what: "delete the custom objects", do: k.deletes(c.Customs)})
	return append(steps, k.removeSteps(c)...)
}

// webhookStep writes what a webhook is asked about whose server does not run.
func (k *tool) webhookStep(c *Chart) step {
	last := c.Customs[len(c.Customs)-1]
	if c.Name == "delivery" { // its webhook is about another kind
		last = c.Customs[1]
	}
	if c.Name == "certificates" {
		last = c.Customs[2]
	}
	labelled := object{"apiVersion": last["apiVersion"], "kind": last["kind"], "spec": last["spec"],
		"metadata": with(object{"labels": object{"charts.example/asked": "yes"}}, last["metadata"].(object))}
	if policy := c.Webhooks[0]["webhooks"].([]any)[0].(object)["failurePolicy"]; policy == "Fail" {
		return step{what: "a webhook that does not run refuses (Fail)", do: k.refuses("failed calling webhook", labelled)}
	}
	return step{what: "a webhook that does not run is passed over (Ignore)", do: k.applies(labelled, "--server-side", "--force-conflicts")}
}

func (k *tool) removeSteps(c *Chart) []step {
	return []step{
		{what: "delete the rest", do: k.deletes(c.rest())},
		{what: "delete the definitions", do: k.deletes(c.Definitions)},
		{what: "their kinds are gone", do: k.gone(c.group)},
	}
}

// manySteps are those of many definitions at once. memory reads how much the server
// has; nil if that is not known.
func (k *tool) manySteps(all []object, memory func() (int64, error)) []step {
	size := 0
	for _, d := range all {
		size += sizeOf(d)
	}
	first, last := nameOf(all[0]), nameOf(all[len(all)-1])
	lastGroup := last[strings.Index(last, ".")+1:]
	thing := object{"apiVersion": lastGroup + "/v1", "kind": all[len(all)-1]["spec"].(object)["names"].(object)["kind"],
		"metadata": object{"name": "one", "namespace": "default"}, "spec": object{"replicas": 1}}
	var before int64
	reading := func(what string, f func(now int64) string) []step {
		if memory == nil {
			return nil
		}
		s := step{what: what, note: new(string)}
		s.do = func(context.Context) error {
			now, err := memory()
			if err == nil {
				*s.note = f(now)
			}
			return err
		}
		return []step{s}
	}
	steps := reading("memory of the server before", func(now int64) string {
		before = now
		return fmt.Sprintf("%d MiB", now>>20)
	})
	steps = append(steps,
		step{what: fmt.Sprintf("apply %d definitions, %d KB --server-side", len(all), size/1000), do: k.appliesAll(all, "--server-side")},
		step{what: "wait until they are established", do: k.established(all)},
		step{what: "all are in discovery", do: k.served("many.charts.example", len(all))})
	steps = append(steps, reading("memory of the server with them", func(now int64) string {
		return fmt.Sprintf("%d MiB, %d KiB each", now>>20, (now-before)>>10/int64(len(all)))
	})...)
	return append(steps,
		step{what: "explain the first", do: k.wants("replicas", "", "explain", first+".spec")},
		step{what: "an object of the last", do: k.applies(thing)},
		step{what: "its default", do: k.wants("1", "", "-n", "default", "get", last+"/one", "-o", "jsonpath={.spec.size}")},
		step{what: "scale it", do: k.does("", "-n", "default", "scale", "--replicas=5", last+"/one")},
		step{what: "delete the definitions, and so the object", do: k.deletes(all)},
		step{what: "their kinds are gone", do: k.served("many.charts.example", 0)})
}

func nameOf(o object) string { return o["metadata"].(object)["name"].(string) }

// established waits for definitions as users do.
func (k *tool) established(definitions []object) action {
	args := []string{"wait", "--for=condition=Established", "--timeout=120s"}
	for _, d := range definitions {
		args = append(args, "crd/"+nameOf(d))
	}
	return k.does("", args...)
}

// gone waits until no kind of a group is served.
func (k *tool) gone(group string) action { return k.served(group, 0) }

// served waits until n resources are served whose groups end so.
func (k *tool) served(group string, n int) action {
	return func(ctx context.Context) error {
		return until(ctx, func(ctx context.Context) error {
			out, err := k.run(ctx, nil, "api-resources", "--cached=false", "-o", "name")
			if err != nil {
				return err
			}
			have := 0
			for line := range strings.Lines(out) {
				if strings.HasSuffix(strings.TrimSpace(line), group) {
					have++
				}
			}
			if have != n {
				return fmt.Errorf("%d kinds of %s are served, want %d", have, group, n)
			}
			return nil
		})
	}
}

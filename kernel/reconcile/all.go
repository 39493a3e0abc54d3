package reconcile

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// overAll are the watches of a manifest that are of all resources.
func (r *runner) overAll(list []wire.Watch) []numbered {
	var out []numbered
	for i, w := range list {
		if w.Resource != wire.AllResources {
			continue
		}
		if err := r.host.MayWatch(registry.Target{Resource: hostclient.Everything}); err != nil {
			r.log.Error("controller watches what it may not", "resource", w.Resource, "error", err)
			continue
		}
		n := numbered{Watch: w, index: i}
		// What discovery tells is decided for a whole resource.
		var paths []string
		for _, p := range w.Present {
			if p == hostclient.Namespaced || p == hostclient.Collected {
				n.where = append(n.where, p)
			} else {
				paths = append(paths, p)
			}
		}
		var err error
		if n.present, err = present.Parse(paths); err != nil {
			r.log.Error("controller watches a field that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		if n.fields, err = fieldsOf(w); err != nil {
			r.log.Error("controller watches fields that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		out = append(out, n)
	}
	return out
}

// followAll follows every resource under watches of all of them: those that are
// there, and those that come. It returns when
// intake has ended and nothing is followed any more.
func (r *runner) followAll(watches []numbered, m *mapper) {
	if len(watches) == 0 {
		return
	}
	var group sync.WaitGroup
	defer group.Wait()
	following := map[schema.GroupResource]context.CancelFunc{}
	for {
		table := r.catalog.Snapshot()
		seen := map[schema.GroupResource]bool{}
		for _, res := range hostclient.Resources(table) {
			gr := res.Definition.GroupResource()
			seen[gr] = true
			if following[gr] != nil {
				continue
			}
			of := watchesOf(watches, res)
			if len(of) == 0 {
				continue
			}
			ctx, cancel := context.WithCancel(r.intake)
			following[gr] = cancel
			c := r.follow
			c.Target = registry.Target{Resource: res.GroupVersionResource}
			c.Handler = informer.NewDiffer(func(e watch.Event) { m.event(r.intake, of, e) })
			group.Go(func() { informer.New(c).Run(ctx) })
		}
		for gr, cancel := range following {
			if !seen[gr] {
				cancel()
				delete(following, gr)
			}
		}
		select {
		case <-table.Superseded():
		case <-r.intake.Done():
			for _, cancel := range following {
				cancel()
			}
			return
		}
	}
}

// watchesOf are the watches of all resources that one takes part in.
func watchesOf(watches []numbered, res hostclient.Resource) []numbered {
	var out []numbered
	for _, n := range watches {
		if slices.Contains(n.where, hostclient.Namespaced) && !res.Namespaced ||
			slices.Contains(n.where, hostclient.Collected) && res.Strategy.NotCollected {
			continue
		}
		n.resource, n.all = res.Definition.GroupResource(), &res
		out = append(out, n)
	}
	return out
}

package loader_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
)

// failing refuses the first writes of events.
type failing struct {
	registry.Registry
	left atomic.Int32
}

func (f *failing) Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	if t.Resource.Resource == "events" && f.left.Add(-1) >= 0 {
		return nil, errors.New("boom")
	}
	return f.Registry.Create(ctx, t, obj, o)
}

// TestEventsOfServersThatDoNotLead: what goes wrong on a server is told by that
// server, which has its name in the event; what could not be written is not lost.
func TestEventsOfServersThatDoNotLead(t *testing.T) {
	var way *failing
	c := newCluster(t, func(cfg *loader.Config) {
		way = &failing{Registry: cfg.Registry}
		way.left.Store(1)
		cfg.Registry, cfg.Server = way, "server-2"
		cfg.WritesStatus = func() bool { return false }
	})
	c.create(t, "p", v1alpha1.PluginSpec{Host: v1alpha1.HostNative, Plugin: "nobody"})
	waitFor(t, "event", func() bool { return c.events(t)["FailedToLoad"] >= 1 })
	if n := way.left.Load(); n > 0 {
		t.Error("the first try did not fail")
	}
	list, err := c.List(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("events")}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Items {
		if e := o.Obj.(*corev1.Event); e.Source.Host != "server-2" || e.Source.Component != "plugin-loader" {
			t.Errorf("source %+v", e.Source)
		}
	}
	if p := c.plugin(t, "p"); p.Status.Phase == v1alpha1.Failed {
		t.Errorf("a server that does not lead wrote the phase %s", p.Status.Phase)
	}
}

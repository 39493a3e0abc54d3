package loader_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "controller", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches:   []controller.Watch{{Resource: "v1/pods"}},
			Reconcile: func(client.Client, controller.Request) (controller.Result, error) { return controller.Result{}, nil },
		}, nil
	}})
	sdk.Register(sdk.Plugin{Name: "validator", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{Validate: func(*admission.Review) error { return nil }}, nil
	}})
}

// stuckHost opens the plugin "stuck" never, others natively.
type stuckHost struct {
	native.Host
	begun, ended chan struct{}
}

func (h *stuckHost) Open(ctx context.Context, m plugin.Module, o plugin.OpenOptions) (plugin.Instance, error) {
	if o.Name != "stuck" {
		return h.Host.Open(ctx, m, o)
	}
	h.begun <- struct{}{}
	<-ctx.Done()
	h.ended <- struct{}{}
	return nil, ctx.Err()
}

// TestHangingInit: plugins whose init hangs delay no other, and go at once when
// they are removed.
func TestHangingInit(t *testing.T) {
	h := &stuckHost{begun: make(chan struct{}, 8), ended: make(chan struct{}, 8)}
	c := newCluster(t, func(c *loader.Config) { c.Hosts[v1alpha1.HostNative] = h })
	for _, name := range []string{"a", "b"} {
		c.create(t, name, v1alpha1.PluginSpec{Host: v1alpha1.HostNative, Plugin: "stuck"})
		<-h.begun
	}
	c.create(t, "good", nativeSpec)
	c.phase(t, "good", v1alpha1.Ready)
	if s := c.plugin(t, "a").Status; s.Phase != v1alpha1.Loading {
		t.Errorf("the plugin that hangs is %s", s.Phase)
	}
	if _, err := c.Delete(t.Context(), pluginTarget("a"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	<-h.ended
	// Another version of what hangs takes its place.
	c.update(t, "b", func(p *v1alpha1.Plugin) { p.Spec.Plugin = "suite" })
	<-h.ended
	c.phase(t, "b", v1alpha1.Ready)
}

// TestLoadIsToldAtOnce: who waits for a load need not wait for the counters.
func TestLoadIsToldAtOnce(t *testing.T) {
	c := newCluster(t, func(c *loader.Config) { c.StatusEvery = time.Hour })
	c.create(t, "p", nativeSpec)
	c.phase(t, "p", v1alpha1.Ready)
	c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Order = 7 })
	c.phase(t, "p", v1alpha1.Ready) // of the new generation
}

// TestDeletedBuiltinComesBack: what ships cannot be deleted for good.
func TestDeletedBuiltinComesBack(t *testing.T) {
	spec := nativeSpec
	spec.Plugin = "other"
	c := newCluster(t, func(c *loader.Config) { c.Builtins = []plugin.Builtin{{Name: "core", Spec: spec}} })
	before := c.phase(t, "core", v1alpha1.Ready)
	uid := c.plugin(t, "core").UID
	if _, err := c.Delete(t.Context(), pluginTarget("core"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "plugin that ships", func() bool {
		l, err := c.List(t.Context(), registry.Target{Resource: v1alpha1.Plugins}, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return len(l.Items) == 1 && l.Items[0].Obj.(*v1alpha1.Plugin).UID != uid
	})
	if s := c.phase(t, "core", v1alpha1.Ready); len(s.Points) != len(before.Points) {
		t.Errorf("status %+v", s)
	}
}

// TestRehearsedController: a controller that is to be rehearsed does not run,
// and a plugin that is nothing else is refused.
func TestRehearsedController(t *testing.T) {
	c := newCluster(t)
	for _, mode := range []v1alpha1.Mode{v1alpha1.Monitor, v1alpha1.Shadow} {
		c.create(t, "p", nativeSpec)
		c.phase(t, "p", v1alpha1.Ready)
		c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Mode = mode })
		c.phase(t, "p", v1alpha1.Ready)
		if c.controllers.get("p") != nil {
			t.Errorf("%s: the controller runs", mode)
		}
		c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Plugin = "controller" })
		if s := c.phase(t, "p", v1alpha1.Degraded); !strings.Contains(s.Message, "a controller cannot run in the mode "+string(mode)) {
			t.Errorf("%s: status %+v", mode, s)
		}
		if _, err := c.Delete(t.Context(), pluginTarget("p"), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

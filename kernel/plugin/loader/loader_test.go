package loader_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/sdk/wire"
)

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in time", what)
		}
	}
}

var nativeSpec = v1alpha1.PluginSpec{Host: v1alpha1.HostNative, Plugin: "suite"}

// TestLife: a plugin is created, asked, changed, and removed.
func TestLife(t *testing.T) {
	c := newCluster(t)
	if _, _, err := c.pod(t, "before", "web:latest"); err != nil {
		t.Fatalf("a pod without any policy: %v", err)
	}
	c.create(t, "pinned", nativeSpec)
	s := c.phase(t, "pinned", v1alpha1.Ready)
	if want := []string{"Filter", "Score", "Mutate", "Validate", "Controller", "Convert"}; !slices.Equal(s.Points, want) || s.ABI != fmt.Sprintf("%d.%d", wire.Major, wire.Minor) || s.Version != "1.2.3" {
		t.Errorf("status %+v", s)
	}
	if c.controllers.get("pinned") == nil {
		t.Error("the controllers did not get the plugin")
	}
	_, _, err := c.pod(t, "bad", "web:latest")
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `"pinned" denied the request: spec.containers[0].image: web:latest is not pinned`) {
		t.Errorf("refusal: %v", err)
	}
	good, _, err := c.pod(t, "good", "web:1")
	if err != nil {
		t.Fatal(err)
	}
	if good.Labels["seen.by/suite"] != "good" || good.Spec.NodeName != "" {
		t.Errorf("the pod was not changed: labels %v, node %q", good.Labels, good.Spec.NodeName)
	}
	c.wait(t, "pinned", "counted", func(s v1alpha1.PluginStatus) bool { return s.Calls >= 3 && s.P99.Duration > 0 && s.Instances > 0 })

	c.update(t, "pinned", func(p *v1alpha1.Plugin) { p.Spec.Mode = v1alpha1.Monitor })
	c.phase(t, "pinned", v1alpha1.Ready)
	pod, warnings, err := c.pod(t, "monitored", "web:latest")
	if err != nil {
		t.Fatalf("a policy in monitor mode refused: %v", err)
	}
	if pod.Labels["seen.by/suite"] != "" || !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "(monitor): spec.containers[0].image") }) {
		t.Errorf("monitor mode: labels %v, warnings %q", pod.Labels, warnings)
	}

	c.update(t, "pinned", func(p *v1alpha1.Plugin) {
		p.Spec.Mode = v1alpha1.Enforce
		p.Spec.Match = []v1alpha1.MatchRule{{Namespaces: []string{"elsewhere"}}}
	})
	c.phase(t, "pinned", v1alpha1.Ready)
	if _, _, err := c.pod(t, "narrowed", "web:latest"); err != nil {
		t.Errorf("a policy for another namespace refused: %v", err)
	}
	if _, err := c.Delete(t.Context(), pluginTarget("pinned"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "removal", func() bool { return c.controllers.get("pinned") == nil })
	if n := len(c.chain.Stats()); n != 1 { // the namespace rule
		t.Errorf("%d rules are left", n)
	}
}

// TestBadVersionLeavesTheOldOne: what cannot be loaded changes nothing.
func TestBadVersionLeavesTheOldOne(t *testing.T) {
	c := newCluster(t)
	c.create(t, "p", nativeSpec)
	c.phase(t, "p", v1alpha1.Ready)
	old := c.controllers.get("p")
	c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Plugin = "nobody" })
	if s := c.phase(t, "p", v1alpha1.Degraded); !strings.Contains(s.Message, "the version before is running") {
		t.Errorf("message %q", s.Message)
	}
	if c.controllers.get("p") != old {
		t.Error("the consumer lost the version that works")
	}
	if _, _, err := c.pod(t, "bad", "web:latest"); !apierrors.IsForbidden(err) {
		t.Errorf("the policy before does not refuse: %v", err)
	}
	c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Plugin = "suite" })
	c.phase(t, "p", v1alpha1.Ready)
}

// TestRefusals: bad plugins fail with messages that say why.
func TestRefusals(t *testing.T) {
	c := newCluster(t)
	for _, x := range []struct {
		name  string
		spec  v1alpha1.PluginSpec
		phase v1alpha1.Phase
		text  string
	}{
		{"nobody", v1alpha1.PluginSpec{Host: v1alpha1.HostNative}, v1alpha1.Failed, `holds no plugin "nobody"`},
		{"nohost", v1alpha1.PluginSpec{Host: v1alpha1.HostProcess, Digest: v1alpha1.DigestOf([]byte("x"))}, v1alpha1.Failed, `no host "process"`},
	} {
		c.create(t, x.name, x.spec)
		if s := c.phase(t, x.name, x.phase); !strings.Contains(s.Message, x.text) {
			t.Errorf("%s: message %q, want %q", x.name, s.Message, x.text)
		}
	}
	for name, spec := range map[string]v1alpha1.PluginSpec{
		"no-digest": {}, "bad-digest": {Digest: "abc"}, "bad-host": {Host: "vm"}, "bad-mode": {Host: v1alpha1.HostNative, Mode: "Maybe"},
	} {
		p := &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		if _, err := c.Create(t.Context(), pluginTarget(name), p, registry.WriteOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("%s: error %v, want Invalid", name, err)
		}
	}
}

// TestConsumerRefuses: when one consumer cannot take a version, all keep the
// one before.
func TestConsumerRefuses(t *testing.T) {
	c := newCluster(t)
	c.create(t, "p", nativeSpec)
	c.phase(t, "p", v1alpha1.Ready)
	before := c.controllers.get("p")
	c.controllers.mu.Lock()
	c.controllers.refuse = errors.New("too many controllers")
	c.controllers.mu.Unlock()
	c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Order = 7 })
	s := c.phase(t, "p", v1alpha1.Degraded)
	if !strings.Contains(s.Message, "too many controllers") || c.controllers.get("p") != before {
		t.Errorf("status %+v", s)
	}
	for _, rule := range c.chain.Stats() {
		if rule.Name == "p" && rule.Order != 0 {
			t.Errorf("the admission rule has order %d, want that of the version before", rule.Order)
		}
	}
	c.controllers.mu.Lock()
	c.controllers.refuse = nil
	c.controllers.mu.Unlock()
	c.phase(t, "p", v1alpha1.Ready)
}

// TestQuarantine: a plugin that panics is stopped, says so, and comes back.
func TestQuarantine(t *testing.T) {
	c := newCluster(t)
	c.create(t, "p", nativeSpec)
	c.phase(t, "p", v1alpha1.Ready)
	for range 3 {
		if _, _, err := c.pod(t, "panic", "web:1"); !apierrors.IsInternalError(err) {
			t.Fatalf("error %v, want an internal error", err)
		}
	}
	s := c.phase(t, "p", v1alpha1.Quarantined)
	if !strings.Contains(s.Message, "assignment to entry in nil map") || s.Faults != 3 || s.Conditions[0].Status != metav1.ConditionFalse {
		t.Errorf("status %+v", s)
	}
	if _, _, err := c.pod(t, "good", "web:1"); err == nil || !strings.Contains(err.Error(), "quarantined") {
		t.Errorf("error %v, want one that speaks of quarantine", err)
	}
	waitFor(t, "events with counts", func() bool {
		return cmp.Equal(c.events(t), map[string]int32{"Fault": 3, "Quarantined": 1})
	})
	if e := s.LastError; e == nil || !e.Fault || e.Call != "validate" || !strings.Contains(e.Message, "assignment to entry in nil map") || e.Time.IsZero() {
		t.Errorf("last error %+v", e)
	}
	c.update(t, "p", func(p *v1alpha1.Plugin) { p.Labels = map[string]string{"a": "b"} })
	c.phase(t, "p", v1alpha1.Degraded)
	if _, _, err := c.pod(t, "good", "web:1"); err != nil {
		t.Errorf("after its quarantine: %v", err)
	}
}

// TestIgnore: with failurePolicy Ignore a fault does not hold a request up.
func TestIgnore(t *testing.T) {
	c := newCluster(t)
	spec := nativeSpec
	spec.FailurePolicy = v1alpha1.Ignore
	c.create(t, "p", spec)
	c.phase(t, "p", v1alpha1.Ready)
	if _, _, err := c.pod(t, "panic", "web:1"); err != nil {
		t.Errorf("the pod was refused: %v", err)
	}
}

// TestBuiltins: they are created once, keep what an operator changed, and
// take what this version brings.
func TestBuiltins(t *testing.T) {
	config := func(s string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(s)} }
	builtin := func(cfg string) func(*loader.Config) {
		spec := nativeSpec
		spec.Plugin, spec.Config = "other", config(cfg)
		return func(c *loader.Config) { c.Builtins = []plugin.Builtin{{Name: "core", Spec: spec}} }
	}
	c := newCluster(t, builtin(`{"a":1}`))
	c.phase(t, "core", v1alpha1.Ready)
	if p := c.plugin(t, "core"); p.Labels[v1alpha1.BuiltinLabel] != "true" {
		t.Errorf("labels %v", p.Labels)
	}
	c.update(t, "core", func(p *v1alpha1.Plugin) {
		p.Spec.Mode, p.Spec.Config = v1alpha1.Monitor, config(`{"a":1,"mine":true}`)
	})
	c.phase(t, "core", v1alpha1.Ready)
	generation := c.plugin(t, "core").Generation
	c.stop()
	c.run(t, builtin(`{"a":1}`))
	if p := c.plugin(t, "core"); p.Generation != generation {
		t.Errorf("a restart changed the spec to %+v", p.Spec)
	}
	c.stop()
	c.run(t, builtin(`{"a":2}`))
	p := c.plugin(t, "core")
	if p.Spec.Mode != v1alpha1.Monitor || string(p.Spec.Config.Raw) != `{"a":2,"mine":true}` {
		t.Errorf("after an upgrade: mode %s, config %s", p.Spec.Mode, p.Spec.Config.Raw)
	}
	// Under a new name it takes over what the operator said of it, and there is
	// one of them.
	c.stop()
	c.run(t, func(cfg *loader.Config) {
		builtin(`{"a":2}`)(cfg)
		cfg.Builtins[0].Name, cfg.Builtins[0].Formerly = "kernel", "core"
	})
	c.phase(t, "kernel", v1alpha1.Ready)
	if p := c.plugin(t, "kernel"); p.Spec.Mode != v1alpha1.Monitor || string(p.Spec.Config.Raw) != `{"a":2,"mine":true}` {
		t.Errorf("after a renaming: mode %s, config %s", p.Spec.Mode, p.Spec.Config.Raw)
	}
	if _, err := c.Get(t.Context(), pluginTarget("core"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Plugin of the old name: %v", err)
	}
}

// TestRefusedIsTold: the status says when a consumer has lost a plugin, and when
// it has it back, whatever else happens to the plugin.
func TestRefusedIsTold(t *testing.T) {
	c := newCluster(t)
	c.create(t, "p", nativeSpec)
	c.phase(t, "p", v1alpha1.Ready)
	c.loader.Refused(t.Context(), "scheduler", "p", errors.New("boom"))
	c.loader.Refused(t.Context(), "scheduler", "nobody", errors.New("boom"))
	s := c.phase(t, "p", v1alpha1.Failed)
	if want := "loaded, but not in place, which is tried again: scheduler: boom"; s.Message != want || s.Conditions[0].Status != metav1.ConditionFalse || len(s.Points) == 0 {
		t.Errorf("status %+v, want the message %q", s, want)
	}
	c.loader.Refused(t.Context(), "scheduler", "p", nil)
	if s := c.phase(t, "p", v1alpha1.Ready); s.Message != "" || s.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("status %+v", s)
	}
	waitFor(t, "event", func() bool { return c.events(t)["FailedToLoad"] == 1 })
}

// TestRefusalEndsWithItsPoint: a plugin that a consumer has lost is not missing
// there any more once a version without that point is in place, or none.
func TestRefusalEndsWithItsPoint(t *testing.T) {
	for what, next := range map[string]struct {
		plugin string
		phase  v1alpha1.Phase
	}{"another point": {"validator", v1alpha1.Ready}, "back at its point": {"controller", v1alpha1.Failed}} {
		t.Run(what, func(t *testing.T) {
			c := newCluster(t)
			c.create(t, "p", v1alpha1.PluginSpec{Host: v1alpha1.HostNative, Plugin: "controller"})
			c.phase(t, "p", v1alpha1.Ready)
			c.loader.Refused(t.Context(), "controllers", "p", errors.New("boom"))
			c.phase(t, "p", v1alpha1.Failed)
			c.update(t, "p", func(p *v1alpha1.Plugin) {
				p.Spec.Plugin, p.Spec.FailurePolicy = next.plugin, v1alpha1.Ignore
			})
			if s := c.phase(t, "p", next.phase); strings.Contains(s.Message, "boom") != (next.phase == v1alpha1.Failed) {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestAwaitsIsTold: a controller that watches what nobody has defined is Ready, and
// its conditions and an event say what it waits for, until it is there.
func TestAwaitsIsTold(t *testing.T) {
	c := newCluster(t)
	c.create(t, "p", v1alpha1.PluginSpec{Host: v1alpha1.HostNative, Plugin: "controller"})
	c.phase(t, "p", v1alpha1.Ready)
	watching := func() *metav1.Condition {
		return meta.FindStatusCondition(c.plugin(t, "p").Status.Conditions, v1alpha1.ConditionWatching)
	}
	if w := watching(); w != nil {
		t.Errorf("before: %+v", w)
	}
	c.loader.Awaits(t.Context(), "nobody", []string{"v1/pots"})
	c.loader.Awaits(t.Context(), "p", []string{"apps/v1/deploymints", "v1/pots"})
	waitFor(t, "condition", func() bool { return watching() != nil })
	if w := watching(); w.Status != metav1.ConditionFalse || w.Reason != "ResourceNotFound" || !strings.Contains(w.Message, "apps/v1/deploymints, v1/pots") {
		t.Errorf("condition %+v", w)
	}
	c.phase(t, "p", v1alpha1.Ready)
	waitFor(t, "event", func() bool { return c.events(t)["ResourceNotFound"] == 1 })
	c.loader.Awaits(t.Context(), "p", nil)
	waitFor(t, "the condition ends", func() bool { return watching() == nil })
}

package scheduler_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/plugin"
	_ "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite" // suite-reserve
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/scheduler"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

var mapsR = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// reserving is a stack with the plugin suite-reserve: a pod takes the ConfigMap that it
// names, which must say "ready" before it is bound.
type reserving struct {
	*stack
	scheduler *scheduler.Scheduler
	kind      *registrytest.Registry
}

func (s *reserving) plugin(policy scheduler.FailurePolicy) scheduler.Plugin {
	open := func(ctx context.Context, latest hostclient.Latest) (plugin.Instance, error) {
		c := &hostclient.Config{Plugin: "suite-reserve", Registry: s.kind.Registry, Catalog: s.kind.Catalog, Codec: s.kind.Codec, Observed: &hostclient.Observed{}}
		if latest != nil {
			c.Latest = latest
		}
		return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: "suite-reserve", HostCall: hostclient.New(c).Call})
	}
	return scheduler.Plugin{FailurePolicy: policy, Access: &objects.Access{
		Source: s.kind.Registry,
		Resource: func(name string) (schema.GroupVersionResource, error) {
			if name != "v1/configmaps" {
				return schema.GroupVersionResource{}, fmt.Errorf("it may not read %s", name)
			}
			return mapsR, nil
		},
		Open: func(ctx context.Context, r *objects.Reads) (plugin.Instance, error) { return open(ctx, r) },
		Do: func(ctx context.Context, f func(plugin.Instance) error) error {
			in, err := open(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			return f(in)
		},
	}}
}

func newReserving(t *testing.T, policy scheduler.FailurePolicy) *reserving {
	t.Helper()
	kinds, err := table()
	if err != nil {
		t.Fatal(err)
	}
	r := registrytest.Start(t, registrytest.Options{Table: kinds, Store: memory.New()})
	s := &reserving{stack: &stack{r.Registry, t}, kind: r}
	s.nodes(2, nil)
	s.scheduler = s.schedule()
	if err := s.scheduler.Set(t.Context(), "suite-reserve", s.plugin(policy)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *reserving) target(name string) registry.Target {
	return registry.Target{Resource: mapsR, Namespace: "default", Name: name}
}

func (s *reserving) configMap(name string, data map[string]string) {
	s.t.Helper()
	s.create(s.target(""), &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: data})
}

// set changes a value of a ConfigMap.
func (s *reserving) set(name, key, value string) {
	s.t.Helper()
	for {
		o, err := s.Get(s.t.Context(), s.target(name), metav1.GetOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		m := o.Obj.(*corev1.ConfigMap).DeepCopy()
		if m.Data == nil {
			m.Data = map[string]string{}
		}
		m.Data[key] = value
		_, err = s.Update(s.t.Context(), s.target(name), m, registry.WriteOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			s.t.Fatal(err)
		}
	}
}

func (s *reserving) pod(name, takes string) {
	s.t.Helper()
	s.createPod(aPod(name, "100m", func(p *corev1.Pod) { p.Labels = map[string]string{"takes": takes} }))
}

// written waits until PreBind has written for a pod.
func (s *reserving) written(name, by string) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		o, err := s.Get(s.t.Context(), s.target(name), metav1.GetOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		if m := o.Obj.(*corev1.ConfigMap); m.Data["by"] == by && m.Data["on"] != "" {
			return
		}
	}
	s.t.Fatalf("%s is not written for %s", name, by)
}

func isBound(p *corev1.Pod) bool { return p.Spec.NodeName != "" }

func says(text string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return strings.Contains(refusal(p), text) }
}

// TestPreBind: what one pod is promised no other gets, also before it is written; a pod
// is bound when what it waits for is so, and who waits for what it holds goes on when
// it is gone.
func TestPreBind(t *testing.T) {
	s := newReserving(t, scheduler.Fail)
	s.createPod(aPod("plain", "100m")) // takes nothing, waits for nobody
	s.until("plain", "bound", isBound)
	s.pod("first", "c")
	s.until("first", "refused", says("no c."))
	s.configMap("c", nil) // wakes it
	s.written("c", "first")
	s.pod("second", "c")
	s.until("second", "refused", says("c is taken by first."))
	if p := s.until("first", "there", func(*corev1.Pod) bool { return true }); p.Spec.NodeName != "" {
		t.Errorf("it is bound to %s before c is ready", p.Spec.NodeName)
	}
	s.set("c", "state", "ready")
	s.until("first", "bound", isBound)
	s.set("c", "by", "") // it gives back what it took
	s.until("second", "bound", isBound)
}

// TestPreBindGivenUp: a pod that is deleted while it waits leaves what it was promised
// to the next one; a refusal puts the pod back, with back-off.
func TestPreBindGivenUp(t *testing.T) {
	s := newReserving(t, scheduler.Fail)
	s.configMap("c", nil)
	s.pod("first", "c")
	s.written("c", "first")
	zero := int64(0)
	if _, err := s.Delete(t.Context(), registry.Target{Resource: podsR, Namespace: "default", Name: "first"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	s.set("c", "by", "")
	s.set("c", "state", "ready")
	s.pod("second", "c")
	s.until("second", "bound", func(p *corev1.Pod) bool {
		if says("c is taken by first.")(p) { // a call that was under way when it went may write still
			s.set("c", "by", "")
		}
		return isBound(p)
	})

	s.configMap("never", nil)
	s.pod("third", "never")
	want := `running PreBind plugin "suite-reserve": never for third`
	s.until("third", "refused", func(p *corev1.Pod) bool { return refusal(p) == want })
	if notes := s.events("FailedScheduling"); !slices.Contains(notes, want) {
		t.Errorf("events %q, want %q", notes, want)
	}
	s.configMap("refuse", nil)
	s.pod("fourth", "refuse")
	s.until("fourth", "refused", says(`running Reserve plugin "suite-reserve": not on `))
}

// TestPreBindFails: what a plugin's failure means is said by its policy, and it hurts
// nobody else.
func TestPreBindFails(t *testing.T) {
	for _, takes := range []string{"panic", "error"} {
		t.Run(takes, func(t *testing.T) {
			s := newReserving(t, scheduler.Fail)
			s.configMap(takes, nil)
			s.pod("p", takes)
			s.until("p", "refused", says(`running PreBind plugin "suite-reserve": `))
			s.createPod(aPod("plain", "100m"))
			s.until("plain", "bound", isBound)
		})
	}
	t.Run("ignored", func(t *testing.T) {
		s := newReserving(t, scheduler.Ignore)
		s.configMap("error", nil)
		s.pod("p", "error")
		s.until("p", "bound", isBound)
	})
}

// TestPreBindPluginRemoved: a pod that waits for a plugin is decided about anew when
// that is taken out.
func TestPreBindPluginRemoved(t *testing.T) {
	s := newReserving(t, scheduler.Fail)
	s.configMap("c", nil)
	s.pod("p", "c")
	s.written("c", "p")
	s.scheduler.Remove("suite-reserve")
	s.until("p", "bound", isBound)
}

// A plugin that may not read what it wants to hurts those pods alone for which it does.
func TestPluginMayNotRead(t *testing.T) {
	s := newReserving(t, scheduler.Fail)
	p := s.plugin(scheduler.Fail)
	p.Access.Resource = func(name string) (schema.GroupVersionResource, error) {
		return schema.GroupVersionResource{}, fmt.Errorf("it may not list %s", name)
	}
	if err := s.scheduler.Set(t.Context(), "suite-reserve", p); err != nil {
		t.Fatal(err)
	}
	s.configMap("c", nil)
	s.pod("p", "c")
	s.until("p", "refused", says("configmaps is not followed"))
	s.createPod(aPod("plain", "100m"))
	s.until("plain", "bound", isBound)
}

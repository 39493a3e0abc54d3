package loader_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	_ "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// cluster is a registry in memory with pods, events and plugins, and a loader.
type cluster struct {
	registry.Registry
	chain   *admission.Chain
	modules *modules.Store
	// controllers takes plugins with a controller.
	controllers *sink
	loader      *loader.Loader
	stop        func()
}

func core(kind, plural string, namespaced bool) *resource.Definition {
	return &resource.Definition{Resource: plural, Kind: kind, ListKind: kind + "List", Namespaced: namespaced, Versions: []string{"v1"},
		StorageVersion: "v1", KeyPrefix: "/registry/" + plural, Verbs: []string{"create", "get", "list", "watch", "update", "delete"},
		Strategy: resource.Strategy{AllowUnconditionalUpdate: true}}
}

func newRegistry(t testing.TB) (registry.Registry, *admission.Chain) {
	t.Helper()
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		core("Namespace", "namespaces", false), core("Pod", "pods", true), core("Event", "events", true)}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), v1alpha1.Extend(table), table.Index()); err != nil {
		t.Fatal(err)
	}
	codec, store, chain := resource.NewCodec(resource.NewCatalog(table)), memory.New(), &admission.Chain{}
	cache := watch.New(watch.Config{Store: store, Catalog: resource.NewCatalog(table), Decode: codec.Decode})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := cache.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cache: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-cache.Ready()
	core, err := registry.New(registry.Config{Catalog: resource.NewCatalog(table), Codec: codec, Store: store, Cache: cache, Admission: chain})
	if err != nil {
		t.Fatal(err)
	}
	r := core.As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	_, err = r.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("namespaces"), Name: "default"},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r, chain
}

func newCluster(t testing.TB, change ...func(*loader.Config)) *cluster {
	t.Helper()
	r, chain := newRegistry(t)
	c := &cluster{Registry: r, chain: chain, modules: modules.New(r), controllers: &sink{}}
	c.run(t, change...)
	return c
}

// run starts a loader on the cluster, as a server that starts would.
func (c *cluster) run(t testing.TB, change ...func(*loader.Config)) {
	t.Helper()
	cfg := loader.Config{Registry: c.Registry, Modules: c.modules, Hosts: map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}},
		StatusEvery: time.Second, Quarantine: plugin.QuarantinePolicy{Faults: 3, First: 3 * time.Second},
		Consumers: []loader.Consumer{
			{Name: "admission", Points: wire.Admission, Sink: admit.New(admit.Config{Chain: c.chain})},
			{Name: "controllers", Points: wire.PointController, Sink: c.controllers},
		}}
	for _, f := range change {
		f(&cfg)
	}
	l := loader.New(cfg)
	c.loader = l
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("loader: %v", err)
		}
	})
	c.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(func() { c.stop() })
	select {
	case <-l.Synced():
	case <-time.After(time.Minute):
		t.Fatal("the loader is not synced")
	}
}

// sink remembers what it was given.
type sink struct {
	mu     sync.Mutex
	held   map[string]*plugin.Plugin
	refuse error
}

func (s *sink) Set(_ context.Context, name string, p *plugin.Plugin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	if s.held == nil {
		s.held = map[string]*plugin.Plugin{}
	}
	s.held[name] = p
	return nil
}

func (s *sink) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, name)
}

func (s *sink) get(name string) *plugin.Plugin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name]
}

func pluginTarget(name string) registry.Target {
	return registry.Target{Resource: v1alpha1.Plugins, Name: name}
}

func (c *cluster) create(t testing.TB, name string, spec v1alpha1.PluginSpec) {
	t.Helper()
	p := &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	if _, err := c.Create(t.Context(), pluginTarget(name), p, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) plugin(t testing.TB, name string) *v1alpha1.Plugin {
	t.Helper()
	o, err := c.Get(t.Context(), pluginTarget(name), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o.Obj.(*v1alpha1.Plugin)
}

func (c *cluster) update(t testing.TB, name string, change func(*v1alpha1.Plugin)) {
	t.Helper()
	p := c.plugin(t, name).DeepCopy()
	change(p)
	p.ResourceVersion = ""
	if _, err := c.Update(t.Context(), pluginTarget(name), p, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// events are the counts of all events, by reason.
func (c *cluster) events(t testing.TB) map[string]int32 {
	t.Helper()
	list, err := c.List(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("events")}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int32{}
	for _, o := range list.Items {
		e := o.Obj.(*corev1.Event)
		out[e.Reason] += e.Count
	}
	return out
}

// wait waits until the plugin is as wanted.
func (c *cluster) wait(t testing.TB, name string, want string, ok func(v1alpha1.PluginStatus) bool) v1alpha1.PluginStatus {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		p := c.plugin(t, name)
		if ok(p.Status) && p.Status.ObservedGeneration == p.Generation {
			return p.Status
		}
		if time.Now().After(deadline) {
			t.Fatalf("plugin %s is not %s: %+v", name, want, p.Status)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *cluster) phase(t testing.TB, name string, want v1alpha1.Phase) v1alpha1.PluginStatus {
	t.Helper()
	return c.wait(t, name, string(want), func(s v1alpha1.PluginStatus) bool { return s.Phase == want })
}

// pod tries to create a pod.
func (c *cluster) pod(t testing.TB, name, image string) (*corev1.Pod, []string, error) {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: image}}}}
	res, err := c.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: "default", Name: name}, p, registry.WriteOptions{})
	if err != nil {
		return nil, nil, err
	}
	return res.Object.Obj.(*corev1.Pod), res.Warnings, nil
}

package controllertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/sdk/wire"
)

const namespace = "default"

// host opens instances of the controllers' module.
type host struct {
	name string
	plugin.Host
	module plugin.Module
}

// cluster is a control plane without a server and without a scheduler.
type cluster struct {
	registry.Registry // the administrator's
	*registry.Core
	table    *resource.Table
	catalog  *resource.Catalog
	codec    *resource.Codec
	cache    *watch.Cache
	manager  *reconcile.Manager
	metrics  *prometheus.Registry // the manager's
	chain    *admission.Chain
	policies *admit.Sink
	host     host
	surroundings
}

var tables struct {
	sync.Mutex
	*resource.Table
}

// table is made once: it holds no state.
func table(t testing.TB) *resource.Table {
	t.Helper()
	tables.Lock()
	defer tables.Unlock()
	if tables.Table == nil {
		var err error
		if tables.Table, err = kinds.Table(kinds.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return tables.Table
}

// surroundings are what a cluster is given. The zero value will do.
type surroundings struct {
	clock   clock.WithDelayedExecution // nil: the real one
	configs map[string][]byte          // of plugins, instead of what config says
	served  http.Handler               // what plugins fetch; nil: nobody serves anything
}

// newCluster starts a control plane with the plugins named: controllers and
// admission rules.
func newCluster(t testing.TB, h host, controllers ...string) *cluster {
	t.Helper()
	return newClusterIn(t, h, surroundings{}, controllers...)
}

func newClusterIn(t testing.TB, h host, in surroundings, controllers ...string) *cluster {
	t.Helper()
	if in.clock == nil {
		in.clock = clock.RealClock{}
	}
	c := &cluster{table: table(t), host: h, surroundings: in}
	c.metrics = prometheus.NewRegistry()
	c.catalog = resource.NewCatalog(c.table)
	c.codec = resource.NewCodec(c.catalog)
	s := memory.New()
	c.cache = watch.New(watch.Config{Store: s, Catalog: c.catalog, Decode: c.codec.Decode})
	c.chain = &admission.Chain{}
	var err error
	if c.Core, err = registry.New(registry.Config{Catalog: c.catalog, Codec: c.codec, Store: s, Cache: c.cache, Admission: c.chain, Clock: c.clock}); err != nil {
		t.Fatal(err)
	}
	c.Registry = c.As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	c.policies = c.newPolicies(c.chain)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	own := &user.DefaultInfo{Name: "system:controllers"}
	if c.manager, err = reconcile.New(reconcile.Config{Registry: c.As(own), Catalog: c.catalog, Codec: c.codec, Clock: c.clock, Metrics: c.metrics, Log: log}); err != nil {
		t.Fatal(err)
	}
	c.run(t, "cache", c.cache.Run)
	<-c.cache.Ready()
	for _, ns := range []string{namespace, "kube-system", "kube-node-lease"} {
		c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	for _, name := range controllers {
		c.start(t, name, own)
	}
	c.run(t, "manager", c.manager.Run)
	t.Cleanup(func() {
		if t.Failed() {
			c.dump(t)
		}
	})
	return c
}

// run runs something until the test ends.
func (c *cluster) run(t testing.TB, name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// start sets a controller, wrapped as the loader does.
func (c *cluster) start(t testing.TB, name string, u user.Info) {
	t.Helper()
	o := plugin.OpenOptions{Name: name, Config: c.config(t, name), Limits: plugin.Limits{CallTimeout: 30 * time.Second}}
	p, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: name, Host: c.host.Host, Module: c.host.module, Options: o})
	if err != nil {
		t.Fatalf("load %s: %v", name, err)
	}
	if p.Manifest.Points.Has(wire.Admission) {
		if err := c.policies.Set(t.Context(), name, p); err != nil {
			t.Fatal(err)
		}
		return
	}
	ctl := reconcile.Controller{Registry: c.As(u), Open: p.Open}
	if c.served != nil {
		ctl.Served = func(w http.ResponseWriter, r *http.Request, _ func(authorizer.Attributes) error) {
			c.served.ServeHTTP(w, r)
		}
	}
	if err := c.manager.Set(name, ctl); err != nil {
		t.Fatal(err)
	}
}

// newPolicies takes admission rules, which read as the kernel lets them.
func (c *cluster) newPolicies(chain *admission.Chain) *admit.Sink {
	return admit.New(admit.Config{
		Chain: chain,
		Calls: func(name string, _ *plugin.Plugin) func() plugin.HostCall {
			config := &hostclient.Config{Plugin: name, Registry: c.As(&user.DefaultInfo{Name: name}), Catalog: c.catalog, Codec: c.codec,
				Observed: &hostclient.Observed{}, Latest: c.Core}
			return func() plugin.HostCall { return hostclient.New(config).Call }
		},
		Around: func(string, *plugin.Plugin) (admit.Around, error) { return around{c.Core}, nil },
		Exists: func(string, *plugin.Plugin) admit.Exists {
			return func(ctx context.Context, q wire.GetRequest) (bool, error) {
				gvr, _ := hostclient.ParseResource(q.Resource)
				_, err := c.Reader().Get(ctx, gvr.GroupResource(), q.Namespace, q.Name)
				return err == nil, nil
			}
		},
	})
}

// around is the cluster as match rules see it; its namespaces have no labels.
type around struct{ *registry.Core }

func (around) NamespaceLabels(context.Context, string) (map[string]string, error) { return nil, nil }

// config is what a controller needs to know of the cluster.
func (c *cluster) config(t testing.TB, name string) []byte {
	t.Helper()
	if b, ok := c.configs[name]; ok {
		return b
	}
	var config any
	switch name {
	case "node-lifecycle":
		config = map[string]any{"graceSeconds": 1}
	case "pod-garbage-collector":
		config = map[string]any{"quarantineSeconds": 1}
	case "root-ca", "service-account-token":
		config = map[string]any{"ca": "the CA"}
	default:
		return nil
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// target is where an object belongs.
func (c *cluster) target(t testing.TB, obj runtime.Object) registry.Target {
	t.Helper()
	kinds, _, err := c.table.Scheme.ObjectKinds(obj)
	if err != nil {
		t.Fatal(err)
	}
	d := c.table.LookupKind(kinds[0].GroupKind())
	m := obj.(metav1.Object)
	tg := registry.Target{Resource: kinds[0].GroupVersion().WithResource(d.Resource), Name: m.GetName()}
	if d.Namespaced {
		if tg.Namespace = m.GetNamespace(); tg.Namespace == "" {
			tg.Namespace = namespace
		}
	}
	return tg
}

func (c *cluster) mustCreate(t testing.TB, obj runtime.Object) {
	t.Helper()
	tg := c.target(t, obj)
	tg.Name = ""
	if _, err := c.Create(context.Background(), tg, obj, registry.WriteOptions{FieldManager: "test"}); err != nil {
		t.Fatalf("create: %v", err)
	}
}

// get reads an object of a type by name; nil when there is none.
func get[T any, P interface {
	*T
	runtime.Object
	metav1.Object
}](t testing.TB, c *cluster, name string) P {
	t.Helper()
	var probe P = new(T)
	probe.SetName(name)
	o, err := c.Get(context.Background(), c.target(t, probe), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return o.Obj.DeepCopyObject().(P)
}

// list reads all objects of a type in a namespace.
func list[T any, P interface {
	*T
	runtime.Object
	metav1.Object
}](t testing.TB, c *cluster, ns string) []P {
	t.Helper()
	var probe P = new(T)
	probe.SetNamespace(ns)
	tg := c.target(t, probe)
	tg.Name = ""
	l, err := c.List(context.Background(), tg, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]P, 0, len(l.Items))
	for _, o := range l.Items {
		out = append(out, o.Obj.(P))
	}
	return out
}

// update changes an object, again when another was quicker.
func update[T any, P interface {
	*T
	runtime.Object
	metav1.Object
}](t testing.TB, c *cluster, name, sub string, change func(P)) {
	t.Helper()
	for range 50 {
		o := get[T, P](t, c, name)
		if o == nil {
			t.Fatalf("update %s: not found", name)
		}
		change(o)
		tg := c.target(t, o)
		tg.Subresource = sub
		_, err := c.Update(context.Background(), tg, o, registry.WriteOptions{FieldManager: "test"})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			t.Fatalf("update %s: %v", name, err)
		}
	}
	t.Fatalf("update %s: conflicts without end", name)
}

func (c *cluster) mustDelete(t testing.TB, obj runtime.Object, policy metav1.DeletionPropagation) {
	t.Helper()
	o := metav1.DeleteOptions{}
	if policy != "" {
		o.PropagationPolicy = &policy
	}
	if _, err := c.Delete(context.Background(), c.target(t, obj), o); err != nil {
		t.Fatalf("delete: %v", err)
	}
}

// eventually waits until check answers "".
func eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	var last string
	for time.Now().Before(deadline) {
		if last = check(); last == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: %s", what, last)
}

func equal[T comparable](what string, got, want T) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s = %v, want %v", what, got, want)
}

// all joins checks: what is wrong, or "".
func all(checks ...string) string {
	return strings.Join(slices.DeleteFunc(checks, func(s string) bool { return s == "" }), "; ")
}

// dump logs what a failed test left.
func (c *cluster) dump(t testing.TB) {
	for _, rs := range list[appsv1.ReplicaSet](t, c, "") {
		t.Logf("set %s want %d status %+v", rs.Name, *rs.Spec.Replicas, rs.Status)
	}
	for _, p := range list[corev1.Pod](t, c, "") {
		t.Logf("pod %s rv %s node %q phase %s deleted %v conditions %v", p.Name, p.ResourceVersion, p.Spec.NodeName, p.Status.Phase, p.DeletionTimestamp, p.Status.Conditions)
	}
}

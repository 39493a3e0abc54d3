package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/apiserver/aggregation"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/usage"
	"github.com/pintle-io/pintle/kernel/watch"
)

var errNobodyLeads = errors.New("no server leads at the moment")

// components makes the ComponentStatus objects: whether the parts of the control
// plane that upstream has processes for do their work. Scheduler and controllers run
// on the server that leads, whichever that is.
func components(k *Kernel) registry.Computed {
	return func(ctx context.Context, _ registry.Target) ([]runtime.Object, error) {
		led := errNobodyLeads
		if l := k.leader; l != nil && (l.elector.Leads() || l.elector.Holder() != "") {
			led = nil
		}
		return []runtime.Object{
			component("controller-manager", led),
			component("etcd-0", k.storage.check(ctx)),
			component("scheduler", led),
		}, nil
	}
}

func component(name string, err error) *corev1.ComponentStatus {
	c := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
	if err != nil {
		c.Status, c.Message, c.Error = corev1.ConditionFalse, "", err.Error()
	}
	return &corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: name}, Conditions: []corev1.ComponentCondition{c}}
}

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	nodeKind   = schema.GroupResource{Resource: "nodes"}
)

// makeAggregation has what other servers serve served; nil: the table does not have
// APIServices.
func makeAggregation(k *Kernel) *aggregation.Aggregator {
	if k.catalog.Lookup(aggregation.APIServices.GroupResource()) == nil {
		return nil
	}
	c := aggregation.Config{
		Registry: ownWrites{k.access.As(auth.APIServer)}, Reader: k.core.Reader(), Catalog: k.catalog, BuiltIn: k.c.Table,
		TLS: k.pki.FrontProxyTLS(), Dial: k.c.Dial, Informers: k.informers, Log: k.c.Log,
	}
	if k.custom != nil {
		c.CatchUp = k.custom.CatchUp
	}
	return aggregation.New(c)
}

// computed are the objects that are made when they are read.
func computed(k *Kernel, reader resource.Reader) map[schema.GroupResource]registry.Computed {
	agent := func(ctx context.Context, node string) (*resource.Target, error) {
		d := k.catalog.Lookup(nodeKind)
		if d == nil || d.Subresource("proxy") == nil {
			return nil, apierrors.NewServiceUnavailable("nodes have no agents here")
		}
		obj, err := reader.Get(ctx, nodeKind, "", node)
		if err != nil {
			return nil, err
		}
		return d.Subresource("proxy").Connect(ctx, reader, obj, "", nil)
	}
	used := usage.New(usage.Config{Reader: reader, Agent: agent, TLS: k.pki.KubeletTLS(), Dial: k.c.Dial, Log: k.c.Log})
	return map[schema.GroupResource]registry.Computed{
		{Resource: "componentstatuses"}: components(k),
		usage.NodeMetrics:               used.Nodes,
		usage.PodMetrics:                used.Pods,
	}
}

// trust keeps ConfigMap extension-apiserver-authentication, by which extension API
// servers know whom to believe: clients by their certificates, and this server when
// it says who asks.
type trust struct {
	own  ownWrites
	data map[string]string // nil: there are no ConfigMaps
}

func newTrust(own ownWrites, keys *pki.PKI, t *resource.Table) *trust {
	if t.Lookup(configMaps.GroupResource()) == nil {
		return &trust{own: own}
	}
	return &trust{own, map[string]string{
		"client-ca-file":                     string(keys.CAPEM()),
		"requestheader-client-ca-file":       string(keys.FrontProxyCAPEM()),
		"requestheader-allowed-names":        `["` + pki.FrontProxyUser + `"]`,
		"requestheader-username-headers":     `["X-Remote-User"]`,
		"requestheader-uid-headers":          `["X-Remote-Uid"]`,
		"requestheader-group-headers":        `["X-Remote-Group"]`,
		"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
	}}
}

// ensure makes the object, and puts right what it says; read says how what there is may
// be read.
func (f *trust) ensure(ctx context.Context, read metav1.GetOptions) error {
	if f.data == nil {
		return nil
	}
	want := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication"}, Data: f.data}
	if err := f.own.ensure(ctx, configMaps, want, read); err != nil {
		return err
	}
	t := registry.Target{Resource: configMaps, Namespace: want.Namespace, Name: want.Name}
	o, err := f.own.Get(ctx, t, read)
	if apierrors.IsNotFound(err) {
		return nil // the cache does not know it yet, or somebody deletes it: the next time
	}
	if err != nil {
		return err
	}
	is, ok := o.Obj.(*corev1.ConfigMap)
	if !ok || maps.Equal(is.Data, f.data) {
		return nil
	}
	next := is.DeepCopy()
	next.Data = f.data
	if _, err := f.own.Update(ctx, t, next, registry.WriteOptions{FieldManager: fieldManager}); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("configmap %s: %w", want.Name, err)
	}
	return nil
}

// tracking notes when the tokens that Secrets hold are used.
func tracking(k *Kernel) *token.Tracking {
	return &token.Tracking{Registry: ownWrites{k.access.As(auth.APIServer)}, Manager: fieldManager, Clock: k.c.Adjust.Clock, Log: k.c.Log}
}

// noteTokenUse is tracking, for who is made before there are verbs.
func noteTokenUse(k *Kernel) func(context.Context, *corev1.Secret, string) {
	return func(ctx context.Context, s *corev1.Secret, day string) { tracking(k).NoteUse(ctx, s, day) }
}

// start is what a server has to read, or to write, before it answers requests as
// it does from then on.
type start struct {
	name string // of the check in /readyz: upstream's of its post-start hook
	over func() <-chan struct{}
}

// starts are those of parts that the table may lack.
func starts(k *Kernel) []start {
	var out []start
	if k.custom != nil {
		out = append(out, start{"poststarthook/crd-informer-synced", k.custom.Synced})
	}
	if k.aggregation != nil {
		out = append(out, start{"poststarthook/apiservice-registration-controller", k.aggregation.Synced})
	}
	if fair(k) { // it is made when the edge's limits are known
		out = append(out, start{"poststarthook/priority-and-fairness-config-producer", func() <-chan struct{} { return k.fairness.Synced() }})
	}
	return out
}

func (s start) check(context.Context) error {
	if !isClosed(s.over()) {
		return errors.New("not finished")
	}
	return nil
}

func (k *Kernel) checks() []apiserver.Check {
	checks := []apiserver.Check{{Name: "etcd", Check: k.storage.check}, {Name: "watch-cache", ReadyOnly: true, Check: loaded(k.cache)},
		{Name: "policies", ReadyOnly: true, Check: func(ctx context.Context) error { return errors.Join(k.plugins.loader.Check(ctx), k.dynamic.check()) }}}
	if keeper := k.storage.keeper; keeper != nil {
		checks = append(checks, apiserver.Check{Name: "etcd-quota", ReadyOnly: true, Check: keeper.Check})
	}
	for _, s := range k.starts {
		checks = append(checks, apiserver.Check{Name: s.name, ReadyOnly: true, Check: s.check})
	}
	for _, c := range k.sealing.Checks() {
		checks = append(checks, apiserver.Check{Name: c.Name, NotLive: true, Check: c.Check})
	}
	return checks
}

// loaded checks that a cache is.
func loaded(c *watch.Cache) func(context.Context) error {
	return func(context.Context) error {
		select {
		case <-c.Ready():
			return nil
		default:
			return errors.New("the watch cache is still loading")
		}
	}
}

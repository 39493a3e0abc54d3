package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/endpoints"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

var (
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	services     = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	roleBindings = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	leases       = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// firstObjects are what every cluster has: the system namespaces, the default
// roles, and Service default/kubernetes with its endpoints.
type firstObjects struct {
	own       ownWrites
	service   netip.Addr // the Service's address
	port      int32      // behind it
	endpoints *endpoints.Endpoints
	published bool                         // by ensure
	policy    func() (*rbac.Policy, error) // the default one; read once
	kinds     *resource.Table
	log       *slog.Logger
}

// newFirstObjects makes what own may write; server writes where this server is.
func newFirstObjects(own, server ownWrites, identity string, c *Config) *firstObjects {
	return &firstObjects{own: own, service: c.ServiceIP, port: int32(c.Advertise.Port()), log: c.Log, kinds: c.Table, policy: sync.OnceValues(rbac.DefaultPolicy),
		endpoints: endpoints.New(endpoints.Config{Registry: server, Identity: identity, Advertise: c.Advertise, Log: c.Log})}
}

// ensure writes what is missing. It changes nothing that is there already,
// except endpoints that do not name this server.
func (f *firstObjects) ensure(ctx context.Context) error {
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		if err := f.own.ensure(ctx, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	policy, err := f.policy()
	if err != nil {
		return err
	}
	if err := policy.Ensure(f.own.context(ctx), f.own.Registry); err != nil {
		return fmt.Errorf("default roles: %w", err)
	}
	// A list waits until the cache, by which the authorizer decides, has what was
	// just written: this server's own parts have their power from these roles.
	if _, err := f.own.List(ctx, registry.Target{Resource: roleBindings}, metav1.ListOptions{Limit: 1}); err != nil {
		return fmt.Errorf("default roles: %w", err)
	}
	if err := f.initial(ctx); err != nil {
		return err
	}
	if err := f.own.ensure(ctx, services, f.kubernetes(), metav1.GetOptions{}); err != nil {
		return err
	}
	f.published, err = f.endpoints.Ensure(ctx, metav1.GetOptions{})
	return err
}

// initial writes what the kinds bring along.
func (f *firstObjects) initial(ctx context.Context) error {
	for _, d := range f.kinds.Definitions {
		if d.Initial == nil {
			continue
		}
		for _, obj := range d.Initial() {
			if err := f.own.ensure(ctx, d.GroupResource().WithVersion(d.StorageVersion), obj, metav1.GetOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish makes the Service by which pods reach the API, and its endpoints;
// read says how what there is may be read.
func (f *firstObjects) publish(ctx context.Context, read metav1.GetOptions) error {
	if err := f.own.ensure(ctx, services, f.kubernetes(), read); err != nil {
		return err
	}
	return f.endpoints.Publish(ctx, read)
}

// fromCache is a read that costs an idle server nothing.
var fromCache = metav1.GetOptions{ResourceVersion: "0"}

// keep brings back what pods need to reach the API, within endpoints.Every, until
// ctx ends; then this server is no endpoint any more, unless it is the only one.
func (f *firstObjects) keep(ctx context.Context) error {
	t := time.NewTicker(endpoints.Every)
	defer t.Stop()
	retry := backoff.New(endpoints.Every, endpoints.Every)
	for due := !f.published; ; due = true {
		if due {
			switch err := f.publish(ctx, fromCache); {
			case err == nil:
				retry.Succeeded(f.log)
			case ctx.Err() == nil:
				_ = retry.Failed(f.log, "the API's service is not published", err) // the next tick tries
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			f.endpoints.Leave(ctx)
			return nil
		}
	}
}

func (f *firstObjects) kubernetes() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: kubernetesName,
			Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: f.service.String(), SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(f.port)}},
		},
	}
}

// kubernetesName is upstream's name of the Service.
const kubernetesName = "kubernetes"

func metaOf(obj runtime.Object) (metav1.Object, error) {
	acc, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", obj)
	}
	return acc.GetObjectMeta(), nil
}

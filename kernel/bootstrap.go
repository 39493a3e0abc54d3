package kernel

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	applynetworkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/endpoints"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

var (
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	services     = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	serviceCIDRs = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "servicecidrs"}
	roleBindings = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	leases       = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// firstObjects are what every cluster has: the system namespaces, the default
// roles, ServiceCIDR kubernetes, and Service default/kubernetes with its endpoints.
type firstObjects struct {
	own       ownWrites
	service   netip.Addr // the Service's address
	port      int32      // behind it
	endpoints *endpoints.Endpoints
	cidr      *serviceCIDR
	trust     *trust
	tracking  *token.Tracking // nil: there are no ConfigMaps
	published bool            // by ensure
	founding  []Founding
	policy    func() (*rbac.Policy, error) // the default one; read once
	kinds     *resource.Table
	clock     clock.WithTicker
	log       *slog.Logger
}

// newFirstObjects makes what own may write; server writes where this server is.
func newFirstObjects(own, server ownWrites, identity string, c *Config) *firstObjects {
	return &firstObjects{own: own, service: c.ServiceIP, port: int32(c.Advertise.Port()), clock: c.Adjust.Clock, log: c.Log, kinds: c.Table, founding: c.Founding, policy: sync.OnceValues(rbac.DefaultPolicy),
		cidr:      newServiceCIDR(own, c),
		endpoints: endpoints.New(endpoints.Config{Registry: server, Identity: identity, Advertise: c.Advertise, Clock: c.Adjust.Clock, Log: c.Log})}
}

// ensure writes what is missing. It changes nothing that is there already,
// except endpoints that do not name this server.
func (f *firstObjects) ensure(ctx context.Context) error {
	if err := f.found(ctx); err != nil {
		return err
	}
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
	if err := f.cidr.ensure(ctx, metav1.GetOptions{}); err != nil {
		return err
	}
	if err := f.trust.ensure(ctx, metav1.GetOptions{}); err != nil {
		return err
	}
	if f.tracking != nil {
		if err := f.tracking.Ensure(ctx, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	if err := f.own.ensure(ctx, services, f.kubernetes(), metav1.GetOptions{}); err != nil {
		return err
	}
	f.published, err = f.endpoints.Ensure(ctx, metav1.GetOptions{})
	return err
}

// found writes what a new cluster begins with. A cluster is new until it has its
// system namespace: a server that is killed before goes on here.
func (f *firstObjects) found(ctx context.Context) error {
	_, err := f.own.Get(ctx, registry.Target{Resource: namespaces, Name: metav1.NamespaceSystem}, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	for _, x := range f.founding {
		if err := f.own.ensure(ctx, x.Resource, x.Object, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	return nil
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
	if err := f.cidr.ensure(ctx, read); err != nil {
		return err
	}
	if err := f.trust.ensure(ctx, read); err != nil {
		return err
	}
	if f.tracking != nil {
		if err := f.tracking.Ensure(ctx, read); err != nil {
			return err
		}
	}
	return f.endpoints.Publish(ctx, read)
}

// fromCache is a read that costs an idle server nothing.
var fromCache = metav1.GetOptions{ResourceVersion: "0"}

// keep brings back what pods need to reach the API, within endpoints.Every, until
// ctx ends; then this server is no endpoint any more, unless it is the only one.
func (f *firstObjects) keep(ctx context.Context) error {
	t := f.clock.NewTicker(endpoints.Every)
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
		case <-t.C():
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

// serviceCIDR keeps ServiceCIDR kubernetes, which tells the ranges of ClusterIPs that
// this server was started with, and calls it ready as long as nobody has said
// otherwise. It changes no ranges: those of other servers may be meant.
type serviceCIDR struct {
	own      ownWrites
	ranges   []string // none: it keeps nothing
	now      func() time.Time
	log      *slog.Logger
	differed bool // it was told that the ranges are others
}

func newServiceCIDR(own ownWrites, c *Config) *serviceCIDR {
	s := &serviceCIDR{own: own, now: c.Adjust.Clock.Now, log: c.Log}
	if c.Table.Lookup(serviceCIDRs.GroupResource()) != nil {
		for _, p := range c.ServiceCIDRs {
			s.ranges = append(s.ranges, p.Masked().String())
		}
	}
	return s
}

// ensure makes the object and its condition; read says how what there is may be
// read.
func (s *serviceCIDR) ensure(ctx context.Context, read metav1.GetOptions) error {
	if len(s.ranges) == 0 {
		return nil
	}
	wanted := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: kubernetesName}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: s.ranges}}
	if err := s.own.ensure(ctx, serviceCIDRs, wanted, read); err != nil {
		return err
	}
	t := registry.Target{Resource: serviceCIDRs, Name: kubernetesName}
	o, err := s.own.Get(ctx, t, read)
	if apierrors.IsNotFound(err) {
		return nil // the cache does not know it yet, or somebody deletes it: the next time
	}
	if err != nil {
		return err
	}
	is, ok := o.Obj.(*networkingv1.ServiceCIDR)
	switch {
	case !ok || is.DeletionTimestamp != nil:
		return nil
	case !slices.Equal(is.Spec.CIDRs, s.ranges):
		if !s.differed {
			s.log.Warn("ServiceCIDR kubernetes has other ranges than this server was started with", "has", is.Spec.CIDRs, "started with", s.ranges)
		}
		s.differed = true
		return nil
	}
	if c := apimeta.FindStatusCondition(is.Status.Conditions, networkingv1.ServiceCIDRConditionReady); c != nil && c.Status != metav1.ConditionUnknown {
		return nil
	}
	return s.ready(ctx, t)
}

// serviceCIDRManager is upstream's field manager of the condition.
const serviceCIDRManager = "kubernetes-service-cidr-controller"

func (s *serviceCIDR) ready(ctx context.Context, t registry.Target) error {
	patch, err := json.Marshal(applynetworkingv1.ServiceCIDR(kubernetesName).WithStatus(applynetworkingv1.ServiceCIDRStatus().WithConditions(
		applymetav1.Condition().WithType(networkingv1.ServiceCIDRConditionReady).WithStatus(metav1.ConditionTrue).
			WithMessage("Kubernetes default Service CIDR is ready").WithLastTransitionTime(metav1.NewTime(s.now())))))
	if err != nil {
		return err
	}
	t.Subresource = "status"
	_, err = s.own.Patch(ctx, t, types.ApplyPatchType, patch, registry.WriteOptions{FieldManager: serviceCIDRManager, Force: true})
	return err
}

func metaOf(obj runtime.Object) (metav1.Object, error) {
	acc, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", obj)
	}
	return acc.GetObjectMeta(), nil
}

package kernel

import (
	"context"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/registry"
)

var (
	namespaces     = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	services       = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

// bootstrap writes what every cluster has: the system namespaces, the default
// roles, and Service default/kubernetes with its endpoint. It changes nothing
// that is there already, except the endpoint.
func (k *Kernel) bootstrap(ctx context.Context) error {
	ctx = admission.WithOwnObjects(ctx)
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		if err := k.ensure(ctx, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	policy, err := rbac.DefaultPolicy()
	if err != nil {
		return err
	}
	if err := policy.Ensure(ctx, k.own()); err != nil {
		return fmt.Errorf("default roles: %w", err)
	}
	return k.publish(ctx, metav1.GetOptions{})
}

// own is the registry for the objects that the server makes by itself.
func (k *Kernel) own() registry.Registry { return k.access.As(auth.APIServer) }

// publish makes the Service by which pods reach the API, and its endpoint;
// read says how what there is may be read.
func (k *Kernel) publish(ctx context.Context, read metav1.GetOptions) error {
	if err := k.ensure(ctx, services, k.kubernetesService(), read); err != nil {
		return err
	}
	return k.publishEndpoint(ctx, read)
}

// keepEvery is how soon the Service of the API is back after somebody deleted
// it; upstream's interval.
const keepEvery = 10 * time.Second

// fromCache is a read that costs an idle server nothing.
var fromCache = metav1.GetOptions{ResourceVersion: "0"}

// keep brings back what pods need to reach the API.
func (k *Kernel) keep(ctx context.Context) error {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		if err := k.publish(admission.WithOwnObjects(ctx), fromCache); err != nil && ctx.Err() == nil {
			k.c.Log.Error("publish the API's service", "error", err)
		}
	}
}

func (k *Kernel) kubernetesService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "kubernetes",
			Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: k.c.ServiceIP.String(), SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(int32(k.c.Advertise.Port()))}},
		},
	}
}

// ensure creates an object unless it is there.
func (k *Kernel) ensure(ctx context.Context, gvr schema.GroupVersionResource, obj runtime.Object, read metav1.GetOptions) error {
	m, err := metaOf(obj)
	if err != nil {
		return err
	}
	t := registry.Target{Resource: gvr, Namespace: m.GetNamespace(), Name: m.GetName()}
	if _, err := k.own().Get(ctx, t, read); err == nil || !apierrors.IsNotFound(err) {
		return err
	}
	t.Name = ""
	if _, err := k.own().Create(ctx, t, obj, registry.WriteOptions{FieldManager: "pintle"}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s %s: %w", gvr.Resource, m.GetName(), err)
	}
	return nil
}

func metaOf(obj runtime.Object) (metav1.Object, error) {
	acc, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", obj)
	}
	return acc.GetObjectMeta(), nil
}

// publishEndpoint says where this server is reached. The slice is upstream's
// in name and labels.
func (k *Kernel) publishEndpoint(ctx context.Context, read metav1.GetOptions) error {
	if a := k.c.Advertise.Addr(); a.IsLoopback() || a.IsLinkLocalUnicast() {
		// The API takes no such endpoint, and no pod would reach it.
		k.unreachable.Do(func() {
			k.c.Log.Warn("pods cannot reach the API server: its address is of this machine only", "address", a)
		})
		return nil
	}
	name, tcp, port, ready := "https", corev1.ProtocolTCP, int32(k.c.Advertise.Port()), true
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{k.c.Advertise.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Protocol: &tcp, Port: &port}},
	}
	t := registry.Target{Resource: endpointSlices, Namespace: want.Namespace, Name: want.Name}
	have, err := k.own().Get(ctx, t, read)
	if apierrors.IsNotFound(err) {
		return k.ensure(ctx, endpointSlices, want, read)
	}
	if err != nil {
		return err
	}
	old, ok := have.Obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return fmt.Errorf("endpoint slice kubernetes is a %T", have.Obj)
	}
	if reflect.DeepEqual(old.Endpoints, want.Endpoints) && reflect.DeepEqual(old.Ports, want.Ports) {
		return nil
	}
	next := old.DeepCopy()
	next.Endpoints, next.Ports = want.Endpoints, want.Ports
	_, err = k.own().Update(ctx, t, next, registry.WriteOptions{FieldManager: "pintle"})
	return err
}

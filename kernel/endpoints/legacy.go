package endpoints

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

// Legacy are Endpoints, for clients that do not read slices.
var Legacy = corev1.SchemeGroupVersion.WithResource("endpoints")

// legacyOf is a slice as the Endpoints of the Service, which have one family. They
// are not to be mirrored: the slices are there.
func legacyOf(s *discoveryv1.EndpointSlice) *corev1.Endpoints {
	out := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: kubernetes, Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}}}
	subset := corev1.EndpointSubset{}
	for _, e := range s.Endpoints {
		subset.Addresses = append(subset.Addresses, corev1.EndpointAddress{IP: e.Addresses[0]})
	}
	for _, p := range s.Ports {
		subset.Ports = append(subset.Ports, corev1.EndpointPort{Name: *p.Name, Protocol: *p.Protocol, Port: *p.Port})
	}
	out.Subsets = []corev1.EndpointSubset{subset}
	return out
}

// writeLegacy makes the Endpoints be as wanted.
func (e *Endpoints) writeLegacy(ctx context.Context, want *corev1.Endpoints, read metav1.GetOptions) error {
	t := registry.Target{Resource: Legacy, Namespace: want.Namespace, Name: want.Name}
	have, err := e.c.Registry.Get(ctx, t, read)
	switch {
	case apierrors.IsNotFound(err):
		t.Name = ""
		_, err = e.c.Registry.Create(ctx, t, want, asServer)
	case err == nil:
		old, ok := have.Obj.(*corev1.Endpoints)
		if !ok {
			return fmt.Errorf("it is a %T", have.Obj)
		}
		if reflect.DeepEqual(old.Subsets, want.Subsets) && old.Labels[discoveryv1.LabelSkipMirror] == "true" {
			return nil
		}
		next := old.DeepCopy()
		next.Subsets = want.Subsets
		metav1.SetMetaDataLabel(&next.ObjectMeta, discoveryv1.LabelSkipMirror, "true")
		_, err = e.c.Registry.Update(ctx, t, next, asServer)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return nil // another server was quicker, from the same leases
	}
	return err
}

package informer

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// trimFor returns what drops from an object whatever no part of this node reads.
func trimFor(node string) cache.TransformFunc {
	return func(o any) (any, error) {
		switch o := o.(type) {
		case *corev1.Pod:
			o.ManagedFields = nil
		case *corev1.Service:
			o.ObjectMeta = trimMeta(o.ObjectMeta, discoveryLabels...)
			o.Status.Conditions = nil
		case *discoveryv1.EndpointSlice:
			o.ObjectMeta = trimMeta(o.ObjectMeta, discoveryLabels...)
		case *corev1.Namespace:
			return &corev1.Namespace{ObjectMeta: trimMeta(o.ObjectMeta)}, nil
		case *corev1.Node:
			if o.Name == node {
				o.ManagedFields = nil
				return o, nil
			}
			return &corev1.Node{
				ObjectMeta: trimMeta(o.ObjectMeta),
				Spec:       corev1.NodeSpec{PodCIDR: o.Spec.PodCIDR, PodCIDRs: o.Spec.PodCIDRs},
				Status:     corev1.NodeStatus{Addresses: o.Status.Addresses},
			}, nil
		}
		return o, nil
	}
}

// discoveryLabels are the labels that mean something to a reader of Services.
var discoveryLabels = []string{discoveryv1.LabelServiceName, "service.kubernetes.io/service-proxy-name", corev1.IsHeadlessService}

func trimMeta(m metav1.ObjectMeta, labels ...string) metav1.ObjectMeta {
	out := metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, DeletionTimestamp: m.DeletionTimestamp}
	for _, l := range labels {
		if v, ok := m.Labels[l]; ok {
			if out.Labels == nil {
				out.Labels = map[string]string{}
			}
			out.Labels[l] = v
		}
	}
	return out
}

package backends

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// HeadlessLabel is on what belongs to a Service without an address.
const HeadlessLabel = "service.kubernetes.io/headless"

// Selected tells that the endpoints of a Service are the pods that it selects, and
// nobody else's affair.
func Selected(svc *corev1.Service) bool {
	return len(svc.Spec.Selector) > 0 && svc.Spec.Type != corev1.ServiceTypeExternalName
}

// Headless tells that a Service has no address of its own.
func Headless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == "None" }

// Of reads the pods that a Service selects.
func Of(c client.Client, svc *corev1.Service) ([]*Pod, error) {
	var pods []*Pod
	sel := metav1.LabelSelector{MatchLabels: svc.Spec.Selector}
	err := c.List(&pods, client.ListOptions{Namespace: svc.Namespace, Labels: sel.String()})
	return pods, err
}

// Selecting requests the Services that select pods with these labels: what a
// request of [controller.Labels] stands for.
func Selecting(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var services []*corev1.Service
	if err := c.List(&services, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, svc := range services {
		sel := metav1.LabelSelector{MatchLabels: svc.Spec.Selector}
		if Selected(svc) && sel.Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: svc.Namespace, Name: svc.Name})
		}
	}
	return res, nil
}

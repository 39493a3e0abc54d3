package endpoints

import (
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	managedLabel = "endpoints.kubernetes.io/managed-by"
	managedBy    = "endpoint-controller"
)

// want computes the Endpoints of a Service from its pods and from those that there
// are; nil when there are none. changed tells that they are to be written.
func want(svc *corev1.Service, pods []*backends.Pod, have *corev1.Endpoints) (next *corev1.Endpoints, changed bool) {
	subsets, over := truncate(backends.Repack(subsetsOf(svc, pods)))
	next = client.Clone(have)
	if next == nil {
		next = &corev1.Endpoints{}
		next.Namespace, next.Name = svc.Namespace, svc.Name
	}
	next.Subsets, next.Labels = subsets, labelsOf(svc)
	if have != nil {
		_, said := have.Annotations[corev1.EndpointsOverCapacity]
		if said == over && maps.Equal(have.Labels, next.Labels) && reflect.DeepEqual(backends.Repack(have.Subsets), subsets) {
			return nil, false
		}
	}
	if next.Annotations == nil {
		next.Annotations = map[string]string{}
	}
	delete(next.Annotations, corev1.EndpointsOverCapacity)
	if over {
		next.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	}
	delete(next.Annotations, corev1.EndpointsLastChangeTriggerTime)
	if at := triggered(svc, pods, have); !at.IsZero() {
		next.Annotations[corev1.EndpointsLastChangeTriggerTime] = at.UTC().Format(time.RFC3339Nano)
	}
	return next, true
}

// subsetsOf are the endpoints of a Service, one by one.
func subsetsOf(svc *corev1.Service, pods []*backends.Pod) []corev1.EndpointSubset {
	var out []corev1.EndpointSubset
	for _, p := range pods {
		address, ok := addressOf(svc, p)
		if !ok {
			continue
		}
		s := corev1.EndpointSubset{NotReadyAddresses: []corev1.EndpointAddress{address}}
		if isReady(svc, p) {
			s = corev1.EndpointSubset{Addresses: []corev1.EndpointAddress{address}}
		}
		if len(svc.Spec.Ports) == 0 && backends.Headless(svc) {
			out = append(out, s)
		}
		for _, sp := range svc.Spec.Ports {
			number, ok := p.Port(sp)
			if !ok {
				continue
			}
			s.Ports = []corev1.EndpointPort{{Name: sp.Name, Port: number, Protocol: sp.Protocol, AppProtocol: sp.AppProtocol}}
			out = append(out, s)
		}
	}
	return out
}

func isReady(svc *corev1.Service, p *backends.Pod) bool {
	return svc.Spec.PublishNotReadyAddresses || p.Ready()
}

// addressOf is where a pod is to be found; ok is false when it is no endpoint.
func addressOf(svc *corev1.Service, p *backends.Pod) (a corev1.EndpointAddress, ok bool) {
	if p.Finished() || p.DeletionTimestamp != nil && !svc.Spec.PublishNotReadyAddresses {
		return a, false
	}
	ip := p.Address(familyOf(svc, p))
	if ip == "" {
		return a, false
	}
	a = corev1.EndpointAddress{IP: ip, Hostname: p.Hostname(svc.Name),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}}
	if node := p.Spec.NodeName; node != "" {
		a.NodeName = &node
	}
	return a, true
}

// familyOf is the one family that Endpoints have: the first of the Service, or what
// its address or the pod's says.
func familyOf(svc *corev1.Service, p *backends.Pod) corev1.IPFamily {
	if len(svc.Spec.IPFamilies) > 0 {
		return svc.Spec.IPFamilies[0]
	}
	probe := svc.Spec.ClusterIP
	if (probe == "" || backends.Headless(svc)) && len(p.Status.PodIPs) > 0 {
		probe = p.Status.PodIPs[0].IP
	}
	if strings.Contains(probe, ":") {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// labelsOf are the Service's labels and those that say whose Endpoints they are.
func labelsOf(svc *corev1.Service) map[string]string {
	out := map[string]string{}
	maps.Copy(out, svc.Labels)
	delete(out, backends.HeadlessLabel)
	if svc.Spec.ClusterIP == "" || backends.Headless(svc) {
		out[backends.HeadlessLabel] = ""
	}
	out[managedLabel] = managedBy
	return out
}

// triggered is when that happened which the Endpoints have not shown yet: the
// creation of the Service, or the first change of readiness among pods that have
// come, or have got or lost it. Zero is neither of these. Upstream remembers times
// to tell what is new; what is stored tells it as well, but for pods that Endpoints
// over capacity do not show: those may have been there for long, and do not count.
func triggered(svc *corev1.Service, pods []*backends.Pod, have *corev1.Endpoints) time.Time {
	if have == nil {
		return svc.CreationTimestamp.Time()
	}
	_, over := have.Annotations[corev1.EndpointsOverCapacity]
	was := map[backends.AddressKey]bool{}
	for _, s := range have.Subsets {
		for _, a := range s.Addresses {
			was[backends.KeyOf(a)] = true
		}
		for _, a := range s.NotReadyAddresses {
			was[backends.KeyOf(a)] = false
		}
	}
	var first time.Time
	for _, p := range pods {
		a, ok := addressOf(svc, p)
		at := p.ReadinessChanged()
		if ready, known := was[backends.KeyOf(a)]; !ok || at.IsZero() || !known && over || known && ready == isReady(svc, p) {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

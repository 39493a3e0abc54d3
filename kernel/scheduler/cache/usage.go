package cache

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	podresource "k8s.io/component-helpers/resource"

	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// A container without a request counts with these in scores, as upstream has
// it, so that pods without requests spread too.
const (
	defaultMilliCPU = 100
	defaultMemory   = 200 << 20
)

var defaultRequests = corev1.ResourceList{
	corev1.ResourceCPU:    *resource.NewMilliQuantity(defaultMilliCPU, resource.DecimalSI),
	corev1.ResourceMemory: *resource.NewQuantity(defaultMemory, resource.BinarySI),
}

// UsageOf is what a pod takes from its node.
func UsageOf(p *corev1.Pod) columns.Usage {
	u := requestsOf(p)
	u.Ports = hostPortsOf(p)
	return u
}

// hostPortsOf are the host ports of containers that run as long as the pod
// does.
func hostPortsOf(p *corev1.Pod) []columns.HostPort {
	var out []columns.HostPort
	add := func(c *corev1.Container) {
		for i := range c.Ports {
			if x := &c.Ports[i]; x.HostPort > 0 {
				out = append(out, columns.HostPort{IP: x.HostIP, Protocol: string(x.Protocol), Port: x.HostPort})
			}
		}
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	for i := range p.Spec.Containers {
		add(&p.Spec.Containers[i])
	}
	return out
}

func requestsOf(p *corev1.Pod) columns.Usage {
	if plain(p) {
		return sumContainers(p)
	}
	opts := podresource.PodResourcesOptions{UseStatusResources: p.Spec.NodeName != "", InPlacePodLevelResourcesVerticalScalingEnabled: true}
	u := columns.Usage{Requests: amounts(podresource.PodRequests(p, opts))}
	opts.NonMissingContainerRequests = defaultRequests
	nonZero := podresource.PodRequests(p, opts)
	u.NonZeroCPU, u.NonZeroMemory = nonZero.Cpu().MilliValue(), nonZero.Memory().Value()
	return u
}

// plain tells whether the pod's requests are the sum of its containers'. The
// general way costs ten times as much.
func plain(p *corev1.Pod) bool {
	if len(p.Spec.InitContainers) > 0 || p.Spec.Resources != nil || len(p.Spec.Overhead) > 0 {
		return false
	}
	for i := range p.Status.ContainerStatuses {
		if !noResize(p, &p.Status.ContainerStatuses[i]) {
			return false
		}
	}
	return true
}

// noResize tells whether a container has what its spec asks for, and was
// allocated nothing else: no resize of it waits or is under way.
func noResize(p *corev1.Pod, s *corev1.ContainerStatus) bool {
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		if c.Name != s.Name {
			continue
		}
		return (s.AllocatedResources == nil || equalLists(c.Resources.Requests, s.AllocatedResources)) &&
			(s.Resources == nil || equalLists(c.Resources.Requests, s.Resources.Requests))
	}
	return false
}

func equalLists(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if x, ok := b[name]; !ok || q.Cmp(x) != 0 {
			return false
		}
	}
	return true
}

func sumContainers(p *corev1.Pod) columns.Usage {
	var u columns.Usage
	for i := range p.Spec.Containers {
		list := p.Spec.Containers[i].Resources.Requests
		a := amounts(list)
		u.Requests.MilliCPU += a.MilliCPU
		u.Requests.Memory += a.Memory
		u.Requests.Ephemeral += a.Ephemeral
		for _, x := range a.Extended {
			u.Requests.Extended = addTo(u.Requests.Extended, x)
		}
		if _, ok := list[corev1.ResourceCPU]; !ok {
			a.MilliCPU = defaultMilliCPU
		}
		if _, ok := list[corev1.ResourceMemory]; !ok {
			a.Memory = defaultMemory
		}
		u.NonZeroCPU += a.MilliCPU
		u.NonZeroMemory += a.Memory
	}
	slices.SortFunc(u.Requests.Extended, byName)
	return u
}

func addTo(list []columns.Amount, x columns.Amount) []columns.Amount {
	for i := range list {
		if list[i].Name == x.Name {
			list[i].Value += x.Value
			return list
		}
	}
	return append(list, x)
}

func byName(a, b columns.Amount) int { return strings.Compare(a.Name, b.Name) }

// amounts reads a resource list. Resources without a meaning for nodes (pods,
// storage) are left out.
func amounts(list corev1.ResourceList) columns.Resources {
	var a columns.Resources
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			a.MilliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			a.Memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			a.Ephemeral = q.Value()
		default:
			if v := q.Value(); v > 0 && scalar(string(name)) {
				a.Extended = append(a.Extended, columns.Amount{Name: string(name), Value: v})
			}
		}
	}
	slices.SortFunc(a.Extended, byName)
	return a
}

// scalar tells whether a resource is counted in pieces: extended resources,
// huge pages, attachable volumes.
func scalar(name string) bool {
	return strings.Contains(name, "/") || strings.HasPrefix(name, corev1.ResourceHugePagesPrefix) ||
		strings.HasPrefix(name, corev1.ResourceAttachableVolumesPrefix)
}

func equalUsage(a, b *columns.Usage) bool {
	return a.NonZeroCPU == b.NonZeroCPU && a.NonZeroMemory == b.NonZeroMemory && equalAmounts(&a.Requests, &b.Requests) &&
		slices.Equal(a.Ports, b.Ports)
}

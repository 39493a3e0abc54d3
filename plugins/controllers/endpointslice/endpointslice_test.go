package endpointslice

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

func newService(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, IPFamilies: []corev1.IPFamily{"IPv4"}, ClusterIP: "10.96.0.7",
		Ports: []corev1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80, TargetPort: intstr.FromInt(8080)}}}}
	s.Name, s.Namespace, s.UID = "web", "default", "svc"
	for _, f := range change {
		f(s)
	}
	return s
}

func newPod(name, ip string, change ...func(*backends.Pod)) *backends.Pod {
	p := &backends.Pod{}
	p.Name, p.Namespace, p.UID = name, "default", "uid-"+name
	p.Spec.NodeName = "node"
	p.Spec.Containers = []backends.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}, {Name: "web", ContainerPort: 9090, Protocol: "UDP"}}}}
	p.Status.Phase = corev1.PodRunning
	p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	p.Status.Conditions = []backends.Condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, f := range change {
		f(p)
	}
	return p
}

func unready(p *backends.Pod)  { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func deleted(p *backends.Pod)  { at := metav1.Time("2026-01-01T00:00:00Z"); p.DeletionTimestamp = &at }
func finished(p *backends.Pod) { p.Status.Phase = corev1.PodSucceeded }
func unbound(p *backends.Pod)  { p.Spec.NodeName = "" }
func both(p *backends.Pod)     { p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::1"}) }
func named(s *corev1.Service) {
	s.Spec.Ports[0].TargetPort = intstr.FromString("web")
}
func port(n int32) func(*backends.Pod) {
	return func(p *backends.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = n }
}
func sidecar(p *backends.Pod) {
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = []backends.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 1}}},
		{RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 7070}}}}
	p.Spec.Containers[0].Ports = nil
}

// describe writes a group as "IPv4 [http/TCP:8080] 10.0.0.1 rst".
func describe(groups []*group) (out []string) {
	for _, g := range groups {
		var ports, ends []string
		for _, p := range g.ports {
			ports = append(ports, fmt.Sprintf("%s/%s:%d", *p.Name, *p.Protocol, *p.Port))
		}
		for _, e := range g.endpoints {
			s := " " + e.Addresses[0] + " "
			for _, c := range []struct {
				letter string
				on     *bool
			}{{"r", e.Conditions.Ready}, {"s", e.Conditions.Serving}, {"t", e.Conditions.Terminating}} {
				if *c.on {
					s += c.letter
				}
			}
			if e.Hostname != nil {
				s += " " + *e.Hostname
			}
			ends = append(ends, s)
		}
		out = append(out, fmt.Sprintf("%s %v%s", g.family, ports, strings.Join(ends, "")))
	}
	return out
}

func TestWant(t *testing.T) {
	for _, tc := range []struct {
		name string
		svc  *corev1.Service
		pods []*backends.Pod
		want []string
	}{
		{"no pods", newService(), nil, []string{"IPv4 []"}},
		{"states", newService(), []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2", unready), newPod("c", "10.0.0.3", deleted),
			newPod("d", "10.0.0.4", deleted, unready), newPod("e", "10.0.0.5", finished), newPod("f", "10.0.0.6", unbound), newPod("g", "")},
			[]string{"IPv4 [http/TCP:8080] 10.0.0.1 rs 10.0.0.2  10.0.0.3 st 10.0.0.4 t"}},
		{"not ready ones published", newService(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }),
			[]*backends.Pod{newPod("a", "10.0.0.1", unready), newPod("b", "10.0.0.2", deleted)}, []string{"IPv4 [http/TCP:8080] 10.0.0.1 r 10.0.0.2 rst"}},
		{"named ports that differ", newService(named), []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2", port(8081)), newPod("c", "10.0.0.3")},
			[]string{"IPv4 [http/TCP:8080] 10.0.0.1 rs 10.0.0.3 rs", "IPv4 [http/TCP:8081] 10.0.0.2 rs"}},
		{"a named port of another protocol", newService(named, func(s *corev1.Service) { s.Spec.Ports[0].Protocol = "UDP" }),
			[]*backends.Pod{newPod("a", "10.0.0.1")}, []string{"IPv4 [http/UDP:9090] 10.0.0.1 rs"}},
		{"a named port of a sidecar", newService(named), []*backends.Pod{newPod("a", "10.0.0.1", sidecar)}, []string{"IPv4 [http/TCP:7070] 10.0.0.1 rs"}},
		{"a named port that nobody has", newService(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString("no") }),
			[]*backends.Pod{newPod("a", "10.0.0.1")}, []string{"IPv4 [] 10.0.0.1 rs"}},
		{"the port itself is the target", newService(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.IntOrString{} }),
			[]*backends.Pod{newPod("a", "10.0.0.1")}, []string{"IPv4 [http/TCP:80] 10.0.0.1 rs"}},
		{"headless without ports", newService(func(s *corev1.Service) { s.Spec.ClusterIP, s.Spec.Ports = "None", nil }),
			[]*backends.Pod{newPod("a", "10.0.0.1", func(p *backends.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "a", "web" }),
				newPod("b", "10.0.0.2", func(p *backends.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "b", "other" })},
			[]string{"IPv4 [] 10.0.0.1 rs a 10.0.0.2 rs"}},
		{"two families", newService(func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"} }),
			[]*backends.Pod{newPod("a", "10.0.0.1", both)}, []string{"IPv4 [http/TCP:8080] 10.0.0.1 rs", "IPv6 [http/TCP:8080] fd00::1 rs"}},
		{"two families, one address", newService(func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"} }),
			[]*backends.Pod{newPod("a", "10.0.0.1")}, []string{"IPv4 [http/TCP:8080] 10.0.0.1 rs", "IPv6 []"}},
		{"pods of one address", newService(), []*backends.Pod{newPod("b", "10.0.0.1"), newPod("a", "10.0.0.1", deleted)},
			[]string{"IPv4 [http/TCP:8080] 10.0.0.1 st 10.0.0.1 rs"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, describe(want(tc.svc, tc.pods))); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

// state applies operations as the API would.
type state struct {
	slices []*discoveryv1.EndpointSlice
	made   int
}

func (s *state) apply(ops []client.Op) string {
	n := map[client.Verb]int{}
	for _, op := range ops {
		n[op.Verb]++
		x := op.Object.(*discoveryv1.EndpointSlice)
		switch op.Verb {
		case client.VerbCreate:
			s.made++
			x.Name, x.UID = fmt.Sprint(x.GenerateName, s.made), fmt.Sprint("uid", s.made)
			s.slices = append(s.slices, x)
		case client.VerbUpdate:
			s.slices[slices.IndexFunc(s.slices, func(y *discoveryv1.EndpointSlice) bool { return y.UID == x.UID })] = x
		case client.VerbDelete:
			s.slices = slices.DeleteFunc(s.slices, func(y *discoveryv1.EndpointSlice) bool { return y.UID == x.UID })
		}
	}
	return fmt.Sprintf("%d created, %d updated, %d deleted", n[client.VerbCreate], n[client.VerbUpdate], n[client.VerbDelete])
}

func pods(from, to int, change ...func(*backends.Pod)) (out []*backends.Pod) {
	for i := from; i < to; i++ {
		out = append(out, newPod(fmt.Sprintf("pod-%04d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250), change...))
	}
	return out
}

// TestDiff takes a Service through its life and counts the writes.
func TestDiff(t *testing.T) {
	s := &state{}
	for _, step := range []struct {
		name string
		svc  *corev1.Service
		pods []*backends.Pod
		want string
		full int // slices then
	}{
		{"an empty slice at first", newService(), nil, "1 created, 0 updated, 0 deleted", 1},
		{"pods, of another port than none", newService(), pods(0, 250), "3 created, 0 updated, 1 deleted", 3},
		{"nothing new", newService(), pods(0, 250), "0 created, 0 updated, 0 deleted", 3},
		{"one pod falls ill", newService(), append(pods(0, 249), pods(249, 250, unready)...), "0 created, 1 updated, 0 deleted", 3},
		{"it goes", newService(), pods(0, 249), "0 created, 1 updated, 0 deleted", 3},
		{"fifty more, one into the gap", newService(), pods(0, 299), "0 created, 2 updated, 0 deleted", 3},
		{"two more", newService(), pods(0, 301), "1 created, 1 updated, 0 deleted", 4},
		{"another label", newService(func(s *corev1.Service) { s.Labels = map[string]string{"a": "b"} }), pods(0, 301), "0 created, 4 updated, 0 deleted", 4},
		{"few are left", newService(func(s *corev1.Service) { s.Labels = map[string]string{"a": "b"} }), pods(0, 3), "0 created, 2 updated, 2 deleted", 2},
		{"the Service is another", newService(func(s *corev1.Service) { s.UID = "other" }), pods(0, 3), "1 created, 0 updated, 2 deleted", 1},
	} {
		plans, left := plan(step.svc, want(step.svc, step.pods), s.slices)
		ops := diff(step.svc, plans, left, time.Time{})
		if got := s.apply(ops); got != step.want {
			t.Fatalf("%s: %s, want %s", step.name, got, step.want)
		}
		seen := map[string]bool{}
		for _, x := range s.slices {
			if len(x.Endpoints) > maxEndpoints {
				t.Errorf("%s: a slice of %d endpoints", step.name, len(x.Endpoints))
			}
			for _, e := range x.Endpoints {
				if seen[e.Addresses[0]] {
					t.Errorf("%s: %s is told twice", step.name, e.Addresses[0])
				}
				seen[e.Addresses[0]] = true
			}
		}
		if len(seen) != len(step.pods) || len(s.slices) != step.full {
			t.Errorf("%s: %d endpoints in %d slices, want %d in %d", step.name, len(seen), len(s.slices), len(step.pods), step.full)
		}
	}
}

func TestForeignSlicesDoNoHarm(t *testing.T) {
	svc := newService()
	odd := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{}}, Endpoints: []discoveryv1.Endpoint{{}}}
	odd.UID = "odd"
	s := &state{slices: []*discoveryv1.EndpointSlice{odd}}
	plans, left := plan(svc, want(svc, pods(0, 1)), s.slices)
	if got, want := s.apply(diff(svc, plans, left, time.Time{})), "1 created, 0 updated, 1 deleted"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLabels(t *testing.T) {
	svc := newService(func(s *corev1.Service) {
		s.Labels = map[string]string{"mine": "yes", serviceLabel: "forged", managedLabel: "forged", backends.HeadlessLabel: "forged"}
	})
	want := map[string]string{"mine": "yes", serviceLabel: "web", managedLabel: managedBy}
	if diff := cmp.Diff(want, labelsOf(svc)); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	svc.Spec.ClusterIP = "None"
	if _, ok := labelsOf(svc)[backends.HeadlessLabel]; !ok {
		t.Error("the slices of a headless Service do not say so")
	}
}

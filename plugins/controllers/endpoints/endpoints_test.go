package endpoints

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newService(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, IPFamilies: []corev1.IPFamily{"IPv4"}, ClusterIP: "10.96.0.7",
		Ports: []corev1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80, TargetPort: intstr.FromInt(8080)}}}}
	s.Name, s.Namespace, s.CreationTimestamp = "web", "default", metav1.NewTime(start)
	for _, f := range change {
		f(s)
	}
	return s
}

func newPod(name, ip string, change ...func(*backends.Pod)) *backends.Pod {
	p := &backends.Pod{}
	p.Name, p.Namespace, p.UID, p.Labels = name, "default", "uid-"+name, map[string]string{"app": "web"}
	p.Spec.NodeName = "node"
	p.Spec.Containers = []backends.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 9090}}}}
	p.Status.Phase = corev1.PodRunning
	if ip != "" {
		p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	}
	p.Status.Conditions = []backends.Condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(start.Add(time.Minute))}}
	for _, f := range change {
		f(p)
	}
	return p
}

func unready(p *backends.Pod)  { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func deleted(p *backends.Pod)  { p.DeletionTimestamp = new(metav1.NewTime(start)) }
func finished(p *backends.Pod) { p.Status.Phase = corev1.PodFailed }
func at(d time.Duration) func(*backends.Pod) {
	return func(p *backends.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(start.Add(d)) }
}
func headless(s *corev1.Service)  { s.Spec.ClusterIP = "None" }
func publishes(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }
func two(s *corev1.Service) {
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "named", Protocol: "TCP", Port: 81, TargetPort: intstr.FromString("web")})
}

// describe writes subsets as "10.0.0.1 -10.0.0.2 [http/TCP:8080]"; - is not ready.
func describe(subsets []corev1.EndpointSubset) (out []string) {
	for _, s := range subsets {
		var parts, ports []string
		for _, a := range s.Addresses {
			parts = append(parts, strings.TrimSpace(a.IP+" "+a.Hostname))
		}
		for _, a := range s.NotReadyAddresses {
			parts = append(parts, "-"+a.IP)
		}
		for _, p := range s.Ports {
			ports = append(ports, fmt.Sprintf("%s/%s:%d", p.Name, p.Protocol, p.Port))
		}
		out = append(out, fmt.Sprintf("%s %v", strings.Join(parts, " "), ports))
	}
	return out
}

func TestSubsets(t *testing.T) {
	for _, tc := range []struct {
		name string
		svc  *corev1.Service
		pods []*backends.Pod
		want []string
	}{
		{"no pods", newService(), nil, nil},
		{"states", newService(), []*backends.Pod{newPod("b", "10.0.0.2"), newPod("a", "10.0.0.1"), newPod("c", "10.0.0.3", unready), newPod("d", "10.0.0.4", deleted),
			newPod("e", "10.0.0.5", finished), newPod("f", "")}, []string{"10.0.0.1 10.0.0.2 -10.0.0.3 [http/TCP:8080]"}},
		{"not ready ones published", newService(publishes), []*backends.Pod{newPod("a", "10.0.0.1", unready), newPod("b", "10.0.0.2", deleted)},
			[]string{"10.0.0.1 10.0.0.2 [http/TCP:8080]"}},
		{"two ports of the same pods", newService(two), []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2", unready)},
			[]string{"10.0.0.1 -10.0.0.2 [http/TCP:8080 named/TCP:9090]"}},
		{"a named port that one pod lacks", newService(two), []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2", func(p *backends.Pod) { p.Spec.Containers = nil })},
			[]string{"10.0.0.1 10.0.0.2 [http/TCP:8080]", "10.0.0.1 [named/TCP:9090]"}},
		{"headless without ports", newService(headless, func(s *corev1.Service) { s.Spec.Ports = nil }),
			[]*backends.Pod{newPod("a", "10.0.0.1", func(p *backends.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "h", "web" }), newPod("b", "10.0.0.2", unready)},
			[]string{"10.0.0.1 h -10.0.0.2 []"}},
		{"no ports", newService(func(s *corev1.Service) { s.Spec.Ports = nil }), []*backends.Pod{newPod("a", "10.0.0.1")}, nil},
		{"pods of one address", newService(), []*backends.Pod{newPod("b", "10.0.0.1"), newPod("a", "10.0.0.1")}, []string{"10.0.0.1 10.0.0.1 [http/TCP:8080]"}},
		{"the first family alone", newService(func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{"IPv6", "IPv4"} }),
			[]*backends.Pod{newPod("a", "10.0.0.1", func(p *backends.Pod) { p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::1"}) }), newPod("b", "10.0.0.2")},
			[]string{"fd00::1 [http/TCP:8080]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, changed := want(tc.svc, tc.pods, nil)
			if diff := cmp.Diff(tc.want, describe(got.Subsets)); diff != "" || !changed {
				t.Errorf("changed %v; subsets (-want +got):\n%s", changed, diff)
			}
			if again, changed := want(tc.svc, tc.pods, got); changed {
				t.Errorf("what is as it should be is written again: %+v", again)
			}
		})
	}
}

// What somebody else stored in another order, with revisions, is the same.
func TestRepackComparesByValue(t *testing.T) {
	svc, pods := newService(two), []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2")}
	have, _ := want(svc, pods, nil)
	s := have.Subsets[0]
	s.Ports[0], s.Ports[1] = s.Ports[1], s.Ports[0]
	s.Addresses[0], s.Addresses[1] = s.Addresses[1], s.Addresses[0]
	s.Addresses[0].TargetRef.ResourceVersion = "7"
	if _, changed := want(svc, pods, have); changed {
		t.Error("another order is a change")
	}
	s.Addresses[0].Hostname = "h"
	if _, changed := want(svc, pods, have); !changed {
		t.Error("another host name is no change")
	}
}

// A pod that does not say its node has an address without one, which the API takes.
func TestNode(t *testing.T) {
	e, _ := want(newService(), []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2", func(p *backends.Pod) { p.Spec.NodeName = "" })}, nil)
	if a := e.Subsets[0].Addresses; *a[0].NodeName != "node" || a[1].NodeName != nil {
		t.Errorf("addresses %+v", a)
	}
}

func TestLabels(t *testing.T) {
	svc := newService(headless, func(s *corev1.Service) { s.Labels = map[string]string{"a": "b"} })
	have, _ := want(svc, nil, nil)
	labels := map[string]string{"a": "b", "service.kubernetes.io/headless": "", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
	if diff := cmp.Diff(labels, have.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	svc.Spec.ClusterIP, have.Annotations["mine"] = "10.96.0.1", "kept"
	next, changed := want(svc, nil, have)
	delete(labels, "service.kubernetes.io/headless")
	if diff := cmp.Diff(labels, next.Labels); diff != "" || !changed || next.Annotations["mine"] != "kept" {
		t.Errorf("changed %v, annotations %v, labels (-want +got):\n%s", changed, next.Annotations, diff)
	}
}

func TestTriggerTime(t *testing.T) {
	trigger := func(e *corev1.Endpoints) string { return e.Annotations[corev1.EndpointsLastChangeTriggerTime] }
	svc := newService()
	e, _ := want(svc, []*backends.Pod{newPod("a", "10.0.0.1")}, nil)
	if got := trigger(e); got != "2026-01-01T12:00:00Z" {
		t.Errorf("of new ones %q, want the creation of the service", got)
	}
	e, _ = want(svc, []*backends.Pod{newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2", at(3*time.Minute)), newPod("c", "10.0.0.3", at(2*time.Minute))}, e)
	if got := trigger(e); got != "2026-01-01T12:02:00Z" {
		t.Errorf("after two came %q, want the time of the first", got)
	}
	e, _ = want(svc, []*backends.Pod{newPod("a", "10.0.0.1", unready, at(4*time.Minute)), newPod("b", "10.0.0.2", at(3*time.Minute)), newPod("c", "10.0.0.3", at(2*time.Minute))}, e)
	if got := trigger(e); got != "2026-01-01T12:04:00Z" {
		t.Errorf("after one ceased to be ready %q", got)
	}
	svc.Labels = map[string]string{"a": "b"}
	e, _ = want(svc, []*backends.Pod{newPod("a", "10.0.0.1", unready, at(4*time.Minute)), newPod("b", "10.0.0.2", at(3*time.Minute))}, e)
	if got, ok := e.Annotations[corev1.EndpointsLastChangeTriggerTime]; ok {
		t.Errorf("after one went %q, want none", got)
	}
}

// counting notes writes to Endpoints.
type counting struct {
	client.Client
	log string
}

func (c *counting) Create(o client.Object) error { c.log += "create "; return c.Client.Create(o) }
func (c *counting) Update(o client.Object) error { c.log += "update "; return c.Client.Update(o) }

// writes are those of two reconciles.
func writes(t *testing.T, svc *corev1.Service, pods []*backends.Pod) string {
	t.Helper()
	objects := []client.Object{svc}
	for _, p := range pods {
		objects = append(objects, p)
	}
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Client: s.Client()}
	for range 2 {
		if _, err := reconcile(c, controller.Request{Namespace: svc.Namespace, Name: svc.Name}); err != nil {
			t.Fatal(err)
		}
	}
	return c.log
}

// Pods that Endpoints have no room for do not come anew at each change.
func TestTriggerTimeOverCapacity(t *testing.T) {
	var pods []*backends.Pod
	for i := range 1005 {
		pods = append(pods, newPod(fmt.Sprint("p", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250)))
	}
	svc := newService()
	e, _ := want(svc, pods, nil)
	svc.Labels = map[string]string{"a": "b"}
	e, changed := want(svc, pods, e)
	if at, ok := e.Annotations[corev1.EndpointsLastChangeTriggerTime]; ok || !changed {
		t.Errorf("after a label came: %q, want none", at)
	}
	e, _ = want(svc, pods[1:], e) // one that there was no room for takes the place
	if at, ok := e.Annotations[corev1.EndpointsLastChangeTriggerTime]; ok {
		t.Errorf("after one went: %q, want none", at)
	}
	unready(pods[1])
	at(5 * time.Minute)(pods[1])
	e, _ = want(svc, pods[1:], e)
	if got := e.Annotations[corev1.EndpointsLastChangeTriggerTime]; got != "2026-01-01T12:05:00Z" {
		t.Errorf("after one ceased to be ready: %q", got)
	}
}

func TestOverCapacity(t *testing.T) {
	for _, tc := range []struct{ ready, others, wantReady, wantOthers int }{
		{1000, 0, 1000, 0}, {600, 400, 600, 400}, {600, 500, 600, 400}, {1000, 5, 1000, 0}, {1001, 5, 1000, 0}, {3000, 0, 1000, 0}, {0, 1500, 0, 1000},
	} {
		var pods []*backends.Pod
		for i := range tc.ready + tc.others {
			p := newPod(fmt.Sprint("p", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250))
			if i >= tc.ready {
				unready(p)
			}
			if i%3 == 0 {
				p.Spec.Containers[0].Ports[0].ContainerPort = 9091 // a subset of its own
			}
			pods = append(pods, p)
		}
		svc := newService(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString("web") })
		if len(pods) < 1100 {
			if got := writes(t, svc, pods); got != "create " {
				t.Errorf("two reconciles of %d and %d: %s", tc.ready, tc.others, got)
			}
		}
		e, _ := want(svc, pods, nil)
		ready, others := 0, 0
		for _, s := range e.Subsets {
			ready, others = ready+len(s.Addresses), others+len(s.NotReadyAddresses)
		}
		over := tc.ready+tc.others > maxCapacity
		if ready != tc.wantReady || others != tc.wantOthers || (e.Annotations[corev1.EndpointsOverCapacity] == "truncated") != over {
			t.Errorf("of %d and %d: %d and %d, annotations %v", tc.ready, tc.others, ready, others, e.Annotations)
		}
		if _, changed := want(svc, pods, e); changed {
			t.Errorf("%d and %d are written again", tc.ready, tc.others)
		}
		if e, _ := want(svc, nil, e); e.Annotations[corev1.EndpointsOverCapacity] != "" {
			t.Error("the annotation stays when all have gone")
		}
	}
}

// A Service without a selector is somebody else's; one that is gone takes its
// Endpoints along.
func TestReconcile(t *testing.T) {
	hand := &corev1.Endpoints{}
	hand.Namespace, hand.Name = "default", "hand"
	bare := newService(func(s *corev1.Service) { s.Name, s.Spec.Selector = "hand", nil })
	stray := client.Clone(hand)
	stray.Name = "stray"
	s, err := sdktest.NewStore(newService(), bare, newPod("a", "10.0.0.1"), hand, stray)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "hand", "stray", "never"} {
		if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var list []*corev1.Endpoints
	if err := s.Client().List(&list, client.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprint(e.Name, describe(e.Subsets)))
	}
	if diff := cmp.Diff([]string{"hand[]", "web[10.0.0.1 [http/TCP:8080]]"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What others wrote without a Service is theirs, also when they delete it and make it
// anew: that the old ones went requests nothing, by which the new ones would go.
func TestDeletedByHand(t *testing.T) {
	hand := &corev1.Endpoints{}
	hand.Namespace, hand.Name = "default", "hand"
	written, _ := want(newService(), nil, nil)
	for _, w := range sdktest.Open[*controller.Points](t, "endpoints", "").Watches {
		if w.Resource != "v1/endpoints" {
			continue
		}
		if got := w.Map.Func(sdktest.Value(t, hand)); len(got) > 0 {
			t.Errorf("%s by hand: requests %v", w.Map.Arg, got)
		}
		if got := w.Map.Func(sdktest.Value(t, written)); len(got) != 1 || got[0].Name != "web" {
			t.Errorf("%s by the controller: requests %v", w.Map.Arg, got)
		}
		if !slices.Contains(w.Fields, "metadata.labels") {
			t.Errorf("%s: labels are not asked for: %v", w.Map.Arg, w.Fields)
		}
	}
}

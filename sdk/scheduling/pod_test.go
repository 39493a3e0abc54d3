package scheduling_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

func fullPod() scheduling.PodInfo {
	return scheduling.PodInfo{
		Namespace: "ns", Name: "n", UID: "u", Labels: map[string]string{"a": "b", "c": ""}, Annotations: map[string]string{"x/y": "z"},
		NodeName: "node", SchedulerName: "s", Priority: -5,
		Requests:     scheduling.Resources{MilliCPU: 1, Memory: 9 << 40, Ephemeral: 3, Extended: []scheduling.Amount{{Name: "e/gpu", Value: 4}}},
		NonZero:      scheduling.Resources{MilliCPU: 100, Memory: 200},
		NodeSelector: map[string]string{"k": "v"},
		Affinity: &scheduling.NodeAffinity{
			Required:  &scheduling.NodeSelector{Terms: []scheduling.NodeTerm{{Expressions: []scheduling.Requirement{{Key: "k", Operator: "In", Values: []string{"1", "2"}}}}, {}}},
			Preferred: []scheduling.PreferredTerm{{Weight: 7, Term: scheduling.NodeTerm{Fields: []scheduling.Requirement{{Key: "metadata.name", Operator: "In", Values: []string{"x"}}}}}},
		},
		Tolerations: []scheduling.Toleration{{Key: "t", Operator: "Exists", Effect: "NoSchedule"}},
		Images:      []string{"i"}, Ports: []scheduling.HostPort{{IP: "0.0.0.0", Protocol: "TCP", Port: 80}},
		Claims: []scheduling.Claim{{Namespace: "ns", Name: "data"}, {Namespace: "ns", Name: "p-tmp", PodName: "p", PodUID: "u"}},
		Object: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "not this", OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web"}}},
			Spec: corev1.PodSpec{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone"}},
				Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}, Subdomain: "sub"},
		},
	}
}

// readAll reads all of a pod by its methods.
func readAll(p *scheduling.Pod) scheduling.PodInfo {
	return scheduling.PodInfo{
		Namespace: p.Namespace(), Name: p.Name(), UID: p.UID(), Labels: p.Labels(), Annotations: p.Annotations(), NodeName: p.NodeName(),
		SchedulerName: p.SchedulerName(), Priority: p.Priority(), Requests: *p.Requests(), NonZero: *p.NonZeroRequests(), NodeSelector: p.NodeSelector(),
		Affinity: p.Affinity(), Tolerations: p.Tolerations(), Images: p.Images(), Ports: p.Ports(), Claims: p.Claims(),
	}
}

// What the methods of a pod do not have is there under its name.
type moreOfPod struct {
	Metadata struct {
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Constraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
		Affinity    corev1.Affinity                   `json:"affinity"`
	} `json:"spec"`
}

func checkPod(t *testing.T, p *scheduling.Pod) {
	t.Helper()
	want := fullPod()
	want.Object = nil
	if got := readAll(p); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	var more moreOfPod
	if err := p.Decode(&more); err != nil || len(more.Metadata.OwnerReferences) != 1 || more.Metadata.OwnerReferences[0].Name != "web" ||
		len(more.Spec.Constraints) != 1 || more.Spec.Constraints[0].TopologyKey != "zone" || more.Spec.Affinity.PodAntiAffinity == nil {
		t.Errorf("decoded %+v, %v", more, err)
	}
	if err := p.Decode(more); err == nil {
		t.Error("decoded into what is no pointer")
	}
	for path, want := range map[string]string{"spec.subdomain": "sub", "spec.topologySpreadConstraints[0].topologyKey": "zone", "metadata.annotations[x/y]": "z", "spec.nosuch": "", "..": ""} {
		if got := p.Get(path).String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for key, want := range map[string]bool{"a": true, "c": true, "none": false, "no]such": false} {
		if _, ok := p.Label(key); ok != want {
			t.Errorf("label %s is there: %v, want %v", key, ok, want)
		}
	}
	if v, ok := p.Annotation("x/y"); v != "z" || !ok {
		t.Errorf("annotation %q %v", v, ok)
	}
	if p.CPU() != 1 || p.Memory() != 9<<40 || !p.Tolerates(scheduling.Taint{Key: "t", Effect: "NoSchedule"}) || p.Tolerates(scheduling.Taint{Key: "u"}) {
		t.Error("cpu, memory or tolerations")
	}
}

func TestNewPod(t *testing.T) {
	checkPod(t, scheduling.NewPod(fullPod()))
	empty := scheduling.NewPod(scheduling.PodInfo{})
	if got := readAll(empty); !reflect.DeepEqual(got, scheduling.PodInfo{}) || empty.Get("spec.priority").Int() != 0 {
		t.Errorf("an empty pod is %+v", got)
	}
}

// TestFieldsAreAskedFor: a plugin gets the fields of pods that it looked at, and
// no others; what it did with nothing in their place is not seen.
func TestFieldsAreAskedFor(t *testing.T) {
	k := newKernel(t, &scheduling.Points{
		Fields: []string{"spec.subdomain"},
		PreFilter: func(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
			if p.Get("spec.subdomain").String() != "sub" {
				panic("it was declared")
			}
			if p.Priority() != -5 {
				panic("the priority is there")
			}
			return nil
		},
		Filter: func(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if v, _ := p.Label("a"); v != "b" || len(p.Tolerations()) != 1 {
				return scheduling.Unschedulable("not so")
			}
			return nil
		},
	}, columns.Node{Name: "n"})
	k.profile(schedule.MemberUse{Filter: true})
	for range 2 {
		if a, err := k.place(fullPod(), 1); err != nil || a.Feasible != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	want := [][]string{{"pod: spec(subdomain)"}, {"pod: spec(subdomain,priority)"}, {"pod: spec(subdomain,priority),metadata(labels(a))"},
		{"pod: spec(subdomain,priority,tolerations(key,operator,value,effect)),metadata(labels(a))"}}
	if !reflect.DeepEqual(k.told, want) {
		t.Errorf("asked for %q, want %q", k.told, want)
	}
}

// profile says how the plugin is used, and notes what it declares.
func (k *kernel) profile(uses ...schedule.MemberUse) {
	k.t.Helper()
	resp, err := k.plugin.Serve(nil, schedule.OpProfile, schedule.AppendUses(nil, uses), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	fields, err := schedule.ReadFields(resp)
	if err != nil {
		k.t.Fatal(err)
	}
	if fields != nil {
		k.give(&schedule.Missing{Fields: fields})
	}
}

// Every way to look at a pod works in a plugin that asks as it goes.
func TestPodOfPlugin(t *testing.T) {
	var seen *scheduling.Pod
	k := newKernel(t, &scheduling.Points{PreFilter: func(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
		seen = p
		readAll(p)
		_ = p.Decode(&moreOfPod{})
		for _, path := range []string{"spec.subdomain", "spec.topologySpreadConstraints[0].topologyKey", "spec.nosuch", ".."} {
			p.Get(path)
		}
		return nil
	}}, columns.Node{Name: "n"})
	if _, err := k.place(fullPod(), 1); err != nil {
		t.Fatal(err)
	}
	if len(k.told) != 1 {
		t.Errorf("asked %d times: %q", len(k.told), k.told)
	}
	checkPod(t, seen)
}

// Only members that the profile uses declare.
func TestFieldsOfMembers(t *testing.T) {
	fits := func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return nil }
	set := func() *scheduling.Points {
		return &scheduling.Points{Members: []scheduling.Member{
			{Name: "one", Points: &scheduling.Points{Filter: fits, Fields: []string{"spec.volumes.persistentVolumeClaim", "spec.priority"}}},
			{Name: "two", Points: &scheduling.Points{Filter: fits, Fields: []string{"metadata.labels[a.b/c]", "spec.priority"}}},
			{Name: "three", Points: &scheduling.Points{Filter: fits}},
		}}
	}
	for want, uses := range map[string][3]bool{
		"[pod: spec(volumes(persistentVolumeClaim),priority),metadata(labels(a.b/c))]": {true, true, true},
		"[pod: metadata(labels(a.b/c)),spec(priority)]":                                {false, true, false},
		"": {false, false, true},
	} {
		k := newKernel(t, set())
		k.profile(schedule.MemberUse{Filter: uses[0]}, schedule.MemberUse{Filter: uses[1]}, schedule.MemberUse{Filter: uses[2]})
		if got := strings.Trim(fmt.Sprint(k.told), "[]"); got != strings.Trim(want, "[]") {
			t.Errorf("%v declare %s, want %s", uses, got, want)
		}
	}
	defer func() {
		if r := fmt.Sprint(recover()); !strings.Contains(r, "Fields of x") {
			t.Errorf("a malformed path: %s", r)
		}
	}()
	open(&scheduling.Points{Fields: []string{"a..b"}})
}

// However many labels a plugin looks at, what it declares stays within bounds.
func TestManyFields(t *testing.T) {
	k := newKernel(t, &scheduling.Points{Filter: func(p *scheduling.Pod, _ scheduling.Node) *scheduling.Status {
		_ = p.Priority()
		for i := range 1000 {
			p.Label(fmt.Sprint("example.com/label-", i))
		}
		return nil
	}}, columns.Node{Name: "n"})
	if _, err := k.place(scheduling.PodInfo{}, 1); err != nil {
		t.Fatal(err)
	}
	if *k.fields != "spec(priority),metadata(labels)" {
		t.Errorf("declared %q", *k.fields)
	}
}

// A record that is no record, or not of the pod's types, is the kernel's fault.
func TestMalformedPod(t *testing.T) {
	p := &scheduling.Points{Fields: []string{"spec.priority"}, PreFilter: func(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
		_ = p.Priority()
		return nil
	}}
	k := newKernel(t, p)
	k.profile(schedule.MemberUse{Filter: true})
	rec, err := fullPod().Record(k.fields)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(rec); n++ {
		if _, err := k.plugin.Serve(nil, schedule.OpPreFilter, rec[:n], nil); wire.KindOf(err) != wire.KindProtocol {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	text, err := scheduling.PodInfo{Object: map[string]any{"spec": map[string]any{"priority": "high"}}}.Record(k.fields)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.plugin.Serve(nil, schedule.OpPreFilter, text, nil); wire.KindOf(err) != wire.KindProtocol || !strings.Contains(err.Error(), "spec.priority") {
		t.Errorf("a priority that is text: %v", err)
	}
}

// TestTryCounts: Try counts the pods that nodes name, by domain.
func TestTryCounts(t *testing.T) {
	var pods scheduling.Counts
	p := &scheduling.Points{
		PreFilter: func(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
			app, ok := p.Label("app")
			if !ok {
				return scheduling.Skip()
			}
			s.CountPods(scheduling.PodCounts{TopologyKey: "host"})
			pods = s.CountPods(scheduling.PodCounts{TopologyKey: "zone", Namespaces: []string{p.Namespace()}, Selector: "app in (" + app + ",x), tier!=back", SkipTerminating: true})
			return nil
		},
		Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			have, ok := pods.Of(n)
			if !ok {
				return scheduling.Unschedulable("no zone")
			}
			if have > pods.Min() {
				return scheduling.Unschedulable(fmt.Sprintf("%d pods of %d zones, %d to %d", have, pods.Domains(), pods.Min(), pods.Max()))
			}
			return nil
		},
	}
	running := func(namespace, app, tier string, terminating bool) scheduling.AssignedPodInfo {
		return scheduling.AssignedPodInfo{Namespace: namespace, Labels: map[string]string{"app": app, "tier": tier}, Terminating: terminating}
	}
	on := func(name, zone string, list ...scheduling.AssignedPodInfo) scheduling.NodeInfo {
		n := scheduling.NodeInfo{Name: name, Labels: map[string]string{"host": name}, Assigned: list}
		if zone != "" {
			n.Labels["zone"] = zone
		}
		return n
	}
	got, err := sdktest.Try(p, scheduling.PodInfo{Namespace: "ns", Labels: map[string]string{"app": "web"}},
		on("a", "1", running("ns", "web", "front", false), running("ns", "x", "", false), running("ns", "web", "", true)),
		on("b", "1"), on("c", "2", running("other", "web", "", false), running("ns", "web", "back", false)), on("d", ""))
	if err != nil {
		t.Fatal(err)
	}
	many := []string{"2 pods of 2 zones, 0 to 2"}
	want := []sdktest.Placement{{Node: "a", Reasons: many}, {Node: "b", Reasons: many}, {Node: "c"}, {Node: "d", Reasons: []string{"no zone"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err = sdktest.Try(p, scheduling.PodInfo{}, on("a", "1")); err != nil || len(got) != 1 || !slices.Equal(got[0].Reasons, []string{"0 pods"}) && len(got[0].Reasons) > 0 {
		t.Errorf("without the label: %+v, %v", got, err)
	}
	if _, err = sdktest.Try(&scheduling.Points{PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
		s.CountPods(scheduling.PodCounts{TopologyKey: "zone", Selector: "a in"})
		return nil
	}}, scheduling.PodInfo{}, on("a", "1")); err == nil || !strings.Contains(err.Error(), `"a in"`) {
		t.Errorf("a selector that is none: %v", err)
	}
}

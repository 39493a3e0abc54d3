package evaluate

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// pathsOfPlugins are the fields of pods that the plugins of kube-scheduler 1.37
// and its preemption read, and how a pod has them.
var pathsOfPlugins = map[string]func(*corev1.Pod){
	"metadata.namespace":         func(p *corev1.Pod) { p.Namespace = "other" },
	"metadata.name":              func(p *corev1.Pod) { p.Name = "other" },
	"metadata.uid":               func(p *corev1.Pod) { p.UID = "other" },
	"metadata.labels":            func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} },
	"metadata.labels[app/x]":     func(p *corev1.Pod) { p.Labels = map[string]string{"app/x": "b"} },
	"metadata.annotations[a/b]":  func(p *corev1.Pod) { p.Annotations = map[string]string{"a/b": "c"} },
	"metadata.ownerReferences":   func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{{Name: "rs"}} },
	"metadata.deletionTimestamp": func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: start} },
	"metadata.creationTimestamp": func(p *corev1.Pod) { p.CreationTimestamp = metav1.Time{Time: start} },
	"spec.nodeName":              func(p *corev1.Pod) { p.Spec.NodeName = "n" },
	"spec.schedulerName":         func(p *corev1.Pod) { p.Spec.SchedulerName = "s" },
	"spec.nodeSelector":          func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a": "b"} },
	"spec.affinity.nodeAffinity": func(p *corev1.Pod) { p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}} },
	"spec.affinity.podAffinity":  func(p *corev1.Pod) { p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}} },
	"spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution.topologyKey": func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "z"}}}}
	},
	"spec.topologySpreadConstraints": func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1}}
	},
	"spec.tolerations":        func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "k"}} },
	"spec.volumes":            func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v"}} },
	"spec.hostNetwork":        func(p *corev1.Pod) { p.Spec.HostNetwork = true },
	"spec.hostname":           func(p *corev1.Pod) { p.Spec.Hostname = "h" },
	"spec.subdomain":          func(p *corev1.Pod) { p.Spec.Subdomain = "s" },
	"spec.priority":           func(p *corev1.Pod) { p.Spec.Priority = new(int32); *p.Spec.Priority = 7 },
	"spec.priorityClassName":  func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" },
	"spec.preemptionPolicy":   func(p *corev1.Pod) { v := corev1.PreemptNever; p.Spec.PreemptionPolicy = &v },
	"spec.resourceClaims":     func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "c"}} },
	"spec.schedulingGates":    func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} },
	"spec.schedulingGroup":    func(p *corev1.Pod) { p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{} },
	"spec.runtimeClassName":   func(p *corev1.Pod) { v := "kata"; p.Spec.RuntimeClassName = &v },
	"spec.overhead.cpu":       func(p *corev1.Pod) { p.Spec.Overhead = corev1.ResourceList{"cpu": resource.MustParse("1")} },
	"spec.resources":          func(p *corev1.Pod) { p.Spec.Resources = &corev1.ResourceRequirements{} },
	"spec.os":                 func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: "linux"} },
	"spec.restartPolicy":      func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever },
	"spec.serviceAccountName": func(p *corev1.Pod) { p.Spec.ServiceAccountName = "sa" },
	"spec.initContainers.restartPolicy": func(p *corev1.Pod) {
		v := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = []corev1.Container{{Name: "i", RestartPolicy: &v}}
	},
	"spec.containers.ports.hostPort": func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: 80}}}}
	},
	"spec.containers.resources.limits": func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1")}}}}
	},
	"spec.containers.image":              func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Image: "i"}} },
	"status.nominatedNodeName":           func(p *corev1.Pod) { p.Status.NominatedNodeName = "n" },
	"status.conditions":                  func(p *corev1.Pod) { p.Status.Conditions = []corev1.PodCondition{{Type: "x"}} },
	"status.resourceClaimStatuses":       func(p *corev1.Pod) { p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "c"}} },
	"status.extendedResourceClaimStatus": func(p *corev1.Pod) { p.Status.ExtendedResourceClaimStatus = &corev1.PodExtendedResourceClaimStatus{} },
	"status.nodeAllocatableResourceClaimStatuses": func(p *corev1.Pod) {
		p.Status.NodeAllocatableResourceClaimStatuses = make([]corev1.NodeAllocatableResourceClaimStatus, 1)
	},
	"status.containerStatuses.resources": func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Resources: &corev1.ResourceRequirements{}}}
	},
	"status.initContainerStatuses": func(p *corev1.Pod) { p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "i"}} },
}

// valueOf is what plugins that declare a path see of the pod there.
func valueOf(t testing.TB, p *Pod, path string) record.Value {
	t.Helper()
	f, err := record.FieldsOfPaths(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.record(encoder.Plan(f))
	if err != nil {
		t.Fatal(err)
	}
	v, err := record.Parse(b, f)
	if err != nil {
		t.Fatal(err)
	}
	return v.Get(path)
}

// valueAt is valueOf through the first elements of lists.
func valueAt(t testing.TB, p *Pod, path string) record.Value {
	t.Helper()
	v := valueOf(t, p, top(path))
	segments, _ := record.ParsePath(path)
	for _, s := range segments[min(2, len(segments)):] {
		if v.Kind() == record.KindList {
			v = v.Index(0)
		}
		if top(path) != path {
			v = v.Key(s.Key)
		}
	}
	return v
}

// TestFieldsOfUpstream: a pod has for plugins whatever one of kube-scheduler's
// reads, and pods that differ in it only differ in the signature of a plugin that
// looks at it: it is not answered what was said of the other.
func TestFieldsOfUpstream(t *testing.T) {
	refused := scheduling.Unschedulable("it is set")
	for path, change := range pathsOfPlugins {
		t.Run(path, func(t *testing.T) {
			plain, other := pod("p", "1"), pod("p", "1", change)
			want, got := valueAt(t, plain.asked(), path), valueAt(t, other.asked(), path)
			text, err := got.AppendJSON(nil)
			was, err2 := want.AppendJSON(nil)
			if err != nil || err2 != nil || !got.Exists() || string(text) == string(was) {
				t.Fatalf("it is %s, %v, and was %s, %v", text, err, was, err2)
			}
			whole := top(path)
			set, err := valueOf(t, other.asked(), whole).AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			name := "field-" + path
			register(name, func() *scheduling.Points {
				return &scheduling.Points{Filter: func(p *scheduling.Pod, _ scheduling.Node) *scheduling.Status {
					if now, err := p.Get(whole).AppendJSON(nil); err != nil || string(now) == string(set) {
						return refused
					}
					return nil
				}}
			})
			b := newTestBed(t, registered(name))
			b.threeNodes()
			for i := range 4 {
				p := []testPod{plain, other}[i%2]
				if out := b.try(t, p); (out.Fit != nil) != (i%2 == 1) {
					t.Errorf("try %d: %+v", i, out)
				}
			}
			if n := len(b.memory.bySignature); n != 2 {
				t.Errorf("%d signatures, want 2", n)
			}
		})
	}
}

// top is the path of the field of metadata, spec or status that a path leads
// through, or of the label or annotation.
func top(path string) string {
	segments, _ := record.ParsePath(path)
	if s := segments[1].Key; s == "labels" || s == "annotations" {
		return path
	}
	return segments[0].Key + "." + segments[1].Key
}

// What the scheduler works out is there, too.
func TestEffective(t *testing.T) {
	p := pod("p", "2", func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Image: "init"}}
		p.Spec.Volumes = []corev1.Volume{{}, {VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "data"}}}}
	})
	p.usage.Requests.Extended = []columns.Amount{{Name: "e/gpu", Value: 3}}
	p.usage.Ports = []columns.HostPort{{Protocol: "TCP", Port: 80}}
	f, err := record.ParseFields("effective(requests(milliCPU,memory,extended),nonZeroRequests(memory),images,hostPorts,nosuch),nosuch")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.asked().record(encoder.Plan(f))
	if err != nil {
		t.Fatal(err)
	}
	v, err := record.Parse(b, f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.AppendJSON(nil)
	want := `{"effective":{"requests":{"milliCPU":2000,"extended":[{"name":"e/gpu","value":3}]},"nonZeroRequests":{"memory":209715200},` +
		`"images":["init","registry.local/app:1","data"],"hostPorts":[{"protocol":"TCP","hostPort":80}]}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

// A plugin that is loaded later, or begins to look at a field later, is not
// answered what was said before; what it does not look at tells no pods apart.
func TestSignatureFollowsFields(t *testing.T) {
	urgent := false
	tooLow := scheduling.Unschedulable("the priority is too low")
	register("field-later", func() *scheduling.Points {
		return &scheduling.Points{Filter: func(p *scheduling.Pod, _ scheduling.Node) *scheduling.Status {
			if urgent && p.Priority() < 10 {
				return tooLow
			}
			return nil
		}}
	})
	priority := func(v int32) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.Priority = &v } }
	b := newTestBed(t, standard(), registered("field-later"))
	b.threeNodes()
	for i := range 20 {
		if out := b.try(t, pod(fmt.Sprint("p", i), "1", priority(int32(i)), labeled(fmt.Sprint(i)))); out.Fit != nil {
			t.Fatal(out.Fit)
		}
	}
	if n := len(b.memory.bySignature); n != 1 {
		t.Errorf("%d signatures, want 1: nobody looks at priorities", n)
	}
	urgent = true
	b.put(node("a", "5", "8Gi")) // a row changes, and its plugin is asked
	for range 2 {
		for i := range 20 {
			if out := b.try(t, pod(fmt.Sprint("p", i), "1", priority(int32(i)), labeled(fmt.Sprint(i)))); (out.Fit != nil) != (i < 10) {
				t.Errorf("priority %d: %+v", i, out)
			}
		}
	}
	if n := len(b.memory.bySignature); n != 20 {
		t.Errorf("%d signatures, want one for each priority", n)
	}
	if err := b.Replace("later", open(t, "later", registered("test-label"))); err != nil {
		t.Fatal(err)
	}
	for i, v := range []string{"yes", "no", "yes", "no"} {
		if out := b.try(t, pod(fmt.Sprint("q", i), "1", priority(20), labeled(v))); (out.Fit != nil) != (v == "no") {
			t.Errorf("label %s: %+v", v, out)
		}
	}
	if err := b.Replace("later", nil); err != nil {
		t.Fatal(err)
	}
	for i, v := range []string{"yes", "no"} {
		if out := b.try(t, pod(fmt.Sprint("q", i), "1", priority(20), labeled(v))); out.Fit != nil {
			t.Errorf("label %s, without the plugin: %+v", v, out)
		}
	}
	if n := len(b.memory.bySignature); n != 1 {
		t.Errorf("%d signatures, want 1: nobody looks at labels any more", n)
	}
}

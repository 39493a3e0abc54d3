package controllertest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/admission"
)

// sets is one of the kinds that ask for a number of pods, with what differs.
type sets struct {
	kind   string
	create func(name string, replicas, minReady int32) runtime.Object
	scale  func(t testing.TB, c *cluster, name string, n int32)
	status func(t testing.TB, c *cluster, name string) map[string]string // nil: it is gone
}

func podTemplate(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app, "tier": "front"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

// bothKinds are driven by the same scenarios.
var bothKinds = []sets{{
	kind: "ReplicaSet",
	create: func(name string, replicas, minReady int32) runtime.Object {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, MinReadySeconds: minReady,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, Template: podTemplate(name)}}
	},
	scale: func(t testing.TB, c *cluster, name string, n int32) {
		update(t, c, name, "", func(o *appsv1.ReplicaSet) { o.Spec.Replicas = &n })
	},
	status: func(t testing.TB, c *cluster, name string) map[string]string {
		o := get[appsv1.ReplicaSet](t, c, name)
		if o == nil {
			return nil
		}
		failure := "none"
		for _, x := range o.Status.Conditions {
			failure = fmt.Sprintf("%s-%s", x.Type, x.Reason)
		}
		return counts(o.Status.Replicas, o.Status.FullyLabeledReplicas, o.Status.ReadyReplicas, o.Status.AvailableReplicas, o.Status.ObservedGeneration == o.Generation, failure)
	},
}, {
	kind: "ReplicationController",
	create: func(name string, replicas, minReady int32) runtime.Object {
		template := podTemplate(name)
		return &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ReplicationControllerSpec{Replicas: &replicas, MinReadySeconds: minReady,
			Selector: map[string]string{"app": name}, Template: &template}}
	},
	scale: func(t testing.TB, c *cluster, name string, n int32) {
		update(t, c, name, "", func(o *corev1.ReplicationController) { o.Spec.Replicas = &n })
	},
	status: func(t testing.TB, c *cluster, name string) map[string]string {
		o := get[corev1.ReplicationController](t, c, name)
		if o == nil {
			return nil
		}
		failure := "none"
		for _, x := range o.Status.Conditions {
			failure = fmt.Sprintf("%s-%s", x.Type, x.Reason)
		}
		return counts(o.Status.Replicas, o.Status.FullyLabeledReplicas, o.Status.ReadyReplicas, o.Status.AvailableReplicas, o.Status.ObservedGeneration == o.Generation, failure)
	},
}}

func counts(replicas, labelled, ready, available int32, observed bool, condition string) map[string]string {
	return map[string]string{"replicas": fmt.Sprint(replicas), "labelled": fmt.Sprint(labelled), "ready": fmt.Sprint(ready), "available": fmt.Sprint(available),
		"observed": fmt.Sprint(observed), "condition": condition}
}

// TestScenariosInAllHosts holds controllers to the same scenarios, however they are
// hosted; the module is built and opened once for each host.
func TestScenariosInAllHosts(t *testing.T) {
	files, err := filepath.Glob("testdata/replicas/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for name, open := range map[string]func(testing.TB) host{"native": nativeHost, "wasm": wasmHost, "process": processHost} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			for _, k := range bothKinds {
				for _, file := range files {
					t.Run(k.kind+"/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { t.Parallel(); replicasScenario(t, h, k, file) })
				}
			}
			t.Run("Endpoints", func(t *testing.T) { t.Parallel(); endpointsScenario(t, h) })
			for _, file := range scenarioFiles(t) {
				t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/scenarios/"), ".txt"), func(t *testing.T) { t.Parallel(); scenario(t, h, file) })
			}
		})
	}
}

// replicasScenario runs a file of testdata/replicas. A line is a command; # begins
// prose.
//
//	set NAME REPLICAS [MIN-READY-SECONDS]   makes one; it selects app=NAME
//	scale NAME REPLICAS
//	pod NAME APP                            makes a pod without an owner
//	move POD APP                            gives a pod another label app
//	cost POD COST                           the annotation pod-deletion-cost
//	room PODS                               so many pods more may be made, the next is refused
//	delete NAME Background|Foreground|Orphan
//	status NAME FIELD=VALUE …               waits until its status says so, or "gone"
//	pods APP owned=N free=N                 waits until so many pods are not being deleted
//	owner POD NAME|none|gone                waits until that one controls the pod
//	event NAME REASON MESSAGE …             waits until an event about it begins so
func replicasScenario(t *testing.T, h host, k sets, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &replicasRun{t: t, k: k, c: newCluster(t, h, strings.ToLower(k.kind), "garbage-collector")}
	s.room.Store(math.MaxInt64)
	s.c.chain.Set("room", 0, admission.Rule{Validate: &s.room, Match: admission.Match{Operations: []admission.Operation{admission.Create}, Groups: []string{""}, Resources: []string{"pods"}}})
	startNodes(t, s.c, "a", "b")
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(f[0], "#") {
			s.line(fmt.Sprintf("%s:%d: %s", file, n, strings.TrimSpace(line)), f)
		}
	}
}

type replicasRun struct {
	t *testing.T
	k sets
	c *cluster

	room room
}

func (s *replicasRun) number(text string) int32 {
	s.t.Helper()
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	return int32(n)
}

func (s *replicasRun) line(where string, f []string) {
	t, c := s.t, s.c
	t.Helper()
	switch f[0] {
	case "set":
		minReady := int32(0)
		if len(f) > 3 {
			minReady = s.number(f[3])
		}
		c.mustCreate(t, s.k.create(f[1], s.number(f[2]), minReady))
	case "scale":
		s.k.scale(t, c, f[1], s.number(f[2]))
	case "pod":
		template := podTemplate(f[2])
		delete(template.Labels, "tier")
		c.mustCreate(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: f[1], Labels: template.Labels}, Spec: template.Spec})
	case "move":
		update(t, c, f[1], "", func(p *corev1.Pod) { p.Labels["app"] = f[2] })
	case "cost":
		update(t, c, f[1], "", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: f[2]} })
	case "room":
		s.room.Store(int64(s.number(f[1])))
	case "delete":
		c.mustDelete(t, s.k.create(f[1], 0, 0), metav1.DeletionPropagation(f[2]))
	default:
		eventually(t, where, func() string { return s.check(f) })
	}
}

// room is an admission rule: so many pods may still be made.
type room struct{ atomic.Int64 }

func (r *room) Validate(_ context.Context, a *admission.Attributes) error {
	for n := r.Load(); n > 0; n = r.Load() {
		if r.CompareAndSwap(n, n-1) {
			return nil
		}
	}
	return apierrors.NewForbidden(corev1.Resource("pods"), a.Name, errors.New("there is no room"))
}

// check tells what is not yet so; "" is nothing.
func (s *replicasRun) check(f []string) string {
	t, c := s.t, s.c
	switch f[0] {
	case "status":
		return sameFields(s.k.status(t, c, f[1]), f[2:])
	case "pods":
		n := map[string]int{}
		for _, p := range list[corev1.Pod](t, c, namespace) {
			switch {
			case p.Labels["app"] != f[1] || p.DeletionTimestamp != nil:
			case metav1.GetControllerOf(p) != nil:
				n["owned"]++
			default:
				n["free"]++
			}
		}
		return sameFields(map[string]string{"owned": fmt.Sprint(n["owned"]), "free": fmt.Sprint(n["free"])}, f[2:])
	case "owner":
		is := "none"
		if p := get[corev1.Pod](t, c, f[1]); p == nil || p.DeletionTimestamp != nil {
			is = "gone"
		} else if ref := metav1.GetControllerOf(p); ref != nil {
			is = ref.Name
		}
		return equal("owner", is, f[2])
	case "event":
		for _, e := range list[corev1.Event](t, c, namespace) {
			if e.InvolvedObject.Kind == s.k.kind && e.InvolvedObject.Name == f[1] && e.Reason == f[2] && strings.HasPrefix(e.Message, strings.Join(f[3:], " ")) {
				return ""
			}
		}
		return "there is no such event"
	}
	t.Fatalf("unknown command %q", f)
	return ""
}

// sameFields compares FIELD=VALUE pairs, or "gone", with what there is.
func sameFields(is map[string]string, want []string) string {
	if is == nil || slices.Contains(want, "gone") {
		return equal("gone", is == nil, slices.Contains(want, "gone"))
	}
	var checks []string
	for _, w := range want {
		field, value, _ := strings.Cut(w, "=")
		if _, ok := is[field]; !ok {
			return "there is no field " + field
		}
		checks = append(checks, equal(field, is[field], value))
	}
	return all(checks...)
}

package deployment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// third is a Deployment at its third template, each with a cause of its own.
func third(t *testing.T) *world {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	for _, image := range []string{"one", "two", "three"} {
		w.image(image)
		if w.d.Annotations == nil {
			w.d.Annotations = map[string]string{}
		}
		w.d.Annotations["kubernetes.io/change-cause"] = "to " + image
		w.converge(t, nil, nil)
	}
	return w
}

// The annotation that is left of rollbackTo brings back an older template and what was
// noted with it.
func TestRollback(t *testing.T) {
	const missing, unchanged, done = "DeploymentRollbackRevisionNotFound", "DeploymentRollbackTemplateUnchanged", "DeploymentRollback"
	for _, tc := range []struct {
		name, to, image, reason, message string
		paused                           bool
	}{
		{"to the last", "0", "two", done, `Rolled back deployment "web" to revision 2`, false},
		{"to the first", "1", "one", done, `Rolled back deployment "web" to revision 1`, false},
		{"to none that is known", "9", "three", missing, "Unable to find the revision to rollback to.", false},
		{"to where it is", "3", "three", unchanged, `The rollback revision contains the same template as current deployment "web"`, false},
		{"to no number", "first", "", "", "", false},
		{"while paused", "1", "", "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := third(t)
			w.d.Annotations = map[string]string{rollbackAnnotation: tc.to, lastApplied: "{}", "kubernetes.io/change-cause": "to three"}
			w.d.Spec.Paused = tc.paused
			p, err := makePlan(w.d, w.sets, 0, w.now)
			if err != nil {
				t.Fatal(err)
			}
			if tc.reason == "" {
				if p.undo != nil {
					t.Errorf("rolled back: %+v", p.undo.note)
				}
				return
			}
			if p.undo == nil {
				t.Fatal("not rolled back")
			}
			next := p.undo.next
			got := []string{next.Spec.Template.Annotations["image"], next.Annotations["kubernetes.io/change-cause"], next.Annotations[rollbackAnnotation],
				next.Annotations[lastApplied], next.Spec.Template.Labels[hashLabel], p.undo.note.Reason, p.undo.note.Message}
			if diff := cmp.Diff([]string{tc.image, "to " + tc.image, "", "{}", "", tc.reason, tc.message}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(p.remove) > 0 || p.undo.note.Warning != (tc.reason != done) {
				t.Errorf("removes %d sets, note %+v", len(p.remove), p.undo.note)
			}
			if w.d.Annotations[rollbackAnnotation] != tc.to {
				t.Error("what was read has been changed")
			}
		})
	}
}

func TestRollbackWithoutHistory(t *testing.T) {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	w.d.Annotations = map[string]string{rollbackAnnotation: "0"}
	if p, err := makePlan(w.d, w.sets, 0, w.now); err != nil || p.create == nil || p.undo != nil {
		t.Fatalf("%+v, %v; want a set of the present template first", p, err)
	}
	w.round(t)
	w.d.Annotations = map[string]string{rollbackAnnotation: "0"}
	p, err := makePlan(w.d, w.sets, 0, w.now)
	if err != nil || p.undo == nil || p.undo.note.Message != "Unable to find last revision." {
		t.Errorf("%+v, %v", p, err)
	}
}

// Pods that are being deleted are summed up once every set that was looked at says how many.
func TestTerminating(t *testing.T) {
	set := func(observed int64, n ...int32) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{}
		rs.Status.ObservedGeneration = observed
		if len(n) > 0 {
			rs.Status.TerminatingReplicas = &n[0]
		}
		return rs
	}
	for _, tc := range []struct {
		name string
		sets []*appsv1.ReplicaSet
		want int32 // -1: nil
	}{
		{"no sets", nil, 0},
		{"sums", []*appsv1.ReplicaSet{set(1, 2), set(1, 3)}, 5},
		{"one that is new", []*appsv1.ReplicaSet{set(1, 2), set(0)}, 2},
		{"one that does not say", []*appsv1.ReplicaSet{set(1, 2), set(1)}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := terminating(tc.sets)
			if (got == nil) != (tc.want < 0) || got != nil && *got != tc.want {
				t.Errorf("got %v, want %d", got, tc.want)
			}
		})
	}
}

// A Deployment that is being deleted tells how many pods are left, and does nothing.
func TestDeleted(t *testing.T) {
	w := third(t)
	at := metav1.NewTime(w.now)
	w.d.DeletionTimestamp = &at
	w.d.Annotations[rollbackAnnotation] = "1"
	w.image("four")
	w.sets[2].Status.Replicas, w.sets[2].Status.AvailableReplicas = 0, 0
	p, err := makePlan(w.d, w.sets, 0, w.now)
	if err != nil || p.create != nil || len(p.update)+len(p.remove) > 0 || p.undo != nil || p.annotateRevision != "" {
		t.Fatalf("%+v, %v; want nothing done", p, err)
	}
	if s := p.status; s.Replicas != 0 || s.AvailableReplicas != 0 || s.ObservedGeneration != w.d.Generation || find(s.Conditions, appsv1.DeploymentAvailable).Status != "False" {
		t.Errorf("status %+v", s)
	}
}

// Annotations of sets that are no sizes count as none.
func TestTamperedSizes(t *testing.T) {
	rs := &appsv1.ReplicaSet{}
	for text, want := range map[string]bool{"3": true, "0": true, "-3": false, "": false, "2147483648": false, "3.0": false} {
		rs.Annotations = map[string]string{desiredAnnotation: text}
		if _, ok := number(rs, desiredAnnotation); ok != want {
			t.Errorf("%q is a size: %v, want %v", text, ok, want)
		}
	}
	w := newWorld(10, intstr.FromInt(3), intstr.FromInt(2))
	w.converge(t, nil, nil)
	w.broken = "two"
	w.image("two")
	w.converge(t, nil, nil)
	for _, rs := range w.sets {
		delete(rs.Annotations, maxAnnotation)
	}
	w.d.Status.Replicas = 0
	w.resize(0)
	w.round(t)
	if a, b := *w.sets[0].Spec.Replicas, *w.sets[1].Spec.Replicas; a != 0 || b != 0 {
		t.Errorf("scaled to %d and %d, want 0", a, b)
	}
}

// Before its set is there, it is the Deployment that does not get on.
func TestTimeoutWithoutSet(t *testing.T) {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	w.converge(t, nil, nil)
	w.d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	w.image("two")
	w.d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: "True", Reason: "ReplicaSetUpdated", LastUpdateTime: metav1.NewTime(w.now)}}
	*w.sets[0].Spec.Replicas = 0
	p, err := makePlan(w.d, w.sets, 1, w.now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if c := find(p.status.Conditions, appsv1.DeploymentProgressing); c.Reason != timedOut || c.Message != `Deployment "web" has timed out progressing.` {
		t.Errorf("condition %+v", c)
	}
}

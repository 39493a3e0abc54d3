package pod

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/pintle-io/pintle/node/admit"
)

// door is workers that never run, and a node with room for two pods.
type door struct {
	*Workers
	asked []string // pod, and who was there
}

func newDoor() *door {
	d := &door{}
	d.Workers = NewWorkers(Config{Client: fake.NewSimpleClientset(), Recorder: record.NewFakeRecorder(100), Admit: func(_ context.Context, pod *corev1.Pod, others []*corev1.Pod) *admit.Refusal {
		names := []string{}
		for _, o := range others {
			names = append(names, o.Name)
		}
		slices.Sort(names)
		text := pod.Name + ":"
		for _, n := range names {
			text += " " + n
		}
		d.asked = append(d.asked, text)
		if len(others) >= 2 {
			return &admit.Refusal{Reason: "OutOfpods", Message: "full"}
		}
		return nil
	}})
	return d
}

func (d *door) refused() []string {
	var out []string
	for _, k := range d.workers {
		if k.view.refused != nil {
			out = append(out, k.view.pod.Name)
		}
	}
	slices.Sort(out)
	return out
}

func aged(name string, age time.Duration, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}}
	for _, f := range change {
		f(p)
	}
	return p
}

func begun(p *corev1.Pod)   { p.Status.StartTime = &metav1.Time{} }
func failed(p *corev1.Pod)  { p.Status.Phase = corev1.PodFailed }
func deleted(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

// TestArrivals: the oldest of those that were there at the start are asked
// first, whatever their names; later ones as they come.
func TestArrivals(t *testing.T) {
	d := newDoor()
	d.Update(aged("a", time.Minute))
	d.Update(aged("b", time.Hour))
	d.Update(aged("left", 2*time.Hour))
	d.Remove(aged("left", 0))
	d.Open()
	d.Update(aged("c", 3*time.Hour))
	if want := []string{"b:", "a: b", "c: a b"}; !cmp.Equal(want, d.asked) {
		t.Errorf("asked: got %q, want %q", d.asked, want)
	}
	if got := d.refused(); !cmp.Equal(got, []string{"c"}) {
		t.Errorf("refused: got %q", got)
	}
	d.Update(aged("c", 3*time.Hour)) // another look asks nobody again
	d.Update(aged("d", 0))
	if want := "d: a b"; d.asked[len(d.asked)-1] != want || len(d.asked) != 4 {
		t.Errorf("a refused pod counts: got %q, want %q last", d.asked, want)
	}
}

// TestAdmittedStay: what was taken up before a restart is taken up again
// unasked, also where it would not be any more, and counts for the others.
func TestAdmittedStay(t *testing.T) {
	d := newDoor()
	d.admission.found = map[types.UID]bool{"running": true}
	d.Update(aged("new", 3*time.Hour))
	d.Update(aged("running", 0))
	d.Update(aged("known", 0, begun))
	d.Update(aged("known2", 0, begun))
	d.Update(aged("ended", 0, begun, failed))
	d.Open()
	if want := []string{"new: known known2 running"}; !cmp.Equal(want, d.asked) {
		t.Errorf("asked: got %q, want %q", d.asked, want)
	}
	if got := d.refused(); !cmp.Equal(got, []string{"new"}) {
		t.Errorf("refused: got %q", got)
	}
}

// TestDeletedIsNotAsked: it only has to end.
func TestDeletedIsNotAsked(t *testing.T) {
	d := newDoor()
	d.Update(aged("p", 0))
	d.Update(aged("p", 0, deleted))
	d.Open()
	d.Update(aged("q", 0, deleted))
	if len(d.asked) > 0 || len(d.workers) != 2 {
		t.Errorf("asked %q, %d workers", d.asked, len(d.workers))
	}
}

// TestLateNews: what the API says of a pod while Open gives it a worker reaches
// that worker.
func TestLateNews(t *testing.T) {
	d := newDoor()
	d.Update(aged("deleted", 0))
	d.Update(aged("gone", 0))
	d.Open()
	d.deliver(aged("deleted", 0, deleted)) // who calls saw no worker yet
	d.withdraw(aged("gone", 0))
	if p := d.of("deleted").view.current(); p.DeletionTimestamp == nil {
		t.Error("a deletion was lost")
	}
	if _, gone, _ := d.of("gone").view.take(); !gone {
		t.Error("that the API has a pod no more was lost")
	}
	if len(d.asked) != 2 {
		t.Errorf("asked %q", d.asked)
	}
}

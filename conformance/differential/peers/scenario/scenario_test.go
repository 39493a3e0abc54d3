package scenario

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDue(t *testing.T) {
	at := func(s string) time.Time {
		x, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		now  string
		size int
		want string
	}{
		{"2026-11-30T10:00:00Z", 200, "2026-11-30T10:02:00Z"},
		{"2026-11-30T10:00:45Z", 200, "2026-11-30T10:03:00Z"},
		{"2026-11-30T10:00:00Z", 4000, "2026-11-30T10:03:00Z"},
		{"2026-11-30T23:59:40Z", 20, "2026-12-01T00:01:00Z"},
	} {
		if got := due(at(c.now), c.size); !got.Equal(at(c.want)) {
			t.Errorf("%d CronJobs at %s: due at %s, want %s", c.size, c.now, got, c.want)
		}
	}
	if got, want := newCronJob(3, at("2026-12-01T00:01:00Z")).Spec.Schedule, "1 0 1 12 *"; got != want {
		t.Errorf("schedule %q, want %q", got, want)
	}
}

func TestScaled(t *testing.T) {
	for _, c := range []struct {
		n     int
		scale float64
		want  int
	}{{5000, 1, 5000}, {5000, 0.1, 500}, {500, 0.001, 1}, {1, 0.5, 1}} {
		if got := Scaled(c.n, c.scale); got != c.want {
			t.Errorf("%d at scale %g: %d, want %d", c.n, c.scale, got, c.want)
		}
	}
}

func TestTrackerCounts(t *testing.T) {
	tr := &Tracker{is: map[string]bool{}, changed: make(chan struct{}), wished: func(o any) bool {
		return len(o.(*corev1.Node).Spec.Taints) == 0
	}}
	node := func(name string, taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}
	}
	check := func(when string, all, wished int) {
		t.Helper()
		if a, w := tr.Counts(); a != all || w != wished {
			t.Errorf("%s: %d of %d, want %d of %d", when, w, a, wished, all)
		}
	}
	tr.set(node("a", corev1.Taint{Key: "x"}), true)
	tr.set(node("b"), true)
	check("two nodes", 2, 1)
	tr.set(node("a"), true)
	check("a without taint", 2, 2)
	tr.set(node("a"), true)
	check("a told again", 2, 2)
	tr.set(node("b"), false)
	check("b gone", 1, 1)
	if err := tr.until(t.Context(), func(all, _ int) bool { return all == 1 }); err != nil {
		t.Error(err)
	}
}

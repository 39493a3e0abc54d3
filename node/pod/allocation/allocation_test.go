package allocation_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/pod/allocation"
	"github.com/pintle-io/pintle/node/resize"
)

func asking(cpu string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "u", Generation: 1}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}}}
}

func cpu(p *corev1.Pod) string { return p.Spec.Containers[0].Resources.Requests.Cpu().String() }

// TestGrant: a pod is shown with what it was allocated, by this agent and by
// the next one, until it is allocated something else.
func TestGrant(t *testing.T) {
	dir := t.TempDir()
	store, log := checkpoint.New(dir), slog.New(slog.DiscardHandler)
	a := allocation.New("u", store, 0, log)
	one, two := asking("1"), asking("2")
	if a.Apply(two) != two {
		t.Error("what was not taken up yet is changed")
	}
	a.Restore(one)
	shown := a.Apply(two)
	if cpu(shown) != "1" || cpu(two) != "2" {
		t.Errorf("shown with %s, asks for %s", cpu(shown), cpu(two))
	}
	if a.Apply(two) != shown {
		t.Error("compared again, though nothing has changed")
	}
	if a.Apply(one) != one {
		t.Error("a copy of a pod that asks for nothing else")
	}
	next := allocation.New("u", store, 0, log)
	next.Restore(two)
	if got := cpu(next.Apply(two)); got != "1" {
		t.Errorf("another agent shows it with %s", got)
	}
	if err := next.Grant(two, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if s := next.State(); next.Apply(two) != two || !s.Record.Applying || s.Number != 1 || s.Applying == nil {
		t.Errorf("after the grant: %+v", s)
	}
	if _, ok := next.Completed(0); ok {
		t.Error("what was worked on before the grant completes it")
	}
	if generation, ok := next.Completed(1); !ok || generation != 1 || next.State().Applying != nil {
		t.Errorf("completed: %d %t", generation, ok)
	}
	next.Forget()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestNotKept: what cannot be written is not granted, is told once, and is not
// to be tried at once.
func TestNotKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "allocations")
	var log bytes.Buffer
	a := allocation.New("u", checkpoint.New(dir), 0, slog.New(slog.NewTextHandler(&log, nil)))
	a.Restore(asking("1"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // as on a full disk, no file can be made
		t.Fatal(err)
	}
	now := time.Unix(1, 0)
	for range 3 {
		if err := a.Grant(asking("2"), now); err == nil {
			t.Fatal("granted without a record")
		}
		again := a.Again(now)
		if !again.After(now) {
			t.Errorf("again at %s, now is %s", again, now)
		}
		now = again
	}
	if got := cpu(a.Apply(asking("2"))); got != "1" || !a.Again(now).IsZero() {
		t.Errorf("shown with %s", got)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

// TestFail: why a resize does not come on is news once.
func TestFail(t *testing.T) {
	a := allocation.New("u", nil, 0, slog.New(slog.DiscardHandler))
	a.Restore(asking("1"))
	if _, news := a.Fail(resize.Condition{Reason: "Error", Message: "no"}); news {
		t.Error("there is no resize")
	}
	if err := a.Grant(asking("2"), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if _, news := a.Fail(resize.Condition{Reason: "Error", Message: "no", Since: time.Unix(int64(i+2), 0)}); news != want {
			t.Errorf("time %d: news %t", i+1, news)
		}
	}
	if got := a.State().Applying.Since; !got.Equal(time.Unix(2, 0)) {
		t.Errorf("since %s", got)
	}
}

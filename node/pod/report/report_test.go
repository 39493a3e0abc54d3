package report

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

type patches struct {
	mu    sync.Mutex
	sent  []string
	fail  int
	block chan struct{}
}

func (p *patches) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.sent...)
}

func newTestWriter(t *testing.T) (*Writer, *patches, *corev1.Pod) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "u"}}
	c := fake.NewSimpleClientset(pod)
	p := &patches{}
	c.PrependReactor("patch", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		p.mu.Lock()
		block := p.block
		p.sent = append(p.sent, string(a.(clienttesting.PatchAction).GetPatch()))
		p.fail--
		failed := p.fail >= 0
		p.mu.Unlock()
		if block != nil {
			<-block
		}
		if failed {
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	})
	return New(c, slog.New(slog.DiscardHandler), func(*corev1.Pod) {}), p, pod
}

func withIP(ip string) corev1.PodStatus {
	return corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + ": did not happen")
		}
	}
}

// TestCoalesce: while one write is under way, only the newest of those that
// wait is written, and what the API has already is not sent again.
func TestCoalesce(t *testing.T) {
	w, p, pod := newTestWriter(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.Write(pod, pod.Status, withIP("1"))
	if len(p.list()) > 0 {
		t.Error("written before it runs")
	}
	p.block = make(chan struct{})
	w.Run(ctx)
	await(t, "the first write", func() bool { return len(p.list()) == 1 })
	for _, ip := range []string{"2", "3", "4"} {
		w.Write(pod, pod.Status, withIP(ip))
	}
	close(p.block)
	await(t, "the second write", func() bool { return len(p.list()) == 2 })
	sent := p.list()
	if !strings.Contains(sent[0], `"podIP":"1"`) || !strings.Contains(sent[1], `"podIP":"4"`) || strings.Contains(sent[1], "conditions") {
		t.Errorf("got %v", sent)
	}
	for _, s := range sent {
		if !strings.Contains(s, `"uid":"u"`) {
			t.Errorf("%s does not name the pod", s)
		}
	}
	if err := w.Now(ctx, pod, pod.Status, withIP("5")); err != nil {
		t.Fatal(err)
	}
	base := withIP("5")
	if err := w.Now(ctx, pod, base, base); err != nil {
		t.Fatal(err)
	}
	if got := p.list(); len(got) != 3 {
		t.Errorf("an unchanged status was sent: %v", got)
	}
}

func TestWriteIsRetried(t *testing.T) {
	w, p, pod := newTestWriter(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.fail = 2
	w.Run(ctx)
	w.Write(pod, pod.Status, withIP("1"))
	await(t, "the third try", func() bool { return len(p.list()) == 3 })
	gone := pod.DeepCopy()
	// Of its own UID: with the first pod's it would join that pod's series of
	// writes while the third answer is still under way.
	gone.Name, gone.UID = "gone", "g"
	w.Write(gone, gone.Status, withIP("1"))
	time.Sleep(300 * time.Millisecond)
	if got := p.list(); len(got) != 4 {
		t.Errorf("a pod that is gone is not tried again: %v", got)
	}
}

package hostclient_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/sdk/client"
)

var realClock = clock.RealClock{}

func (b *bench) events(t *testing.T) (out []string) {
	t.Helper()
	l, err := b.List(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("events")}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range l.Items {
		e := o.Obj.(*corev1.Event)
		out = append(out, fmt.Sprintf("%s %s/%s %s %s: %.20s ×%d by %s", e.Type, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Namespace, e.Reason, e.Message, e.Count, e.Source.Component))
	}
	slices.Sort(out)
	return out
}

// Repeated events count up, others stand for themselves, and a flood about one
// object ends.
func TestEvents(t *testing.T) {
	b := newBench(t)
	r := hostclient.NewEvents(b.As(robot), realClock, slog.New(slog.DiscardHandler))
	b.config.Events = r
	m := config("m", "")
	if err := b.c.Create(m); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.c.Event(m, client.Note{Reason: "Same", Message: "again"})
	}
	b.c.Event(m, client.Note{Warning: true, Reason: "Other", Message: strings.Repeat("ü", 2000)})
	lost := config("lost", "")
	lost.Namespace = "nowhere"
	b.c.Event(lost, client.Note{Reason: "Lost", Message: "its namespace is not there"})
	noisy := config("noisy", "")
	noisy.UID = "noisy"
	for i := range 200 {
		b.c.Event(noisy, client.Note{Reason: "Noise", Message: fmt.Sprint(i)})
	}
	last := config("last", "")
	b.c.Event(last, client.Note{Reason: "Last", Message: "done"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	want := []string{
		"Normal ConfigMap/last default Last: done ×1 by robot",
		"Normal ConfigMap/m default Same: again ×5 by robot",
		"Warning ConfigMap/m default Other: " + strings.Repeat("ü", 20) + " ×1 by robot",
	}
	var got []string
	noise := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && len(got) < len(want); time.Sleep(5 * time.Millisecond) {
		got, noise = nil, 0
		for _, e := range b.events(t) {
			if strings.Contains(e, "noisy") {
				noise++
				continue
			}
			got = append(got, e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if noise != 25 {
		t.Errorf("%d events of a flood were written, want 25", noise)
	}
}

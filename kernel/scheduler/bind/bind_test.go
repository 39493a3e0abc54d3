package bind_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/scheduler/bind"
)

type batcher func([]registry.BatchItem) ([]registry.BatchResult, error)

func (b batcher) Batch(_ context.Context, items []registry.BatchItem, atomic bool) ([]registry.BatchResult, error) {
	if atomic {
		return nil, errors.New("bindings do not depend on each other")
	}
	return b(items)
}

// Each binding comes back with its own result, in order; one that got no answer
// did not succeed.
func TestResults(t *testing.T) {
	lost, all := errors.New("conflict"), errors.New("the store is down")
	for name, x := range map[string]struct {
		answer func([]registry.BatchItem) ([]registry.BatchResult, error)
		want   [3]error // nil: bound
		some   bool     // any error will do for the last
	}{
		"each": {func([]registry.BatchItem) ([]registry.BatchResult, error) {
			return []registry.BatchResult{{}, {Err: lost}, {}}, nil
		}, [3]error{nil, lost, nil}, false},
		"all": {func([]registry.BatchItem) ([]registry.BatchResult, error) { return nil, all }, [3]error{all, all, all}, false},
		"short": {func([]registry.BatchItem) ([]registry.BatchResult, error) {
			return make([]registry.BatchResult, 2), nil
		}, [3]error{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []registry.BatchItem
			in, out := make(chan []bind.Binding[int]), make(chan []bind.Result[int])
			b := &bind.Binder[int]{In: in, Out: out, Registry: batcher(func(items []registry.BatchItem) ([]registry.BatchResult, error) {
				asked = items
				return x.answer(items)
			})}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- b.Run(ctx) }()
			var batch []bind.Binding[int]
			for i := range 3 {
				p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint("p", i), UID: "u"}}
				batch = append(batch, bind.Binding[int]{Pod: p, Node: fmt.Sprint("n", i), Decision: i})
			}
			in <- batch
			for i, r := range <-out {
				if r.Decision != i || r.Node != batch[i].Node {
					t.Errorf("result %d is of %d", i, r.Decision)
				}
				if x.some && i == 2 {
					if r.Err == nil {
						t.Error("a binding without an answer counts as written")
					}
				} else if !errors.Is(r.Err, x.want[i]) || (r.Err == nil) != (x.want[i] == nil) {
					t.Errorf("result %d: %v, want %v", i, r.Err, x.want[i])
				}
				if o, ok := asked[i].Object.(*corev1.Binding); !ok || o.Target.Name != r.Node || o.UID != "u" || asked[i].Target.Subresource != "binding" {
					t.Errorf("asked for %+v", asked[i])
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

package scheduler

import (
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
)

// TestExplainWhileDeciding: what is told of a pod is of one decision, whatever is
// decided, or forgotten, meanwhile.
func TestExplainWhileDeciding(t *testing.T) {
	c := newTestCycle(t)
	c.explanations = newExplanations(4)
	for i := range 20 {
		c.putNode(testNode(fmt.Sprint("n", i), fmt.Sprint(4+i%3), "64Gi"), start)
	}
	const pods = 8
	key := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "default", Name: fmt.Sprint("p", i%pods)}
	}
	var told sync.WaitGroup
	done := make(chan struct{})
	told.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			v, ok := c.explanations.get(key(i))
			if !ok {
				continue
			}
			if nodes := v.Scores.Nodes(); len(nodes) != 5 || nodes[0].Node != v.Node || nodes[0].Score != v.Score {
				t.Errorf("placed on %s with %d, told is %+v", v.Node, v.Score, nodes)
				return
			}
		}
	})
	for i := range 500 {
		c.putPod(testPod(key(i).Name, []string{"100m", "200m"}[i%2], ""), start)
		d := c.next(t.Context(), start)
		if d == nil || d.node == "" {
			t.Fatalf("pod %d: decision %+v", i, d)
		}
		c.deletePod(d.pod.Key, start)
	}
	close(done)
	told.Wait()
	if n := len(c.explanations.byPod); n != 4 || c.explanations.order.Len() != n {
		t.Errorf("%d explanations, %d in order, want 4", n, c.explanations.order.Len())
	}
}

// TestExplanationsForgetTheOldest: a decision about a pod that is known makes
// its explanation the newest.
func TestExplanationsForgetTheOldest(t *testing.T) {
	e := newExplanations(2)
	name := func(s string) types.NamespacedName { return types.NamespacedName{Name: s} }
	for i, s := range []string{"a", "b", "a", "c", "b"} {
		v := verdictOf(&evaluate.Outcome{Node: s}, 1, i, start)
		e.put(name(s), &v)
	}
	for s, attempts := range map[string]int{"b": 4, "c": 3} {
		if v, ok := e.get(name(s)); !ok || v.Node != s || v.Attempts != attempts {
			t.Errorf("%s: %t, %+v", s, ok, v)
		}
	}
	if v, ok := e.get(name("a")); ok {
		t.Errorf("a is the oldest, and remembered: %+v", v)
	}
}

package evaluate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

func init() {
	register("test-tomorrow", func() *scheduling.Points {
		return &scheduling.Points{Columns: []scheduling.Column{9999}, Score: func(*scheduling.Pod, scheduling.Node) int64 { return 0 }}
	})
	register("test-tomorrow-seen", func() *scheduling.Points {
		return &scheduling.Points{ScoreAll: func(c *scheduling.Cycle) { c.Int64(9999) }}
	})
	register("test-greedy", func() *scheduling.Points {
		return &scheduling.Points{Score: func(_ *scheduling.Pod, n scheduling.Node) int64 {
			for o := range n.AssignedPods() {
				for i := range 100 {
					o.Extended(fmt.Sprint("example.com/", i))
				}
			}
			return 0
		}}
	})
	register("test-many-labels", func() *scheduling.Points {
		return &scheduling.Points{Score: func(_ *scheduling.Pod, n scheduling.Node) (found int64) {
			for o := range n.AssignedPods() {
				for i := range 80 {
					if v, ok := o.Label(fmt.Sprint("key", i)); ok && v == fmt.Sprint(i) {
						found++
					}
				}
			}
			return found
		}}
	})
	register("test-pods-only", func() *scheduling.Points {
		return &scheduling.Points{Score: func(_ *scheduling.Pod, n scheduling.Node) int64 { return min(100, n.Pods()) }}
	})
}

// The region of an instance holds what its plugin looked at.
func TestOnlyColumnsAskedFor(t *testing.T) {
	b := newTestBed(t, registered("test-pods-only"))
	b.threeNodes()
	b.place(t, pod("p", "1"))
	out := b.place(t, pod("q", "1"))
	if out.Score != 1 {
		t.Errorf("outcome %+v, want the node with a pod", out)
	}
	var have []columns.ID
	for _, c := range b.instances[0].mirror.Layout().Columns {
		have = append(have, c.ID)
	}
	if want := []columns.ID{columns.RequestPods, columns.ResultFeasible, columns.ResultReason, columns.ResultScore}; !slices.Equal(have, want) {
		t.Errorf("columns %v, want %v", have, want)
	}
}

// A column that this version does not know is refused with its number, at open
// if it was declared, else for the pod at hand.
func TestUnknownColumn(t *testing.T) {
	if _, err := Open(t.Context(), "x", registered("test-tomorrow"), nil); err == nil || !strings.Contains(err.Error(), "column unknown (9999): no such column") {
		t.Errorf("declared: %v", err)
	}
	b := newTestBed(t, registered("test-tomorrow-seen"))
	b.threeNodes()
	p := pod("p", "1").asked()
	if _, err := b.Decide(t.Context(), p, start); err == nil || !strings.Contains(err.Error(), "column unknown (9999): no such column") {
		t.Errorf("seen: %v", err)
	}
}

// A plugin that looks at more columns over pods than it may have is refused with
// the name of the first that is too many, and nothing is kept for it.
func TestTooManyPodColumns(t *testing.T) {
	b := newTestBed(t, registered("test-greedy"))
	b.threeNodes()
	p := &columns.Pod{Namespace: "default"}
	table := b.cfg.Table
	table.Pods().Keep(func(yield func(string, *columns.Pod)) { yield(table.Node(0).Name, p) })
	table.Assign(0, p)
	if _, err := b.Decide(t.Context(), pod("p", "1").asked(), start); err == nil || !strings.Contains(err.Error(), "column pod.requests.extended[example.com/64] (225): no such column") {
		t.Errorf("error %v", err)
	}
	if table.Pods().Kept() {
		t.Error("pods are kept for an instance that is discarded")
	}
}

// Labels of pods beyond those that have a column are read from the sets.
func TestManyPodLabels(t *testing.T) {
	b := newTestBed(t, registered("test-many-labels"))
	b.threeNodes()
	p := &columns.Pod{Namespace: "default", Labels: map[string]string{}}
	for i := range 80 {
		p.Labels[fmt.Sprint("key", i)] = fmt.Sprint(i)
	}
	b.cfg.Table.Pods().Keep(func(yield func(string, *columns.Pod)) { yield(b.cfg.Table.Node(1).Name, p) })
	b.cfg.Table.Assign(1, p)
	if out := b.place(t, pod("p", "1")); out.Row != 1 || out.Score != 80 {
		t.Errorf("outcome %+v, want row 1 with 80 labels", out)
	}
}

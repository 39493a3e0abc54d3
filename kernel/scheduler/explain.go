package scheduler

import (
	"container/list"
	"sort"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
)

// Verdict is the last decision about a pod.
type Verdict struct {
	Time time.Time `json:"time"`
	// Node that was chosen; "" when none fits.
	Node  string `json:"node,omitempty"`
	Score int64  `json:"score,omitempty"`
	// Feasible is how many of Nodes could have taken the pod.
	Feasible int `json:"feasible"`
	Nodes    int `json:"nodes"`
	// Scores say how Node, and the best of the others, came by their scores.
	Scores evaluate.Scores `json:"scores,omitzero"`
	// Message is what the pod's condition says.
	Message string    `json:"message,omitempty"`
	Reasons []Refusal `json:"reasons,omitempty"`
	// Rehearsed is what plugins said that decide nothing.
	Rehearsed []Rehearsal `json:"rehearsed,omitempty"`
	// Attempts counts the tries so far, this one included.
	Attempts int `json:"attempts"`
}

// Refusal is one reason for which nodes were refused.
type Refusal struct {
	Plugin string `json:"plugin"`
	Reason string `json:"reason"`
	Nodes  int    `json:"nodes"`
	// Examples are some of the nodes.
	Examples []string `json:"examples,omitempty"`
}

// explanations remember the last decision about each of the pods decided about
// most recently. They are safe for concurrent use.
type explanations struct {
	limit int

	mu    sync.Mutex
	byPod map[types.NamespacedName]*list.Element // guarded by mu
	order *list.List                             // guarded by mu; oldest first
}

type explanation struct {
	key     types.NamespacedName
	verdict Verdict
}

func newExplanations(limit int) *explanations {
	return &explanations{limit: limit, byPod: map[types.NamespacedName]*list.Element{}, order: list.New()}
}

// put remembers a copy of the verdict, in the memory of the oldest one if there
// are enough.
func (e *explanations) put(key types.NamespacedName, v *Verdict) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.byPod[key]
	switch {
	case at != nil:
	case e.order.Len() < e.limit:
		at = e.order.PushBack(&explanation{})
	default:
		at = e.order.Front()
		delete(e.byPod, at.Value.(*explanation).key)
	}
	x := at.Value.(*explanation)
	x.key, x.verdict = key, *v
	e.byPod[key] = at
	e.order.MoveToBack(at)
}

func (e *explanations) get(key types.NamespacedName) (Verdict, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.byPod[key]; known != nil {
		return known.Value.(*explanation).verdict, true
	}
	return Verdict{}, false
}

// verdictOf makes a verdict from an outcome.
func verdictOf(out *evaluate.Outcome, nodes, attempts int, now time.Time) Verdict {
	v := Verdict{Time: now, Node: out.Node, Score: out.Score, Scores: out.Scores.Copy(), Feasible: out.Feasible, Nodes: nodes, Attempts: attempts}
	if out.Fit == nil {
		return v
	}
	v.Message = out.Fit.Error()
	for _, r := range out.Fit.Reasons() {
		v.Reasons = append(v.Reasons, Refusal{Plugin: r.Plugin, Reason: r.Text, Nodes: r.Nodes, Examples: r.Examples})
	}
	sort.Slice(v.Reasons, func(i, j int) bool {
		a, b := &v.Reasons[i], &v.Reasons[j]
		if a.Nodes != b.Nodes {
			return a.Nodes > b.Nodes
		}
		return a.Reason < b.Reason
	})
	return v
}

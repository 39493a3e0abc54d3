package scheduler

import (
	"container/list"
	"sort"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
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

// verdicts remembers the last decision about each of the pods decided about
// most recently. It is safe for concurrent use.
type verdicts struct {
	limit int

	mu    sync.Mutex
	byPod map[types.NamespacedName]*list.Element // guarded by mu
	order *list.List                             // guarded by mu; oldest first
}

type verdictEntry struct {
	key     types.NamespacedName
	verdict Verdict
}

func newVerdicts(limit int) *verdicts {
	return &verdicts{limit: limit, byPod: map[types.NamespacedName]*list.Element{}, order: list.New()}
}

func (v *verdicts) put(key types.NamespacedName, x Verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.byPod[key]; e != nil {
		e.Value.(*verdictEntry).verdict = x
		v.order.MoveToBack(e)
		return
	}
	if v.order.Len() >= v.limit {
		oldest := v.order.Front()
		entry := v.order.Remove(oldest).(*verdictEntry)
		delete(v.byPod, entry.key)
	}
	v.byPod[key] = v.order.PushBack(&verdictEntry{key, x})
}

func (v *verdicts) get(key types.NamespacedName) (Verdict, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.byPod[key]
	if e == nil {
		return Verdict{}, false
	}
	return e.Value.(*verdictEntry).verdict, true
}

// verdictOf makes a verdict from an outcome.
func verdictOf(out *outcome, nodes, attempts int, now time.Time) Verdict {
	v := Verdict{Time: now, Node: out.node, Score: out.score, Feasible: out.feasible, Nodes: nodes, Attempts: attempts}
	if out.fit == nil {
		return v
	}
	v.Message = out.fit.Error()
	for _, r := range out.fit.texts {
		v.Reasons = append(v.Reasons, Refusal{Plugin: r.plugin, Reason: r.text, Nodes: r.nodes, Examples: out.fit.examples[r.text]})
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

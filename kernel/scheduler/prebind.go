package scheduler

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// preBinders is how many PreBinds are asked at the same time. One that waits takes
// none of them.
const preBinders = 4

// A PreBind that waits is asked again after askAgain at the latest, in case that what
// it waits for is told by no object; not before patience when it says itself when,
// so that no plugin asks in a circle; and given up after maxPreBind.
const (
	askAgain   = 10 * time.Second
	patience   = 50 * time.Millisecond
	maxPreBind = time.Hour
)

// placement is a pod that is reserved on a node and must be prebound.
// RATIONALE.md: "Why does the scheduler hold what its plugins reserve?"
type placement struct {
	d     *decision
	at    int       // the reservation that is asked
	since time.Time // it was asked first

	asked bool // a call is under way
	over  bool // the pod is gone, or bound by somebody: nothing is to come of it
	// newest is a state of the pod that was told since the decision; nil for none.
	newest *corev1.Pod
	index  int // in the heap of those that wait, from 1; 0: it is not there
	again  time.Time
	until  []objects.Ref
}

// errPluginGone is about a placement whose plugin is not in place any more.
var errPluginGone = errors.New("the plugin is not in place any more")

// preBound is what came of one call.
type preBound struct {
	p      *placement
	answer schedule.PreBindAnswer
	until  []objects.Ref
	view   uint64 // the number of the last change before the call
	err    error
}

// preBindTask is one call to make; what it reads does not change while it is made.
type preBindTask struct {
	p       *placement
	access  *objects.Access
	request schedule.PreBindRequest
}

// preBinder asks PreBinds of placements that come in.
type preBinder struct {
	view *objects.View
	in   <-chan preBindTask
	out  chan<- preBound
}

func (b *preBinder) run(ctx context.Context) error {
	for {
		select {
		case x := <-b.in:
			select {
			case b.out <- b.ask(ctx, x):
			case <-ctx.Done():
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *preBinder) ask(ctx context.Context, x preBindTask) preBound {
	out := preBound{p: x.p, view: b.view.Now()}
	if x.access == nil || x.access.Do == nil {
		out.err = errPluginGone
		return out
	}
	ctx = plugin.ForNamespace(ctx, x.request.Pod.Namespace)
	out.err = x.access.Do(ctx, func(in plugin.Instance) error {
		resp, err := in.Call(ctx, schedule.OpPreBind, x.request.Append(nil))
		if err == nil {
			out.answer, err = schedule.ReadPreBindAnswer(resp)
		}
		return err
	})
	for _, o := range out.answer.Until {
		r, err := x.access.RefOf(o.Resource, o.Namespace, o.Name)
		if err != nil && out.err == nil {
			out.err = fmt.Errorf("it waits for %s: %w", o.Resource, err)
		}
		out.until = append(out.until, r)
	}
	return out
}

// placements are the pods that are being prebound. They belong to the loop.
type placements struct {
	byPod   map[types.NamespacedName]*placement
	waiting waitHeap
	byRef   map[objects.Ref]map[*placement]struct{} // of those that wait
	due     backlog[*placement]                     // to be asked
}

func newPlacements() placements {
	return placements{byPod: map[types.NamespacedName]*placement{}, byRef: map[objects.Ref]map[*placement]struct{}{}}
}

// park lets a placement wait.
func (l *placements) park(p *placement) {
	heap.Push(&l.waiting, p)
	for _, r := range p.until {
		if l.byRef[r] == nil {
			l.byRef[r] = map[*placement]struct{}{}
		}
		l.byRef[r][p] = struct{}{}
	}
}

// unpark takes a placement out of those that wait, if it is among them.
func (l *placements) unpark(p *placement) {
	if p.index == 0 {
		return
	}
	heap.Remove(&l.waiting, p.index-1)
	for _, r := range p.until {
		delete(l.byRef[r], p)
		if len(l.byRef[r]) == 0 {
			delete(l.byRef, r)
		}
	}
}

// ask puts a placement among those that are asked next.
func (l *placements) ask(p *placement) {
	l.unpark(p)
	l.due.add(p)
}

// changed asks those again that wait for these objects.
func (l *placements) changed(list []objects.Ref) {
	if len(l.byRef) == 0 {
		return
	}
	for _, o := range list {
		for _, r := range o.Covers() {
			for p := range l.byRef[r] {
				l.ask(p)
			}
		}
	}
}

// wake asks those again whose time has come.
func (l *placements) wake(now time.Time) {
	for l.waiting.Len() > 0 && !now.Before(l.waiting[0].again) {
		l.ask(l.waiting[0])
	}
}

// wakeAll asks all again that wait: their plugins may be others.
func (l *placements) wakeAll() {
	for l.waiting.Len() > 0 {
		l.ask(l.waiting[0])
	}
}

// next is when the next one is due; false when none waits.
func (l *placements) next() (time.Time, bool) {
	if l.waiting.Len() == 0 {
		return time.Time{}, false
	}
	return l.waiting[0].again, true
}

// preparing takes pods that are reserved on a node through their PreBinds. It belongs to
// the loop.
type preparing struct {
	placements
	cycle *cycle
	log   *slog.Logger
	// bind is told of pods that are ready, tell of those that are not going to be.
	bind, tell func(*decision, time.Time)
	to         chan preBindTask
	done       chan preBound
}

func newPreparing(c *cycle, log *slog.Logger) preparing {
	return preparing{placements: newPlacements(), cycle: c, log: log, to: make(chan preBindTask), done: make(chan preBound, preBinders)}
}

// begin takes a decision.
func (l *preparing) begin(d *decision, now time.Time) {
	p := &placement{d: d, at: -1}
	l.byPod[d.pod.Key] = p
	l.advance(p, now)
}

// advance goes on with the next reservation that is to be prebound, or binds the pod
// when there is none.
func (l *preparing) advance(p *placement, now time.Time) {
	list := p.d.reserved.List
	for p.at++; p.at < len(list); p.at++ {
		if list[p.at].PreBind {
			p.since = now
			l.ask(p)
			return
		}
	}
	delete(l.byPod, p.d.pod.Key)
	if p.since != (time.Time{}) {
		l.cycle.m.preBinds.WithLabelValues("done").Inc()
	}
	l.bind(p.d, now)
}

// task is the question for a placement.
func (l *preparing) task(p *placement, now time.Time) preBindTask {
	r := &p.d.reserved.List[p.at]
	q := schedule.PreBindRequest{Elapsed: max(now.Sub(p.since), 0)}
	q.Pod, q.Node, q.Member, q.State = p.d.ref(), p.d.node, r.Member, r.State
	return preBindTask{p: p, access: l.cycle.evaluator.Access(r.Plugin), request: q}
}

// nextTask is the question of the first placement that is due; false when none is. Whoever
// hands it over says so by handed.
func (l *preparing) nextTask(now time.Time) (preBindTask, bool) {
	for l.due.len() > 0 {
		if p := l.due.items[0]; !p.over {
			return l.task(p, now), true
		}
		l.due.drop(1)
	}
	return preBindTask{}, false
}

// handed says that the task of nextTask is with somebody who asks.
func (l *preparing) handed() {
	l.due.items[0].asked = true
	l.due.drop(1)
}

// finish handles what came of a call.
func (l *preparing) finish(b *preBound, now time.Time) {
	p := b.p
	p.asked = false
	if p.over {
		l.giveUp(p, nil, now)
		return
	}
	r := &p.d.reserved.List[p.at]
	if b.err != nil {
		if r.Policy == Ignore && !errors.Is(b.err, errPluginGone) {
			l.log.Warn("scheduling plugin failed", "plugin", r.Plugin, "error", b.err, "policy", r.Policy)
			l.advance(p, now)
			return
		}
		l.giveUp(p, &evaluate.Refusal{Point: "PreBind", Plugin: r.Name, Reason: b.err.Error()}, now)
		return
	}
	r.State = b.answer.State
	switch {
	case b.answer.Outcome == schedule.PreBindDone:
		l.advance(p, now)
	case b.answer.Outcome == schedule.PreBindRefused:
		l.giveUp(p, &evaluate.Refusal{Point: "PreBind", Plugin: r.Name, Reason: strings.Join(b.answer.Reasons, ", ")}, now)
	case now.Sub(p.since) >= maxPreBind:
		l.giveUp(p, &evaluate.Refusal{Point: "PreBind", Plugin: r.Name, Reason: fmt.Sprintf("it waits for more than %v", maxPreBind)}, now)
	default:
		p.until = b.until
		p.again = now.Add(askAgain)
		if d := b.answer.After; d > 0 {
			p.again = now.Add(min(max(d, patience), askAgain))
		}
		l.park(p)
		if l.cycle.objects.ChangedSince(p.until, b.view) { // while it was asked
			l.ask(p)
		}
	}
}

// drop says that nothing is to come of a pod's placement, because the pod is gone or
// on a node already.
func (l *preparing) drop(key types.NamespacedName, now time.Time) {
	if p := l.byPod[key]; p != nil && !p.over {
		p.over = true
		delete(l.byPod, key)
		if !p.asked {
			l.unpark(p)
			l.giveUp(p, nil, now)
		}
	}
}

// dropUseless drops the placement of a pod that is on its way out, on a node, or
// another one of that name.
func (l *preparing) dropUseless(o *corev1.Pod, now time.Time) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	p := l.byPod[key]
	if p == nil || p.d.pod.UID == o.UID && o.DeletionTimestamp == nil && o.Spec.NodeName == "" && !terminal(o) {
		if p != nil {
			p.newest = o
		}
		return
	}
	if o.DeletionTimestamp != nil && o.Spec.NodeName == "" {
		l.cycle.deletePod(key, now)
	}
	l.drop(key, now)
}

// dropMissing drops the placements of pods that are not there.
func (l *preparing) dropMissing(list []*watch.Object, now time.Time) {
	if len(l.byPod) == 0 {
		return
	}
	there := map[types.NamespacedName]bool{}
	for _, o := range list {
		there[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = true
		if p, ok := o.Obj.(*corev1.Pod); ok {
			l.dropUseless(p, now)
		}
	}
	for key := range l.byPod {
		if !there[key] {
			l.drop(key, now)
		}
	}
}

// giveUp unreserves a placement, and puts its pod back unless it is gone.
func (l *preparing) giveUp(p *placement, why *evaluate.Refusal, now time.Time) {
	if l.byPod[p.d.pod.Key] == p {
		delete(l.byPod, p.d.pod.Key)
	}
	waits := l.cycle.rollback(p.d, now)
	if why == nil || !waits {
		return
	}
	if p.newest != nil { // its labels may be others
		l.cycle.putPod(p.newest, now)
	}
	l.cycle.m.preBinds.WithLabelValues("refused").Inc()
	l.tell(l.cycle.refused(p.d, why, now), now)
}

// waitHeap orders placements by when they are asked again.
type waitHeap []*placement

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].again.Before(h[j].again) }
func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push implements heap.Interface.
func (h *waitHeap) Push(x any) {
	p := x.(*placement)
	*h = append(*h, p)
	p.index = len(*h)
}

// Pop implements heap.Interface.
func (h *waitHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h, p.index = old[:len(old)-1], 0
	return p
}

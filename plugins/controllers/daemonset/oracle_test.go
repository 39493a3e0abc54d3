package daemonset

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

var errCrash = errors.New("killed")

// mortal is the client of a controller that is killed after so many writes, in the
// middle of a batch as well.
type mortal struct {
	client.Client
	lives  int // writes that are still made; negative: no limit
	before func(op client.Op)
}

func (m *mortal) write(do func() error) error {
	if m.lives == 0 {
		return errCrash
	}
	m.lives--
	return do()
}

func (m *mortal) Create(o client.Object) error {
	return m.write(func() error { return m.Client.Create(o) })
}

func (m *mortal) UpdateStatus(o client.Object) error {
	return m.write(func() error { return m.Client.UpdateStatus(o) })
}

func (m *mortal) Patch(o client.Object, p client.Patch) error {
	return m.write(func() error { return m.Client.Patch(o, p) })
}

func (m *mortal) Delete(o client.Object, d client.DeleteOptions) error {
	return m.write(func() error { return m.Client.Delete(o, d) })
}

func (m *mortal) Batch(ops []client.Op, atomic bool) ([]error, error) {
	var out []error
	for i := range ops {
		m.before(ops[i])
		err := m.write(func() error {
			errs, err := m.Client.Batch(ops[i:i+1], atomic)
			out = append(out, errs...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// chance is a life of a DaemonSet among nodes that come, go and change.
type chance struct {
	*world
	t    *testing.T
	rnd  *rand.Rand
	name string
	last int // number of the last node
}

func (h *chance) list() (pods []*pod) {
	must(h.t, h.List(&pods, client.ListOptions{Namespace: "default"}))
	return pods
}

func (h *chance) fleet() (nodes []*node) {
	must(h.t, h.List(&nodes, client.ListOptions{}))
	return nodes
}

// node lets something happen to the fleet.
func (h *chance) node() {
	fleet := h.fleet()
	if len(fleet) < 3 || len(fleet) < 8 && h.rnd.IntN(3) == 0 {
		h.last++
		n := newNode(fmt.Sprintf("n%03d", h.last))
		if h.rnd.IntN(3) > 0 {
			labelled("color", "blue")(n)
		}
		must(h.t, h.Create(n))
		return
	}
	n := client.Clone(fleet[h.rnd.IntN(len(fleet))])
	switch h.rnd.IntN(5) {
	case 0:
		must(h.t, h.Delete(n, client.DeleteOptions{}))
		for _, p := range h.list() { // as the collector of pods does
			if p.Spec.NodeName == n.Name {
				must(h.t, h.Delete(p, client.DeleteOptions{}))
			}
		}
		return
	case 1:
		n.Labels["color"] = []string{"blue", "green"}[h.rnd.IntN(2)]
	case 2:
		n.Spec.Taints = []corev1.Taint{{Key: "t", Effect: []corev1.TaintEffect{"NoSchedule", "NoExecute"}[h.rnd.IntN(2)]}}
	default:
		n.Spec.Taints = nil
	}
	must(h.t, h.Update(n))
}

// pod lets something happen to a pod.
func (h *chance) pod(p *pod, calm bool) {
	switch x := h.rnd.IntN(10); {
	case x == 0 && !calm:
		must(h.t, h.Delete(p, client.DeleteOptions{}))
	case x == 1 && !calm && p.Spec.NodeName != "":
		h.patch(h.t, p, map[string]any{"status": map[string]any{"phase": []string{"Failed", "Succeeded"}[h.rnd.IntN(2)], "conditions": []any{}}})
	case x == 2 && !calm:
		h.patch(h.t, p, map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "other"}}})
	case !p.finished() && slices.ContainsFunc(h.fleet(), func(n *node) bool { return n.Name == p.target() }):
		h.patch(h.t, p, map[string]any{"spec": map[string]any{"nodeName": p.target()}, "status": map[string]any{"phase": "Running",
			"conditions": []any{map[string]any{"type": "Ready", "status": "True", "lastTransitionTime": h.now.UTC().Format(time.RFC3339)}}}})
	}
}

// edit changes the template, or the strategy.
func (h *chance) edit() {
	s := h.set(h.t)
	s.Generation++
	switch h.rnd.IntN(4) {
	case 0:
		s.Spec.UpdateStrategy = newSet([]func(*appsv1.DaemonSet){surging("2"), surging("40%"), allowing("1"), allowing("30%"), onDelete}[h.rnd.IntN(5)]).Spec.UpdateStrategy
	case 1:
		s.Spec.Template.Spec.NodeSelector = map[string]string{"color": []string{"blue", "green"}[h.rnd.IntN(2)]}
		s.Annotations[appsv1.DeprecatedTemplateGeneration] = fmt.Sprint(s.Generation)
	default:
		s.Spec.Template.Spec.Containers[0].Image = fmt.Sprint("image-", h.rnd.IntN(4))
		s.Annotations[appsv1.DeprecatedTemplateGeneration] = fmt.Sprint(s.Generation)
	}
	must(h.t, h.Update(s))
}

// run reconciles, with an instance that is killed at any write. Whatever is removed is
// held against the promise of the strategy first.
func (h *chance) run(lives int) {
	h.as = &mortal{Client: h.Store.Client(), lives: lives, before: h.promise}
	switch err := h.try(); {
	case err == nil:
	case errors.Is(err, errCrash), client.IsConflict(err), client.IsNotFound(err):
		h.world.r = newReconciler()
	default:
		h.t.Fatalf("%s: %v", h.name, err)
	}
}

// promise: a pod that is available and of a node that is to have one is removed only
// when the node has another one, or as many others are available as the strategy asks
// for.
func (h *chance) promise(op client.Op) {
	doomed, ok := op.Object.(*pod)
	set := h.set(h.t)
	if !ok || op.Verb != client.VerbDelete {
		return
	}
	st := newState(set, fleetOf(h.fleet(), nil), "", h.now)
	st.sort(h.list())
	if doomed.finished() || !st.available(doomed) {
		return
	}
	desired, up, concerned := 0, 0, false
	for i, n := range st.nodes {
		if !st.verdicts[i].run {
			continue
		}
		desired++
		fine := slices.ContainsFunc(st.pods[i], func(p *pod) bool { return p.UID != doomed.UID && !p.finished() && st.available(p) })
		if fine {
			up++
		}
		if n.Name == doomed.target() && len(st.pods[i]) == 1 {
			concerned = true
		}
	}
	allowed := st.unavailable(desired)
	if st.surge(desired) == 0 {
		allowed = max(allowed, 1)
	}
	if concerned && desired-up > allowed {
		h.t.Fatalf("%s: pod %s is removed and %d of %d are available then; %d may be unavailable", h.name, doomed.Name, up, desired, allowed)
	}
}

// judge looks at what there is at the end.
func (h *chance) judge() {
	h.t.Helper()
	set := h.set(h.t)
	all := h.revisions(h.t)
	st := newState(set, fleetOf(h.fleet(), nil), hashOf(all[len(all)-1]), h.now)
	pods, _, err := (&session{Client: h.Client, set: set}).mine()
	must(h.t, err)
	st.sort(pods)
	want := map[string]bool{}
	for i, n := range st.nodes {
		if st.verdicts[i].run {
			want[n.Name] = true
		}
		if st.verdicts[i].run && len(st.pods[i]) != 1 {
			h.t.Errorf("%s: node %s has %d pods", h.name, n.Name, len(st.pods[i]))
		}
		if !st.verdicts[i].stay && len(st.pods[i]) > 0 {
			h.t.Errorf("%s: node %s has pods that it must not have", h.name, n.Name)
		}
	}
	for _, p := range pods {
		if !st.available(p) || want[p.target()] && !st.updated(p) && set.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
			h.t.Errorf("%s: pod %s on %s: labels %v, status %+v", h.name, p.Name, p.target(), p.Labels, p.Status)
		}
	}
	status, _ := st.count()
	if got := summary(set.Status); got != summary(status) || set.Status.ObservedGeneration != set.Generation || int(status.NumberAvailable) != len(want) {
		h.t.Errorf("%s: generation %d, status %+v, want %s", h.name, set.Generation, set.Status, summary(status))
	}
	if n := len(all); n > int(*set.Spec.RevisionHistoryLimit)+1 && set.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		h.t.Errorf("%s: %d revisions", h.name, n)
	}
	for i := range all[1:] {
		if all[i].Revision >= all[i+1].Revision {
			h.t.Errorf("%s: revisions %d and %d", h.name, all[i].Revision, all[i+1].Revision)
		}
	}
}

// TestRandomLives lets DaemonSets live through anything, with controllers that are
// killed between any two writes: an update never takes more than it may, and in the end
// every node has what it should.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		limit := int32(3)
		h := &chance{world: newWorld(t, newSet(onlyBlue, func(s *appsv1.DaemonSet) { s.Spec.RevisionHistoryLimit = &limit })), t: t, rnd: r, name: fmt.Sprint("seed ", seed)}
		for range 60 {
			h.now = h.now.Add(time.Duration(r.IntN(20)) * time.Second)
			for range r.IntN(4) {
				h.node()
			}
			for pods := h.list(); len(pods) > 0 && r.IntN(6) > 0; {
				i := r.IntN(len(pods))
				h.pod(pods[i], false)
				pods = slices.Delete(pods, i, i+1)
			}
			if r.IntN(5) == 0 {
				h.edit()
			}
			h.run(r.IntN(15))
		}
		for range 25 {
			h.now = h.now.Add(time.Hour)
			h.run(-1)
			for _, p := range h.list() {
				h.pod(p, true)
			}
		}
		h.now = h.now.Add(time.Hour)
		h.run(-1)
		h.judge()
	}
}

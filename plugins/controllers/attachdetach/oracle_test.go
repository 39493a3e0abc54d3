package attachdetach

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var errCrash = errors.New("killed")

const attacherFinalizer = "external-attacher/d"

// mortal is the client of a controller that is killed after so many writes, while the
// world goes on between them.
type mortal struct {
	client.Client
	w     *world
	lives int // negative: no limit
}

func (m *mortal) write(do func() error) error {
	if m.w.wild && m.w.r.IntN(3) == 0 {
		m.w.live()
	}
	if m.lives == 0 {
		return errCrash
	}
	m.lives--
	return do()
}

func (m *mortal) Create(o client.Object) error {
	return m.write(func() error { return m.Client.Create(o) })
}

func (m *mortal) Patch(o client.Object, p client.Patch) error {
	return m.write(func() error { return m.Client.Patch(o, p) })
}

func (m *mortal) Delete(o client.Object, d client.DeleteOptions) error {
	return m.write(func() error {
		m.w.mayDetach(o.(*attachment))
		return m.Client.Delete(o, d)
	})
}

// world is a cluster of three nodes and three volumes: two for one node each, one for
// many. What the storage really did is in backend.
type world struct {
	t       *testing.T
	r       *rand.Rand
	api     client.Client
	k       *controlled
	now     time.Time
	wild    bool
	pods    int
	backend map[string]map[string]bool // by handle: the nodes that have it
	before  map[string]bool            // what was true when the controller looked
	log     []string
}

var names3 = []string{"a", "b", "c"}

func listOf[T any](w *world) []*T {
	var out []*T
	if err := w.api.List(&out, client.ListOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) must(err error) {
	if err != nil && !client.IsNotFound(err) {
		w.t.Fatal(err)
	}
}

func (w *world) patch(o client.Object, data map[string]any) {
	w.must(w.api.Patch(o, client.Patch{Data: data}))
}

func (w *world) says(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fail(format string, args ...any) {
	for _, l := range w.log[max(0, len(w.log)-40):] {
		w.t.Log(l)
	}
	w.t.Fatalf(format, args...)
}

// newPod is what a test writes of a pod: the controller's own type only reads.
type newPod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              map[string]any `json:"spec"`
	Status            map[string]any `json:"status"`
}

func (*newPod) APIResource() string { return pods }

// live lets something happen.
func (w *world) live() {
	list, at := listOf[pod](w), names3[w.r.IntN(3)]
	switch w.r.IntN(9) {
	case 0, 1:
		w.pods++
		p := &newPod{Spec: map[string]any{"nodeName": at, "volumes": []any{map[string]any{"name": "v",
			"persistentVolumeClaim": map[string]any{"claimName": "c-" + names3[w.r.IntN(3)]}}}}, Status: map[string]any{"phase": "Running"}}
		p.Namespace, p.Name = "default", fmt.Sprint("p", w.pods)
		w.says("pod %s on %s: %v", p.Name, at, p.Spec["volumes"])
		w.must(w.api.Create(p))
	case 2, 3:
		if len(list) == 0 {
			return
		}
		p := list[w.r.IntN(len(list))]
		if w.r.IntN(3) == 0 {
			w.says("pod %s ends", p.Name)
			w.patch(&newPod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}, map[string]any{"status": map[string]any{"phase": "Succeeded"}})
			return
		}
		w.says("pod %s goes", p.Name)
		w.must(w.api.Delete(p, client.DeleteOptions{}))
	case 4, 5:
		w.agent(at)
	case 6, 7:
		if all := listOf[attachment](w); len(all) > 0 {
			w.attacher(all[w.r.IntN(len(all))], w.r.IntN(4) == 0)
		}
	case 8:
		w.turn(at)
	}
}

// turn makes a node well, ill, or lost.
func (w *world) turn(at string) {
	status, taints := "True", []any{}
	switch w.r.IntN(4) {
	case 0:
		status = "Unknown"
	case 1:
		status, taints = "Unknown", []any{map[string]any{"key": outOfService}}
	}
	w.says("node %s is ready=%s %v", at, status, taints)
	w.patch(&node{ObjectMeta: metav1.ObjectMeta{Name: at}}, map[string]any{"spec": map[string]any{"taints": taints},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": status}}}})
}

// agent mounts what is attached and needed, and unmounts what is not, unless the node
// is ill.
func (w *world) agent(at string) {
	n, err := nodeOf(w.api, at)
	if w.must(err); n == nil || !n.ready() {
		return
	}
	use := []string{}
	for _, p := range listOf[pod](w) {
		if p.Spec.NodeName != at || p.terminated() {
			continue
		}
		v := volumeName("d", "h-"+p.claims()[0][2:])
		mounted := slices.Contains(n.Status.InUse, v)
		if there := slices.ContainsFunc(n.Status.Attached, func(a attached) bool { return a.Name == v }); (there || mounted) && !slices.Contains(use, v) {
			use = append(use, v)
		}
	}
	w.says("node %s uses %v", at, use)
	w.patch(&node{ObjectMeta: metav1.ObjectMeta{Name: at}}, map[string]any{"status": map[string]any{"volumesInUse": use}})
}

// attacher is what a driver's external-attacher does about one attachment.
func (w *world) attacher(a *attachment, fails bool) {
	handle := "h-" + a.Spec.Source.Volume[1:]
	named := &attachment{ObjectMeta: metav1.ObjectMeta{Name: a.Name}}
	switch {
	case a.DeletionTimestamp != nil:
		delete(w.backend[handle], a.Spec.NodeName)
		w.says("detached %s from %s", handle, a.Spec.NodeName)
		w.patch(named, map[string]any{"metadata": map[string]any{"finalizers": []string{}}})
	case len(a.Finalizers) == 0:
		w.patch(named, map[string]any{"metadata": map[string]any{"finalizers": []string{attacherFinalizer}}})
	case fails && !a.Status.Attached:
		w.backend[handle][a.Spec.NodeName] = true // it may have worked
		w.patch(named, map[string]any{"status": map[string]any{"attachError": map[string]any{"message": "timeout", "time": metav1.NewTime(w.now)}}})
	default:
		w.backend[handle][a.Spec.NodeName] = true
		w.says("attached %s to %s", handle, a.Spec.NodeName)
		w.patch(named, map[string]any{"status": map[string]any{"attached": true, "attachError": nil}})
	}
	if handle != "h-c" && len(w.backend[handle]) > 1 {
		w.fail("%s is attached to %v", handle, w.backend[handle])
	}
}

// facts are what a detachment is held against: which pods need which attachment, and
// which nodes are well or have it in use.
func (w *world) facts() map[string]bool {
	out := map[string]bool{}
	for _, n := range listOf[node](w) {
		out["well "+n.Name] = n.ready() && !n.lost()
	}
	for _, p := range listOf[pod](w) {
		if !p.terminated() {
			out["needs "+p.Name+" "+attachmentName("h-"+p.claims()[0][2:], "d", p.Spec.NodeName)] = true
		}
	}
	return out
}

// mayDetach fails when what is detached is needed, or used by a node that is well.
func (w *world) mayDetach(a *attachment) {
	w.says("delete the attachment of %s to %s", a.Spec.Source.Volume, a.Spec.NodeName)
	after := w.facts()
	well := "well " + a.Spec.NodeName
	for _, p := range listOf[pod](w) {
		if f := "needs " + p.Name + " " + a.Name; w.before[f] && after[f] {
			w.fail("%s is detached from %s, where pod %s needs it", a.Spec.Source.Volume, a.Spec.NodeName, p.Name)
		}
	}
	n, err := nodeOf(w.api, a.Spec.NodeName)
	if w.must(err); n != nil && w.before[well] && after[well] && n.uses(a.Name) {
		w.fail("%s is detached from %s, which is well and uses it", a.Spec.Source.Volume, a.Spec.NodeName)
	}
}

// control has the controller look at something, and perhaps die of it.
func (w *world) control(q controller.Request, lives int) controller.Result {
	w.before = w.facts()
	res, err := w.k.reconcile(&mortal{w.api, w, lives}, q, w.now)
	if errors.Is(err, errCrash) {
		w.says("killed at %v", q)
		w.k = &controlled{memory: map[string]memory{}}
	} else if err != nil && !client.IsConflict(err) {
		w.fail("%v: %v", q, err)
	}
	return res
}

func (w *world) request() controller.Request {
	n := names3[w.r.IntN(3)]
	return []controller.Request{{Name: "v" + n}, {Name: ofNode + n}, {Name: "v" + n}}[w.r.IntN(3)]
}

// rest lets everything come to rest, and holds what is there against what is needed.
func (w *world) rest() {
	w.wild = false
	for range 8 {
		for _, n := range names3 {
			w.agent(n)
		}
		for _, a := range listOf[attachment](w) {
			w.attacher(a, false)
		}
		for _, n := range names3 {
			w.control(controller.Request{Name: "v" + n}, -1)
			w.control(controller.Request{Name: ofNode + n}, -1)
		}
		w.now = w.now.Add(maxWait / 2)
	}
	needs := map[string]map[string]bool{}
	for _, v := range names3 {
		needs["h-"+v] = map[string]bool{}
	}
	for _, p := range listOf[pod](w) {
		if !p.terminated() {
			needs["h-"+p.claims()[0][2:]][p.Spec.NodeName] = true
		}
	}
	for handle, on := range needs {
		for _, n := range names3 {
			has, needed := w.backend[handle][n], on[n]
			other := handle != "h-c" && len(w.backend[handle]) > 0 && !has
			at, err := nodeOf(w.api, n)
			w.must(err)
			switch said := slices.ContainsFunc(at.Status.Attached, func(a attached) bool { return a.Name == volumeName("d", handle) }); {
			case needed && !has && !other:
				w.fail("%s is needed on %s and not attached", handle, n)
			case has && !needed && !(at.ready() && at.uses(attachmentName(handle, "d", n))):
				w.fail("%s is not needed on %s and attached", handle, n)
			case said != has:
				w.fail("node %s is told attached=%v of %s, which is %v", n, said, handle, has)
			}
		}
	}
	w.wild = true
}

func newWorld(t *testing.T, seed uint64) *world {
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), api: s.Client(), k: &controlled{memory: map[string]memory{}}, now: now, wild: true, backend: map[string]map[string]bool{}}
	for _, n := range names3 {
		w.backend["h-"+n] = map[string]bool{}
		w.must(w.api.Create(aNode(n, "")))
		c := &claim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c-" + n, UID: "uid-c-" + n}}
		c.Spec.VolumeName, c.Status.Phase = "v"+n, "Bound"
		w.must(w.api.Create(c))
		got, err := one[claim](w.api, "default", "c-"+n)
		w.must(err)
		v := &volume{ObjectMeta: metav1.ObjectMeta{Name: "v" + n}}
		v.Spec.AccessModes = []string{map[bool]string{true: "ReadWriteMany", false: "ReadWriteOnce"}[n == "c"]}
		v.Spec.CSI = &source{Driver: "d", Handle: "h-" + n}
		v.Spec.ClaimRef = &struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			UID       string `json:"uid"`
		}{"default", "c-" + n, got.UID}
		w.must(w.api.Create(v))
	}
	return w
}

// TestHistories: whatever happens to pods, nodes and the driver, and wherever the
// controller is killed, no volume for one node is attached to two, none goes from a pod
// that needs it, and at rest exactly what is needed is attached.
func TestHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		for range 4 {
			for range 60 {
				switch w.r.IntN(5) {
				case 0, 1:
					w.live()
				case 2:
					w.now = w.now.Add(time.Duration(w.r.IntN(240)) * time.Second)
				default:
					lives := -1
					if w.r.IntN(3) == 0 {
						lives = w.r.IntN(3)
					}
					w.control(w.request(), lives)
				}
			}
			w.rest()
		}
	}
}

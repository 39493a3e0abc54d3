package nodelifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
)

func TestConfig(t *testing.T) {
	times, r, err := parseConfig(nil)
	if err != nil || times != (graces{40 * time.Second, time.Minute}) || r != upstream {
		t.Errorf("defaults = %v, %+v, %v", times, r, err)
	}
	for raw, want := range map[string]graces{`{"graceSeconds":120}`: {2 * time.Minute, 2 * time.Minute}, `{"graceSeconds":5,"startupGraceSeconds":7}`: {5 * time.Second, 7 * time.Second}} {
		if got, _, err := parseConfig([]byte(raw)); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", raw, got, err, want)
		}
	}
	_, r, err = parseConfig([]byte(`{"unhealthyZoneThreshold":0,"largeClusterSizeThreshold":3,"nodeEvictionRate":0,"secondaryNodeEvictionRate":2}`))
	if err != nil || r != (disruptionRules{0, 3, 0, 2}) {
		t.Errorf("configured = %+v, %v", r, err)
	}
	for _, raw := range []string{`{`, `{"graceSeconds":-1}`, `{"startupGraceSeconds":-1}`, `{"unhealthyZoneThreshold":1.5}`, `{"nodeEvictionRate":-1}`, `{"secondaryNodeEvictionRate":-1}`} {
		if _, _, err := parseConfig([]byte(raw)); err == nil {
			t.Errorf("%s is accepted", raw)
		}
	}
}

// The rates are upstream's: ComputeZoneState and its limiters.
func TestRates(t *testing.T) {
	for _, tc := range []struct {
		ready, notReady int
		want            float64
	}{
		{10, 0, 0.1}, {1, 1, 0.1}, {0, 1, 0.1}, {1, 2, 0.1},
		{2, 3, 0},      // three, and 60 %
		{3, 3, 0.1},    // 50 %
		{9, 11, 0},     // 55 %
		{20, 31, 0.01}, // a large zone goes on slowly
		{19, 31, 0},    // fifty is not large
		{0, 60, 0.1},   // all of a zone: others are well
	} {
		r := upstream
		if got := r.in(&zone{ready: tc.ready, notReady: tc.notReady}); got != tc.want {
			t.Errorf("%d ready, %d not: %v nodes a second, want %v", tc.ready, tc.notReady, got, tc.want)
		}
	}
}

// fleet is many nodes and the keeper with a clock of its own, driven as the
// kernel does: by what is due, and by what a reconcile asks for besides.
type fleet struct {
	*lab
	names []string
	due   map[controller.Request]time.Time
}

func newFleet(t *testing.T, zoneOf func(i int) string, n int) *fleet {
	t.Helper()
	f := &fleet{lab: &lab{at: start}, due: map[controller.Request]time.Time{}}
	var objects []client.Object
	for i := range n {
		node := newNode(corev1.ConditionTrue)
		node.Name = fmt.Sprintf("n%02d", i)
		node.Labels = map[string]string{corev1.LabelTopologyZone: zoneOf(i)}
		p := &corev1.Pod{}
		seconds := int64(30)
		p.Name, p.Namespace = node.Name, "default"
		p.Spec.NodeName = node.Name
		p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists, TolerationSeconds: &seconds}}
		objects = append(objects, node, p)
		f.names = append(f.names, node.Name)
		f.due[controller.Request{Name: node.Name}] = start
	}
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	f.store, f.c = s, s.Client()
	f.keeper = newKeeper(graces{40 * time.Second, time.Minute}, upstream, func() time.Time { return f.at })
	return f
}

// live lets time pass, second by second, in which the named nodes report.
func (f *fleet) live(t *testing.T, d time.Duration, alive ...string) {
	t.Helper()
	for end := f.at.Add(d); f.at.Before(end); f.at = f.at.Add(time.Second) {
		for _, name := range alive {
			f.beatOf(t, name)
			n := &nodeState{}
			if err := f.c.Get(n, "", name); err != nil {
				t.Fatal(err)
			}
			if r := readyOf(n); r.Status != corev1.ConditionTrue {
				r.Status = corev1.ConditionTrue
				if err := f.c.UpdateStatus(n); err != nil {
					t.Fatal(err)
				}
			}
			f.due[controller.Request{Name: name}] = f.at
		}
		f.work(t)
	}
}

func (f *fleet) work(t *testing.T) {
	t.Helper()
	for {
		req, ok := f.next()
		if !ok {
			return
		}
		delete(f.due, req)
		res, err := f.reconcile(f.c, req)
		if err != nil {
			t.Fatal(err)
		}
		if res.RequeueAfter > 0 {
			f.due[req] = f.at.Add(res.RequeueAfter)
		}
		for _, r := range res.Enqueue {
			f.due[r] = f.at
		}
	}
}

// next is the request that is due, the first by name.
func (f *fleet) next() (next controller.Request, ok bool) {
	for r, at := range f.due {
		if !at.After(f.at) && (!ok || r.Name < next.Name) {
			next, ok = r, true
		}
	}
	return next, ok
}

// count is how many nodes are to be emptied, and how many pods there are.
func (f *fleet) count(t *testing.T) string {
	t.Helper()
	empties, pods := 0, 0
	for _, name := range f.names {
		n := &nodeState{}
		if err := f.c.Get(n, "", name); err != nil {
			t.Fatal(err)
		}
		if hasNoExecute(n, taintUnreachable) || hasNoExecute(n, taintNotReady) {
			empties++
		}
		if f.c.Get(&corev1.Pod{}, "default", name) == nil {
			pods++
		}
	}
	return fmt.Sprintf("%d emptied, %d pods", empties, pods)
}

func (f *fleet) want(t *testing.T, when, state string) {
	t.Helper()
	if got := f.count(t); got != state {
		t.Errorf("%s: %s, want %s", when, got, state)
	}
}

func one(int) string { return "z" }

// All nodes silent at once: it is the way to them that is broken. Nothing is
// evicted, and when one is back the others have their whole time.
func TestAllSilent(t *testing.T) {
	f := newFleet(t, one, 10)
	f.live(t, 60*time.Second, f.names...)
	f.want(t, "all well", "0 emptied, 10 pods")
	f.live(t, time.Hour)
	f.want(t, "silent for an hour", "0 emptied, 10 pods")
	f.live(t, 39*time.Second, "n00")
	f.want(t, "one is back", "0 emptied, 10 pods")
	f.live(t, 60*time.Second, f.names...)
	f.want(t, "all are back", "0 emptied, 10 pods")
	if !slices.ContainsFunc(f.store.Notes, func(n string) bool { return strings.Contains(n, "FullDisruption:") }) {
		t.Errorf("nobody was told: %v", f.store.Notes)
	}
}

// A cluster whose first nodes have not been ready yet is new, not disrupted.
func TestNewCluster(t *testing.T) {
	f := newFleet(t, one, 2)
	for _, name := range f.names {
		n := &nodeState{}
		if err := f.c.Get(n, "", name); err != nil {
			t.Fatal(err)
		}
		readyOf(n).Status = corev1.ConditionFalse
		if err := f.c.UpdateStatus(n); err != nil {
			t.Fatal(err)
		}
	}
	f.work(t)
	f.live(t, 5*time.Second, f.names...)
	if slices.ContainsFunc(f.store.Notes, func(n string) bool { return strings.Contains(n, "FullDisruption") }) {
		t.Errorf("told of a disruption: %v", f.store.Notes)
	}
}

// Two of ten: one after the other, the pods when they no longer tolerate it.
func TestEvictionRate(t *testing.T) {
	f := newFleet(t, one, 10)
	f.live(t, 20*time.Second, f.names...)
	f.live(t, 43*time.Second, f.names[2:]...)
	f.want(t, "lost", "1 emptied, 10 pods")
	f.live(t, 10*time.Second, f.names[2:]...)
	f.want(t, "ten seconds later", "2 emptied, 10 pods")
	f.live(t, 20*time.Second, f.names[2:]...)
	f.want(t, "no longer tolerated", "2 emptied, 9 pods")
	f.live(t, 20*time.Second, f.names[2:]...)
	f.want(t, "the other", "2 emptied, 8 pods")
}

// Most of a small zone: its nodes are left alone. Another zone is not its fate.
func TestPartialDisruption(t *testing.T) {
	f := newFleet(t, func(i int) string { return fmt.Sprint(i % 2) }, 20)
	var even, odd []string
	for i, n := range f.names {
		if i%2 == 0 {
			even = append(even, n)
		} else {
			odd = append(odd, n)
		}
	}
	f.live(t, 20*time.Second, f.names...)
	alive := append(slices.Clone(even[6:]), odd[1:]...)
	f.live(t, 10*time.Minute, alive...)
	// The first of the even ones was lost before the others.
	f.want(t, "six of ten here, one of ten there", "2 emptied, 18 pods")
	// Four are back: the two others are emptied.
	f.live(t, 2*time.Minute, append(alive, even[2:6]...)...)
	f.want(t, "four are back", "3 emptied, 17 pods")
}

// A whole zone is lost while another is well: it is emptied at the full rate.
func TestLostZone(t *testing.T) {
	f := newFleet(t, func(i int) string { return fmt.Sprint(i % 2) }, 8)
	f.live(t, 20*time.Second, f.names...)
	f.live(t, 5*time.Minute, "n01", "n03", "n05", "n07")
	f.want(t, "a zone is lost", "4 emptied, 4 pods")
}

// A server that was away, stopped or asleep, has seen no renewal: it must not
// take that for silence.
func TestKeeperWasAway(t *testing.T) {
	f := newFleet(t, one, 3)
	f.live(t, 20*time.Second, f.names...)
	f.at = f.at.Add(time.Hour)
	f.live(t, 39*time.Second, "n00") // the first to be heard of
	f.want(t, "back", "0 emptied, 3 pods")
	for _, name := range f.names {
		n := &nodeState{}
		if err := f.c.Get(n, "", name); err != nil || !isReady(n) {
			t.Errorf("%s is not ready: %v", name, err)
		}
	}
}

// away is a client of a store that takes no writes.
type away struct{ client.Client }

func (away) Patch(client.Object, client.Patch) error { return wire.ErrUnavailable }

// A store that was away took no renewals, and nobody saw one: when it is back,
// nodes have their whole time to be heard of.
func TestStoreWasAway(t *testing.T) {
	f := newFleet(t, one, 3)
	f.live(t, 20*time.Second, f.names...)
	f.at = f.at.Add(5 * time.Second) // each reconcile is soon after the last: the keeper was not away
	for range 7 {
		f.at = f.at.Add(5 * time.Second)
		for _, n := range f.names {
			if _, err := f.reconcile(away{f.c}, controller.Request{Name: n}); err != nil && !client.IsUnavailable(err) {
				t.Fatal(err)
			}
		}
	}
	f.work(t)
	f.live(t, 20*time.Second, f.names...)
	f.want(t, "back", "0 emptied, 3 pods")
	if slices.ContainsFunc(f.store.Notes, func(n string) bool { return strings.Contains(n, "NodeNotReady") }) {
		t.Errorf("nodes were taken for lost: %v", f.store.Notes)
	}
}

// An excluded node is no sign of a disruption, and is emptied when it is lost.
func TestExcludedNode(t *testing.T) {
	f := newFleet(t, one, 1)
	n := &nodeState{}
	if err := f.c.Get(n, "", "n00"); err != nil {
		t.Fatal(err)
	}
	n.Labels = map[string]string{labelExcludeDisruption: ""}
	if err := f.c.Update(n); err != nil {
		t.Fatal(err)
	}
	f.live(t, 20*time.Second, "n00")
	f.live(t, 80*time.Second)
	f.want(t, "lost", "1 emptied, 0 pods")
}

// Nodes that come, go and move leave nothing behind.
// The older labels of a zone count before the newer, as upstream's.
func TestZoneOf(t *testing.T) {
	const older, newer = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"
	for _, tc := range []struct {
		labels map[string]string
		want   string
	}{{nil, ":\x00:"}, {map[string]string{newer: "a"}, ":\x00:a"}, {map[string]string{newer: "a", older: "b"}, ":\x00:b"},
		{map[string]string{"topology.kubernetes.io/region": "r", "failure-domain.beta.kubernetes.io/region": "q"}, "q:\x00:"}} {
		n := newNode(corev1.ConditionTrue)
		n.Labels = tc.labels
		if got, counts := zoneOf(n); got != tc.want || !counts {
			t.Errorf("zone of %v = %q, %v; want %q", tc.labels, got, counts, tc.want)
		}
	}
}

func TestZonesForget(t *testing.T) {
	z := newZones(upstream)
	n := newNode(corev1.ConditionUnknown)
	for _, at := range []string{"a", "b", "a"} {
		n.Labels = map[string]string{corev1.LabelTopologyZone: at}
		z.observe(n, false)
		z.updateRates(start)
		if len(z.zones) != 1 || len(z.nodes) != 1 {
			t.Errorf("in zone %s: %d zones, %d nodes", at, len(z.zones), len(z.nodes))
		}
	}
	z.remove(n.Name)
	z.remove(n.Name)
	if s := z.updateRates(start); len(z.zones) != 0 || len(z.nodes) != 0 || z.full || !s.left {
		t.Errorf("without nodes: %+v, %+v", z, s)
	}
}

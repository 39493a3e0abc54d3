package devicetainteviction

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// aTaint is one that is a minute old.
func aTaint(key string) taint { return taint{Key: key, Effect: noExecute, TimeAdded: ago(time.Minute)} }

func bears(key string, seconds *int64) toleration {
	return toleration{Key: key, Operator: "Exists", Effect: noExecute, Seconds: seconds}
}

func TestDue(t *testing.T) {
	for name, c := range map[string]struct {
		taint  taint
		bears  []toleration
		in     time.Duration // from now
		evicts bool
	}{
		"nothing is tolerated":     {aTaint("a"), nil, -time.Minute, true},
		"another is tolerated":     {aTaint("a"), []toleration{bears("b", nil)}, -time.Minute, true},
		"for good":                 {aTaint("a"), []toleration{bears("a", nil)}, 0, false},
		"for good, whatever it is": {aTaint("a"), []toleration{bears("", nil)}, 0, false},
		"for a time":               {aTaint("a"), []toleration{bears("a", ptr(int64(90)))}, 30 * time.Second, true},
		"the shortest counts":      {aTaint("a"), []toleration{bears("a", ptr(int64(90))), bears("", ptr(int64(70)))}, 10 * time.Second, true},
		"for less than nothing":    {aTaint("a"), []toleration{bears("a", ptr(int64(-5)))}, -time.Minute, true},
		"one is for good":          {aTaint("a"), []toleration{bears("a", ptr(int64(1))), bears("a", nil)}, 0, false},
		"only of another effect":   {aTaint("a"), []toleration{{Key: "a", Operator: "Exists", Effect: "NoSchedule"}}, -time.Minute, true},
		"of no certain effect":     {aTaint("a"), []toleration{{Key: "a", Operator: "Exists"}}, -time.Minute, true},
		"of its value":             {taint{Key: "a", Value: "v", Effect: noExecute, TimeAdded: ago(0)}, []toleration{{Key: "a", Value: "v", Effect: noExecute}}, 0, false},
		"of another value":         {taint{Key: "a", Value: "v", Effect: noExecute, TimeAdded: ago(0)}, []toleration{{Key: "a", Operator: "Equal", Value: "w", Effect: noExecute}}, 0, true},
		"in an unknown way":        {aTaint("a"), []toleration{{Key: "a", Operator: "Like", Effect: noExecute}}, -time.Minute, true},
		"it keeps others out":      {taint{Key: "a", Effect: "NoSchedule", TimeAdded: ago(0)}, nil, 0, false},
		"it has no effect":         {taint{Key: "a", Effect: none, TimeAdded: ago(0)}, nil, 0, false},
	} {
		r := &result{Tolerations: c.bears}
		at, ok := r.due(&c.taint)
		if ok != c.evicts || ok && at.Sub(now) != c.in {
			t.Errorf("%s: in %v, %v; want %v, %v", name, at.Sub(now), ok, c.in, c.evicts)
		}
	}
}

func aRule(name string, edit ...func(*rule)) *rule {
	r := &rule{}
	r.Name, r.UID, r.Generation = name, "uid-"+name, 1
	r.Spec.Selector, r.Spec.Taint = &selector{Driver: ptr("gpu.example.com")}, aTaint("a")
	for _, f := range edit {
		f(r)
	}
	return r
}

func TestSelects(t *testing.T) {
	for name, c := range map[string]struct {
		selector *selector
		want     bool
	}{
		"nothing":          {nil, false},
		"everything":       {&selector{}, true},
		"a driver":         {&selector{Driver: ptr("d")}, true},
		"another driver":   {&selector{Driver: ptr("e")}, false},
		"a pool":           {&selector{Driver: ptr("d"), Pool: ptr("p")}, true},
		"another pool":     {&selector{Pool: ptr("q")}, false},
		"a device":         {&selector{Driver: ptr("d"), Pool: ptr("p"), Device: ptr("x")}, true},
		"another's device": {&selector{Driver: ptr("d"), Pool: ptr("q"), Device: ptr("x")}, false},
		"another device":   {&selector{Device: ptr("y")}, false},
	} {
		r := aRule("r", func(r *rule) { r.Spec.Selector = c.selector })
		if got := r.selects("d", "p", "x"); got != c.want {
			t.Errorf("a rule that selects %s: %v", name, got)
		}
	}
}

func aSlice(name string, generation int64, devices ...device) *slice {
	s := &slice{}
	s.Name, s.Spec.Driver, s.Spec.Pool.Name, s.Spec.Pool.Generation, s.Spec.Devices = name, "gpu.example.com", "a", generation, devices
	return s
}

func TestCurrent(t *testing.T) {
	old, one, two := aSlice("old", 1), aSlice("one", 2), aSlice("two", 2)
	other := aSlice("other", 9)
	other.Spec.Driver = "net.example.com"
	for name, list := range map[string][]*slice{"old first": {old, other, one, two}, "old last": {one, other, two, old}, "between": {one, old, two, other}} {
		got := current(pool{"gpu.example.com", "a"}, list)
		if len(got) != 2 || got[0] != one || got[1] != two {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := current(pool{"gpu.example.com", "b"}, []*slice{old}); len(got) != 0 {
		t.Errorf("of another pool: %v", got)
	}
}

func aClaim(name string, edit ...func(*claim)) *claim {
	c := &claim{}
	c.Namespace, c.Name = "default", name
	for _, f := range edit {
		f(c)
	}
	return c
}

func has(results ...result) func(*claim) {
	return func(c *claim) {
		c.Status.Allocation = &struct {
			Devices struct {
				Results []result `json:"results"`
			} `json:"devices"`
		}{}
		c.Status.Allocation.Devices.Results = results
	}
}

func gpu(name string, bears ...toleration) result {
	return result{Driver: "gpu.example.com", Pool: "a", Device: name, Tolerations: bears}
}

func TestEvictionOf(t *testing.T) {
	pools := map[pool][]*slice{{"gpu.example.com", "a"}: {aSlice("s", 1, device{Name: "good"}, device{Name: "bad", Taints: []taint{{Key: "x", Effect: "NoSchedule"}, aTaint("a")}})}}
	rules := []*rule{aRule("r", func(r *rule) { r.Spec.Taint.TimeAdded = ago(0) }),
		aRule("q", func(r *rule) {
			r.Spec.Selector.Device = ptr("good")
			r.Spec.Taint = taint{Key: "q", Effect: noExecute, TimeAdded: ago(time.Hour)}
		})}
	for name, c := range map[string]struct {
		claim *claim
		rules []*rule
		want  *eviction
	}{
		"not allocated":            {aClaim("c"), rules, nil},
		"of a good device":         {aClaim("c", has(gpu("good"))), nil, nil},
		"of a bad one":             {aClaim("c", has(gpu("good"), gpu("bad"))), nil, &eviction{now.Add(-time.Minute), map[string]string{}}},
		"of a bad one, by a rule":  {aClaim("c", has(gpu("bad"))), rules, &eviction{now.Add(-time.Minute), map[string]string{"r": "uid-r"}}},
		"of a good one, by rules":  {aClaim("c", has(gpu("good"))), rules, &eviction{now.Add(-time.Hour), map[string]string{"r": "uid-r", "q": "uid-q"}}},
		"one of which it bears":    {aClaim("c", has(gpu("good", bears("q", nil)))), rules, &eviction{now, map[string]string{"r": "uid-r"}}},
		"of a device nobody lists": {aClaim("c", has(gpu("lost"))), rules, &eviction{now, map[string]string{"r": "uid-r"}}},
	} {
		if d := cmp.Diff(c.want, evictionOf(c.claim, pools, c.rules), cmp.AllowUnexported(eviction{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestCondition(t *testing.T) {
	effect := func(e string) func(*rule) { return func(r *rule) { r.Spec.Taint.Effect = e } }
	for name, c := range map[string]struct {
		rule *rule
		n    counts
		want string
	}{
		"nothing yet":       {aRule("r"), counts{}, "False NotStarted "},
		"one waits":         {aRule("r"), counts{pods: 1, namespaces: 1}, "True PodsPendingEviction 1 pod needs to be evicted in 1 namespace."},
		"some wait":         {aRule("r"), counts{pods: 3, namespaces: 2, evicted: 1}, "True PodsPendingEviction 3 pods need to be evicted in 2 different namespaces. 1 pod evicted since starting the controller."},
		"all are gone":      {aRule("r"), counts{evicted: 4}, "False Completed 4 pods evicted since starting the controller."},
		"of no effect":      {aRule("r", effect(none)), counts{published: 3, allocated: 1, pods: 1, namespaces: 1}, "False NoEffect 3 published devices selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if the effect was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."},
		"of another effect": {aRule("r", effect("NoSchedule")), counts{}, "False OtherEffect Eviction only happens for the NoExecute effect."},
	} {
		got := conditionFor(c.rule, c.n)
		if s := got.Status + " " + got.Reason + " " + got.Message; s != c.want || got.Type != "EvictionInProgress" || got.ObservedGeneration != 1 {
			t.Errorf("%s: %q, want %q", name, s, c.want)
		}
	}
}

func TestStatusPatch(t *testing.T) {
	c := conditionFor(aRule("r"), counts{})
	r := aRule("r")
	r.Status.Conditions = []condition{{Type: "Other", Status: "True"}, c}
	r.Status.Conditions[1].LastTransitionTime = ago(time.Hour)
	if p := statusPatch(r, c, now); p != nil {
		t.Errorf("nothing has changed, and is written: %v", p)
	}
	c.Message = "new"
	p := statusPatch(r, c, now)
	list := p["status"].(map[string]any)["conditions"].([]condition)
	if len(list) != 2 || list[0].Type != "Other" || list[1].Message != "new" || list[1].LastTransitionTime != ago(0) {
		t.Errorf("conditions %+v", list)
	}
}

func TestStatusDue(t *testing.T) {
	with := func(generation int64, since time.Duration) *rule {
		return aRule("r", func(r *rule) {
			r.Status.Conditions = []condition{{Type: inProgress, ObservedGeneration: generation, LastTransitionTime: ago(since)}}
		})
	}
	for name, c := range map[string]struct {
		rule *rule
		want time.Duration
	}{"a new rule": {aRule("r"), 0}, "a changed one": {with(0, time.Second), 0}, "just written": {with(1, 3*time.Second), 7 * time.Second}, "long ago": {with(1, time.Hour), 0}} {
		if got := statusDue(c.rule, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

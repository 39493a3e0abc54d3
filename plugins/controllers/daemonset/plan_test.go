package daemonset

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSet(change ...func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	labels := map[string]string{"app": "agent"}
	one, limit := intstr.FromInt(1), int32(10)
	s := &appsv1.DaemonSet{}
	s.Name, s.Namespace, s.UID, s.Generation = "agent", "default", "set", 1
	s.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: "1"}
	s.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	s.Spec.RevisionHistoryLimit = &limit
	s.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &one}}
	s.Spec.Template.Labels = labels
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "one"}}
	for _, f := range change {
		f(s)
	}
	return s
}

// count reads "2" or "50%".
func count(s string) intstr.IntOrString {
	if n, err := strconv.Atoi(s); err == nil {
		return intstr.FromInt(n)
	}
	return intstr.FromString(s)
}

func surging(n string) func(*appsv1.DaemonSet) {
	return func(s *appsv1.DaemonSet) {
		zero, surge := intstr.FromInt(0), count(n)
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &zero, MaxSurge: &surge}
	}
}

func allowing(n string) func(*appsv1.DaemonSet) {
	return func(s *appsv1.DaemonSet) {
		v := count(n)
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &v}
	}
}

func onDelete(s *appsv1.DaemonSet) {
	s.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
}

func minReady(s *appsv1.DaemonSet) { s.Spec.MinReadySeconds = 10 }

func onlyBlue(s *appsv1.DaemonSet) {
	s.Spec.Template.Spec.NodeSelector = map[string]string{"color": "blue"}
}

// parsePods reads "name@node new ready": a pod per line of words. Of "old" and "new" one must
// be said; "ready" is since long, "fresh" since a second; "waits" has no node yet.
func parsePods(t testing.TB, lines ...string) (out []*pod) {
	t.Helper()
	for i, line := range lines {
		words := strings.Fields(line)
		name, at, _ := strings.Cut(words[0], "@")
		p := &pod{}
		p.Name, p.Namespace, p.UID, p.Spec.NodeName = name, "default", name, at
		p.Labels = map[string]string{"app": "agent"}
		p.CreationTimestamp = metav1.NewTime(noon.Add(time.Duration(i)*time.Second - time.Hour))
		ready := func(ago time.Duration) {
			p.Status.Phase = corev1.PodRunning
			p.Status.Conditions = []condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-ago))}}
		}
		for _, w := range words[1:] {
			switch w {
			case "new":
				p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = "h2"
			case "old":
				p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = "h1"
			case "bygeneration":
				p.Labels[generationLabel] = "1"
			case "ready":
				ready(time.Minute)
			case "fresh":
				ready(time.Second)
			case "failed":
				p.Status.Phase = corev1.PodFailed
			case "succeeded":
				p.Status.Phase = corev1.PodSucceeded
			case "deleting":
				at := metav1.NewTime(noon)
				p.DeletionTimestamp = &at
			case "waits":
				p.Spec.Affinity = &affinity{}
				convert(t, pinned(nil), p.Spec.Affinity)
				p.Spec.Affinity.NodeAffinity.Required.NodeSelectorTerms[0].MatchFields[0].Values[0] = at
				p.Spec.NodeName = ""
			default:
				t.Fatalf("pod %q: %s", line, w)
			}
		}
		out = append(out, p)
	}
	return out
}

func (p *plan) String() string {
	var doomed []string
	for _, x := range p.remove {
		doomed = append(doomed, x.Name)
	}
	slices.Sort(doomed)
	out := fmt.Sprint("+", p.create, " -", doomed)
	if p.wait > 0 {
		out += fmt.Sprint(" in ", p.wait)
	}
	return out
}

func summary(s appsv1.DaemonSetStatus) string {
	return fmt.Sprintf("desired %d, current %d, misscheduled %d, ready %d, updated %d, available %d, unavailable %d",
		s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberMisscheduled, s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable, s.NumberUnavailable)
}

// TestDecide: one round, and the status of what was there.
func TestDecide(t *testing.T) {
	blue := labelled("color", "blue")
	abc := []*node{newNode("a", blue), newNode("b", blue), newNode("c", blue)}
	for name, c := range map[string]struct {
		set    *appsv1.DaemonSet
		nodes  []*node
		pods   []string
		want   string
		status string
	}{
		"nothing is there": {nodes: abc, want: "+[a b c] -[]", status: "desired 3, current 0, misscheduled 0, ready 0, updated 0, available 0, unavailable 3"},
		"all is there": {nodes: abc, pods: []string{"p@a new ready", "q@b new ready", "r@c new ready waits"}, want: "+[] -[]",
			status: "desired 3, current 3, misscheduled 0, ready 3, updated 3, available 3, unavailable 0"},
		"one is on a node that it is not for": {set: newSet(onlyBlue), nodes: []*node{newNode("a", blue), newNode("b")}, pods: []string{"p@a new ready", "q@b new ready"}, want: "+[] -[q]",
			status: "desired 1, current 1, misscheduled 1, ready 1, updated 1, available 1, unavailable 0"},
		"one stays that would not be made": {nodes: []*node{newNode("a", tainted("t", corev1.TaintEffectNoSchedule)), newNode("b", tainted("t", corev1.TaintEffectNoSchedule))}, pods: []string{"p@a new ready"},
			want: "+[] -[]", status: "desired 0, current 0, misscheduled 1, ready 0, updated 0, available 0, unavailable 0"},
		"one that is going holds its place":          {nodes: abc[:1], pods: []string{"p@a new ready deleting"}, want: "+[] -[]"},
		"one that came to its end and goes does not": {nodes: abc[:1], pods: []string{"p@a new failed deleting"}, want: "+[a] -[]"},
		"two of one node":                            {nodes: abc[:1], pods: []string{"p@a new ready", "q@a new ready", "r@a new ready waits"}, want: "+[] -[q r]"},
		"the oldest is the one that is on the node":  {nodes: abc[:1], pods: []string{"p@a new waits", "q@a new"}, want: "+[] -[p]"},
		"failed":                          {nodes: abc[:1], pods: []string{"p@a new failed"}, want: "+[] -[p]"},
		"succeeded":                       {nodes: abc[:1], pods: []string{"p@a new succeeded"}, want: "+[] -[p]"},
		"failed beside one that runs":     {nodes: abc[:1], pods: []string{"p@a new failed", "q@a new ready"}, want: "+[] -[p]"},
		"waits for a node that is gone":   {nodes: abc[:1], pods: []string{"p@a new ready", "q@z new waits", "r@y new ready"}, want: "+[] -[q]"},
		"a pod of somebody else's making": {nodes: abc[:1], pods: []string{"p@a new ready", "q@ new"}, want: "+[] -[]"},

		"an update takes one": {nodes: abc, pods: []string{"p@a old ready", "q@b old ready", "r@c old ready"}, want: "+[] -[p]",
			status: "desired 3, current 3, misscheduled 0, ready 3, updated 0, available 3, unavailable 0"},
		"and waits for the new one":           {nodes: abc, pods: []string{"p@a new", "q@b old ready", "r@c old ready"}, want: "+[] -[]"},
		"which must have been ready for long": {set: newSet(minReady), nodes: abc, pods: []string{"p@a new fresh", "q@b old ready", "r@c old ready"}, want: "+[] -[] in 9s"},
		"and goes on then":                    {set: newSet(minReady), nodes: abc, pods: []string{"p@a new ready", "q@b old ready", "r@c old ready"}, want: "+[] -[q]"},
		"one that is going counts":            {nodes: abc, pods: []string{"p@a old ready deleting", "q@b old ready", "r@c old ready"}, want: "+[] -[]"},
		"what is not available goes at once":  {nodes: abc, pods: []string{"p@a old", "q@b old", "r@c old ready"}, want: "+[] -[p q]"},
		"two thirds at a time":                {set: newSet(allowing("50%")), nodes: abc, pods: []string{"p@a old ready", "q@b old ready", "r@c old ready"}, want: "+[] -[p q]"},
		"none at a time is one":               {set: newSet(allowing("0")), nodes: abc, pods: []string{"p@a old ready", "q@b old ready", "r@c old ready"}, want: "+[] -[p]"},
		"missing ones come first":             {set: newSet(allowing("3")), nodes: abc, pods: []string{"p@a old ready", "q@b old ready"}, want: "+[c] -[]"},
		"when it is deleted":                  {set: newSet(onDelete), nodes: abc, pods: []string{"p@a old ready", "q@b old", "r@c old ready"}, want: "+[] -[]"},
		"updated by the count of templates":   {nodes: abc[:1], pods: []string{"p@a old ready bygeneration"}, want: "+[] -[]"},

		"a surge begins":                      {set: newSet(surging("1")), nodes: abc, pods: []string{"p@a old ready", "q@b old ready", "r@c old ready"}, want: "+[a] -[]"},
		"a surge of two thirds":               {set: newSet(surging("50%")), nodes: abc, pods: []string{"p@a old ready", "q@b old ready", "r@c old ready"}, want: "+[a b] -[]"},
		"a surge waits":                       {set: newSet(surging("1")), nodes: abc, pods: []string{"p@a old ready", "s@a new", "q@b old ready", "r@c old ready"}, want: "+[] -[]"},
		"also for the time to be ready":       {set: newSet(surging("1"), minReady), nodes: abc, pods: []string{"p@a old ready", "s@a new fresh", "q@b old ready", "r@c old ready"}, want: "+[] -[] in 9s"},
		"the old one goes":                    {set: newSet(surging("1")), nodes: abc, pods: []string{"p@a old ready", "s@a new ready", "q@b old ready", "r@c old ready"}, want: "+[] -[p]"},
		"the old one goes when it is no good": {set: newSet(surging("1")), nodes: abc, pods: []string{"p@a old", "s@a new", "q@b old ready", "r@c old ready"}, want: "+[] -[p]"},
		"a third one goes":                    {set: newSet(surging("1")), nodes: abc[:1], pods: []string{"p@a old ready", "s@a new", "u@a new", "v@a old"}, want: "+[] -[u v]"},
		"beside one that is no good at once":  {set: newSet(surging("1")), nodes: abc, pods: []string{"p@a old", "q@b old", "r@c old ready"}, want: "+[a b c] -[]"},
		"beside one that is going":            {set: newSet(surging("1")), nodes: abc[:1], pods: []string{"p@a old ready deleting"}, want: "+[a] -[]"},
		"a surge leaves a node when it can": {set: newSet(surging("1")), nodes: []*node{newNode("a", tainted("t", corev1.TaintEffectNoSchedule)), newNode("b")},
			pods: []string{"p@a old ready", "q@b new ready"}, want: "+[] -[p]"},
		"and not before": {set: newSet(surging("1")), nodes: []*node{newNode("a", tainted("t", corev1.TaintEffectNoSchedule)), newNode("b")},
			pods: []string{"p@a old ready", "q@b new"}, want: "+[] -[]"},
		"a surge does not come to a node that is not to have it": {set: newSet(surging("1")), nodes: []*node{newNode("a", tainted("t", corev1.TaintEffectNoSchedule))},
			pods: []string{"p@a old"}, want: "+[] -[p]"},
	} {
		t.Run(name, func(t *testing.T) {
			st := newState(cmp.Or(c.set, newSet()), fleetOf(c.nodes, nil), "h2", noon)
			st.sort(parsePods(t, c.pods...))
			p := decide(st)
			status, wait := st.count()
			p.look(wait)
			if got := p.String(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if got := summary(status); c.status != "" && got != c.status {
				t.Errorf("status %s,\nwant   %s", got, c.status)
			}
		})
	}
}

// TestBackoff: failed pods of a node go ever later; after a long time without, at once.
func TestBackoff(t *testing.T) {
	var b backoffs
	now := noon
	var waits []time.Duration
	for range 12 {
		waits = append(waits, b.left("a", now))
		now = now.Add(b.left("a", now))
		b = b.with([]string{"a", "a"}, now)
	}
	same(t, "waits", waits, []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, 64 * time.Second,
		128 * time.Second, 256 * time.Second, 512 * time.Second, 15 * time.Minute})
	if b.left("b", now) != 0 {
		t.Error("another node waits")
	}
	now = now.Add(31 * time.Minute)
	if b.left("a", now) != 0 {
		t.Error("it waits after half an hour")
	}
	if b = b.with(nil, now); len(b) != 0 {
		t.Errorf("remembered %v", b)
	}
	st := newState(newSet(), fleetOf([]*node{newNode("a")}, nil), "h2", noon)
	st.retries = backoffs{"a": {noon.Add(-time.Second), 4 * time.Second}}
	st.sort(parsePods(t, "p@a new failed"))
	if got := decide(st).String(); got != "+[] -[] in 3s" {
		t.Errorf("while it waits: %s", got)
	}
}

// BenchmarkRound is what one look at a fleet of 5,000 costs, beside the reading of what
// changed.
func BenchmarkRound(b *testing.B) {
	var fleet []*node
	var lines []string
	for i := range 5000 {
		name := fmt.Sprintf("node-%04d", i)
		fleet, lines = append(fleet, newNode(name)), append(lines, fmt.Sprintf("p%d@%s new ready", i, name))
	}
	pods, set, last := parsePods(b, lines...), newSet(), fleetOf(fleet, nil)
	for b.Loop() {
		last = fleetOf(fleet, last)
		st := newState(set, last, "h2", noon)
		st.sort(pods)
		p := decide(st)
		if status, _ := st.count(); len(p.create)+len(p.remove) > 0 || status.NumberAvailable != 5000 {
			b.Fatalf("%v, %s", p, summary(status))
		}
	}
}

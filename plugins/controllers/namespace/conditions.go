package namespace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// content is what one look at a namespace found.
type content struct {
	namespace  string
	now        time.Time
	resources  map[string]int // what is left, by "resource.group"
	finalizers map[string]int // of the objects left
	lingers    map[string]int // objects that nothing holds and whose time is over, by resource
	held       map[string]bool
	unknown    []string // group versions whose objects could not be looked for
	failures   []string // what could not be listed or deleted otherwise
	stuck      []string // what ought to be gone
}

func newContent(namespace string, now time.Time) *content {
	return &content{namespace: namespace, now: now, resources: map[string]int{}, finalizers: map[string]int{}, lingers: map[string]int{}, held: map[string]bool{}}
}

// add counts an object that is there.
func (f *content) add(o *object) {
	f.resources[nameOf(o.Resource)]++
	for _, x := range o.Finalizers {
		f.finalizers[x]++
	}
	switch d := o.DeletionTimestamp; {
	case len(o.Finalizers) > 0, d != nil && !f.now.After(d.Time()):
		f.held[o.Resource] = true // it waits for somebody, or its grace is not over
	case d != nil:
		f.lingers[o.Resource]++
	}
}

// unexpected tells, with upstream's words, of resources of which objects are left
// though nothing holds any of them: pods, for example, of a node that does not answer.
func (f *content) unexpected() {
	for res := range f.lingers {
		if !f.held[res] {
			f.stuck = append(f.stuck, fmt.Sprintf("unexpected items still remain in namespace: %s for gvr: %s", f.namespace, gvrOf(res)))
		}
	}
}

// gvrOf writes a resource as upstream's GroupVersionResource does.
func gvrOf(path string) string {
	group, rest, ok := strings.Cut(path, "/")
	version, plural, three := strings.Cut(rest, "/")
	if !ok || !three {
		group, version, plural = "", group, rest
	}
	return group + "/" + version + ", Resource=" + plural
}

func (f *content) empty() bool {
	return len(f.resources) == 0 && len(f.unknown) == 0 && len(f.failures) == 0
}

// finding is what a condition says when it is true, and when not.
type finding struct {
	kind              corev1.NamespaceConditionType
	reason, fine, all string
}

// The conditions of a namespace that is going, with upstream's reasons.
var findings = []finding{
	{corev1.NamespaceDeletionDiscoveryFailure, "DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered"},
	{corev1.NamespaceDeletionGVParsingFailure, "GroupVersionParsingFailed", "ParsedGroupVersions", "All legacy kube types successfully parsed"},
	{corev1.NamespaceDeletionContentFailure, "ContentDeletionFailed", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"},
	{corev1.NamespaceContentRemaining, "SomeResourcesRemain", "ContentRemoved", "All content successfully removed"},
	{corev1.NamespaceFinalizersRemaining, "SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished"},
}

// says is the message of a condition that is true; "" when it is not. Names of
// resources are checked when the plugin is loaded: they always can be parsed.
func (f *content) says(kind corev1.NamespaceConditionType) string {
	switch kind {
	case corev1.NamespaceDeletionDiscoveryFailure:
		if n := len(f.unknown); n > 0 {
			return fmt.Sprintf("Discovery failed for some groups, %d failing: %s", n, sorted(f.unknown))
		}
	case corev1.NamespaceDeletionContentFailure:
		if all := slices.Concat(f.failures, f.stuck); len(all) > 0 {
			return fmt.Sprintf("Failed to delete all resource types, %d remaining: %s", len(all), sorted(all))
		}
	case corev1.NamespaceContentRemaining:
		if len(f.resources) > 0 {
			return "Some resources are remaining: " + counted(f.resources, "%s has %d resource instances")
		}
	case corev1.NamespaceFinalizersRemaining:
		if len(f.finalizers) > 0 {
			return "Some content in the namespace has finalizers remaining: " + counted(f.finalizers, "%s in %d resource instances")
		}
	}
	return ""
}

func sorted(list []string) string {
	return strings.Join(slices.Sorted(slices.Values(list)), ", ")
}

func counted(n map[string]int, format string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf(format, k, n[k]))
	}
	return strings.Join(out, ", ")
}

// conditions brings the namespace's conditions in line with what was found, and
// tells whether that changes any. Those of others stay.
func conditions(have []corev1.NamespaceCondition, f *content, now metav1.Time) (next []corev1.NamespaceCondition, changed bool) {
	next = slices.Clone(have)
	for _, x := range findings {
		c := corev1.NamespaceCondition{Type: x.kind, Status: corev1.ConditionFalse, Reason: x.fine, Message: x.all, LastTransitionTime: now}
		if m := f.says(x.kind); m != "" {
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, x.reason, m
		}
		i := slices.IndexFunc(next, func(o corev1.NamespaceCondition) bool { return o.Type == x.kind })
		if i < 0 {
			next, changed = append(next, c), true
			continue
		}
		if next[i].Status == c.Status {
			c.LastTransitionTime = next[i].LastTransitionTime
		}
		changed = changed || next[i] != c
		next[i] = c
	}
	return next, changed
}

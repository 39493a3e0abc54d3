package namespace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// content is what one look at a namespace found.
type content struct {
	resources  map[string]int // what is left, by "resource.group"
	finalizers map[string]int // of the objects left
	unknown    []string       // resources that could not be listed because the API does not know them
	failures   []string       // what could not be listed or deleted otherwise
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
		if n := len(f.failures); n > 0 {
			return fmt.Sprintf("Failed to delete all resource types, %d remaining: %s", n, sorted(f.failures))
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

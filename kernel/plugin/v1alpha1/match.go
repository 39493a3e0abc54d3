package v1alpha1

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Pattern is a resource as a match rule writes it; "*" matches anything.
type Pattern struct {
	// Everything is the pattern "*" alone: the other fields are empty.
	Everything                            bool
	Group, Version, Resource, Subresource string
}

// ParsePattern reads "v1/pods", "v1/pods/status", "apps/v1/deployments",
// "apps/v1/deployments/scale", "apps/*/*" or "*". The core group's version
// has no dot and begins with a v and a digit, which no group does.
func ParsePattern(s string) (Pattern, error) {
	if s == "*" {
		return Pattern{Everything: true}, nil
	}
	parts := strings.Split(s, "/")
	if isVersion(parts[0]) {
		parts = append([]string{""}, parts...)
	}
	if len(parts) < 3 || len(parts) > 4 || slices.Contains(parts[1:], "") {
		return Pattern{}, fmt.Errorf("match rule: resource %q must be written like v1/pods or apps/v1/deployments", s)
	}
	p := Pattern{Group: parts[0], Version: parts[1], Resource: parts[2]}
	if len(parts) == 4 {
		p.Subresource = parts[3]
	}
	return p, nil
}

func isVersion(s string) bool {
	return len(s) >= 2 && s[0] == 'v' && s[1] >= '0' && s[1] <= '9' && !strings.Contains(s, ".")
}

// Matches tells whether the pattern is about a resource, or one of its
// subresources, in whatever version the request came: who writes an object by
// another version writes the same object, and no policy is passed by so. (It is
// upstream's match policy Equivalent.)
func (p Pattern) Matches(r schema.GroupVersionResource, subresource string) bool {
	if p.Everything {
		return true
	}
	is := func(want, got string) bool { return want == "*" || want == got }
	return is(p.Group, r.Group) && is(p.Resource, r.Resource) && is(p.Subresource, subresource)
}

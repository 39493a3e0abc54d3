package podsecurity

import (
	"fmt"
	"slices"
	"strings"
)

// seccompAnnotations is of the time when profiles were annotations.
func seccompAnnotations(p *pod) (string, string) {
	keys := []string{"seccomp.security.alpha.kubernetes.io/pod"}
	p.containers(func(c *container) { keys = append(keys, "container.seccomp.security.alpha.kubernetes.io/"+c.Name) })
	var bad []string
	for _, key := range keys {
		v, ok := p.Annotations[key]
		if ok && !slices.Contains([]string{"runtime/default", "docker/default"}, v) && !strings.HasPrefix(v, "localhost/") {
			bad = append(bad, fmt.Sprintf("%s=%q", key, v))
		}
	}
	if bad = sorted(bad); len(bad) == 0 {
		return "", ""
	}
	return "seccompProfile", fmt.Sprintf("forbidden %s %s", plural("annotation", len(bad)), strings.Join(bad, ", "))
}

// seccompUse is who sets which profile.
type seccompUse struct {
	pod          bool     // sets a good one
	bad          string   // who sets a bad one
	values       []string // the bad ones
	withoutOwner []string // containers for which nobody sets one
}

func seccompOf(p *pod) (u seccompUse) {
	good := func(x *profile) bool { return x.Type == "RuntimeDefault" || x.Type == "Localhost" }
	badPod := false
	if x := p.Spec.SecurityContext.SeccompProfile; x != nil {
		if u.pod = good(x); !u.pod {
			badPod, u.values = true, append(u.values, x.Type)
		}
	}
	var containers []string
	p.containers(func(c *container) {
		switch x := c.SecurityContext.SeccompProfile; {
		case x == nil:
			u.withoutOwner = append(u.withoutOwner, c.Name)
		case !good(x):
			containers, u.values = append(containers, c.Name), append(u.values, x.Type)
		}
	})
	u.bad = setters(badPod, containers)
	return u
}

func seccompBaseline(p *pod) (string, string) {
	u := seccompOf(p)
	if u.bad == "" {
		return "", ""
	}
	return "seccompProfile", fmt.Sprintf("%s must not set securityContext.seccompProfile.type to %s", u.bad, quoted(sorted(u.values)))
}

func seccompRestricted(p *pod) (string, string) {
	u := seccompOf(p)
	if u.bad != "" {
		return seccompBaseline(p)
	}
	if u.pod || len(u.withoutOwner) == 0 {
		return "", ""
	}
	return "seccompProfile", fmt.Sprintf(`pod or %s must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`, setters(false, u.withoutOwner))
}

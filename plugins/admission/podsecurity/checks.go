package podsecurity

import (
	"fmt"
	"slices"
	"strings"
)

// check is one of the Pod Security Standards.
type check struct {
	id       string
	versions []version // by rising minor
	// instead is a check of baseline that this one of restricted takes the place of.
	instead string
}

// version is a check as of a minor version of v1. It answers "" when a pod may pass.
type version struct {
	since int
	of    func(p *pod) (reason, detail string)
}

// at is the check as of a minor version; nil when there was none.
func (c *check) at(minor int) func(*pod) (string, string) {
	for _, v := range slices.Backward(c.versions) {
		if v.since <= minor {
			return v.of
		}
	}
	return nil
}

// Both in the order in which they are told of.
var (
	baseline = []check{
		{id: "appArmorProfile", versions: []version{{0, appArmor}}},
		{id: "capabilities_baseline", versions: []version{{0, capabilitiesBaseline}}},
		{id: "hostNamespaces", versions: []version{{0, hostNamespaces}}},
		{id: "hostPathVolumes", versions: []version{{0, hostPaths}}},
		{id: "hostPorts", versions: []version{{0, hostPorts}}},
		{id: "hostProbesAndHostLifecycle", versions: []version{{34, hostHandlers}}},
		{id: "privileged", versions: []version{{0, privilegedContainers}}},
		{id: "procMount", versions: []version{{0, procMount}, {35, unlessOwnUsers(procMount)}}},
		{id: "seLinuxOptions", versions: []version{{0, seLinux(0)}, {31, seLinux(31)}}},
		{id: "seccompProfile_baseline", versions: []version{{0, seccompAnnotations}, {19, seccompBaseline}}},
		{id: "sysctls", versions: []version{{0, sysctls(0)}, {27, sysctls(27)}, {29, sysctls(29)}, {32, sysctls(32)}, {37, sysctls(37)}}},
		{id: "windowsHostProcess", versions: []version{{0, hostProcess}}},
	}
	restricted = []check{
		{id: "allowPrivilegeEscalation", versions: []version{{8, escalation}, {25, unlessWindows(escalation)}}},
		{id: "capabilities_restricted", versions: []version{{22, capabilitiesRestricted}, {25, unlessWindows(capabilitiesRestricted)}}, instead: "capabilities_baseline"},
		{id: "procMount_restricted", versions: []version{{35, procMount}}, instead: "procMount"},
		{id: "restrictedVolumes", versions: []version{{0, volumeTypes}}, instead: "hostPathVolumes"},
		{id: "runAsNonRoot", versions: []version{{0, nonRoot}, {35, unlessOwnUsers(nonRoot)}}},
		{id: "runAsUser", versions: []version{{23, notUserZero}, {35, unlessOwnUsers(notUserZero)}}},
		{id: "seccompProfile_restricted", versions: []version{{19, seccompRestricted}, {25, unlessWindows(seccompRestricted)}}, instead: "seccompProfile_baseline"},
	}
)

// faults are what a pod violates.
type faults []struct{ reason, detail string }

// evaluate holds a pod against a standard.
func evaluate(s standard, p *pod) (out faults) {
	if s.level == privileged.level {
		return nil
	}
	var replaced []string
	if s.level == "restricted" {
		for i := range restricted {
			if c := &restricted[i]; c.instead != "" && c.at(s.minor) != nil {
				replaced = append(replaced, c.instead)
			}
		}
	}
	run := func(list []check) {
		for i := range list {
			of := list[i].at(s.minor)
			if of == nil || slices.Contains(replaced, list[i].id) {
				continue
			}
			if reason, detail := of(p); reason != "" {
				out = append(out, struct{ reason, detail string }{reason, detail})
			}
		}
	}
	run(baseline)
	if s.level == "restricted" {
		run(restricted)
	}
	return out
}

// reasons are the short words for what is violated.
func (f faults) reasons() string {
	parts := make([]string, 0, len(f))
	for _, x := range f {
		parts = append(parts, x.reason)
	}
	return strings.Join(parts, ", ")
}

// details say how to do better.
func (f faults) details() string {
	parts := make([]string, 0, len(f))
	for _, x := range f {
		if x.detail != "" {
			parts = append(parts, fmt.Sprintf("%s (%s)", x.reason, x.detail))
		} else {
			parts = append(parts, x.reason)
		}
	}
	return strings.Join(parts, ", ")
}

func unlessWindows(f func(*pod) (string, string)) func(*pod) (string, string) {
	return func(p *pod) (string, string) {
		if p.windows() {
			return "", ""
		}
		return f(p)
	}
}

func unlessOwnUsers(f func(*pod) (string, string)) func(*pod) (string, string) {
	return func(p *pod) (string, string) {
		if p.ownUsers() {
			return "", ""
		}
		return f(p)
	}
}

// quoted is a list as the texts have it.
func quoted(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return `"` + strings.Join(items, `", "`) + `"`
}

// sorted is a set as a list.
func sorted(items []string) []string {
	out := slices.Clone(items)
	slices.Sort(out)
	return slices.Compact(out)
}

func plural(one string, n int) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// uses agrees with a number of things.
func uses(n int) string {
	if n == 1 {
		return "uses"
	}
	return "use"
}

// setters are a pod and its containers, as those who set something.
func setters(pod bool, containers []string) string {
	var out []string
	if pod {
		out = append(out, "pod")
	}
	if len(containers) > 0 {
		out = append(out, plural("container", len(containers))+" "+quoted(containers))
	}
	return strings.Join(out, " and ")
}

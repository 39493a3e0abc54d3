package podsecurity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pintle-io/pintle/sdk/admission"
)

const prefix = "pod-security.kubernetes.io/"

var (
	levelKeys = []string{prefix + "enforce", prefix + "audit", prefix + "warn"}
	labelKeys = []string{prefix + "enforce", prefix + "enforce-version", prefix + "audit", prefix + "audit-version", prefix + "warn", prefix + "warn-version"}
	levels    = []string{"privileged", "baseline", "restricted"} // by what they allow, most first
)

// latest is the minor version of v1 of which the checks are the newest there are.
const latest = 1 << 30

// standard is a level as of a version.
type standard struct {
	level string
	minor int
}

var privileged = standard{levels[0], latest}

func (s standard) String() string {
	if s.minor == latest {
		return s.level + ":latest"
	}
	return fmt.Sprintf("%s:v1.%d", s.level, s.minor)
}

// stricter compares levels, not versions.
func (s standard) stricter(than standard) bool {
	return slices.Index(levels, s.level) > slices.Index(levels, than.level)
}

// policy is what a namespace asks for.
type policy struct{ enforce, audit, warn standard }

// privileged policies ask for nothing.
func (p policy) privileged() bool {
	return p.enforce.level == privileged.level && p.audit.level == privileged.level && p.warn.level == privileged.level
}

// policyOf reads the labels of a namespace. What cannot be read is a fault: it counts
// as the strictest level to enforce, and asks for no audit and no warning.
func policyOf(labels map[string]string, defaults policy) (p policy, faults []admission.Fault) {
	p = defaults
	read := func(mode string, s *standard, otherwise string) (level, version bool) {
		if text, ok := labels[prefix+mode]; ok {
			level = slices.Contains(levels, text)
			if s.level = text; !level {
				s.level = otherwise
				faults = append(faults, fault(mode, text, "must be one of "+strings.Join(levels, ", ")))
			}
		}
		if text, ok := labels[prefix+mode+"-version"]; ok {
			version = true
			var valid bool
			if s.minor, valid = minorOf(text); !valid {
				faults = append(faults, fault(mode+"-version", text, `must be "latest" or "v1.x"`))
			}
		}
		return level, version
	}
	enforced, _ := read("enforce", &p.enforce, "restricted")
	read("audit", &p.audit, privileged.level)
	_, warned := labels[prefix+"warn"]
	_, versioned := read("warn", &p.warn, privileged.level)
	if !warned && enforced && p.enforce.stricter(p.warn) {
		// What will be refused as a pod is warned of as a workload.
		p.warn.level = p.enforce.level
		if !versioned {
			p.warn.minor = p.enforce.minor
		}
	}
	return p, faults
}

func fault(key, value, detail string) admission.Fault {
	return admission.Fault{Field: "metadata.labels[" + prefix + key + "]", Value: value, Detail: detail}
}

// minorOf reads "latest" or "v1.x".
func minorOf(version string) (int, bool) {
	if version == "latest" {
		return latest, true
	}
	digits, ok := strings.CutPrefix(version, "v1.")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || digits != strconv.FormatUint(n, 10) || n >= latest {
		return latest, false
	}
	return int(n), true
}

// joined is what is wrong with labels in a line.
func joined(faults []admission.Fault) string {
	parts := make([]string, 0, len(faults))
	for _, f := range faults {
		parts = append(parts, fmt.Sprintf("%s: Invalid value: %q: %s", f.Field, f.Value, f.Detail))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

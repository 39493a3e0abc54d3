package podsecurity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// maxPods bounds how many pods of a namespace are looked at, the first by name, as many
// as upstream looks at.
const maxPods = 3000

// labelled is what counts of a Namespace.
type labelled struct {
	metav1.ObjectMeta `json:"metadata"`
}

// APIResource implements client.Object.
func (*labelled) APIResource() string { return namespaces }

// namespace checks the labels of a Namespace, and warns of pods in it that violate
// what it begins to enforce.
func (r *rule) namespace(q *admission.Review) error {
	now, faults := policyOf(labelsOf(q.Object), r.defaults)
	was, before := policyOf(labelsOf(q.Old), r.defaults)
	create := q.Operation == admission.Create
	if len(faults) > 0 && (create || !slices.Equal(faults, before)) {
		for _, f := range faults {
			if err := q.Invalid(f.Field, f.Value, "%s", f.Detail); err != nil {
				return err
			}
		}
		return nil
	}
	sameOrLess := now.enforce == was.enforce || now.enforce.level == privileged.level ||
		now.enforce.minor == was.enforce.minor && !now.enforce.stricter(was.enforce)
	switch exempted := slices.Contains(r.Exemptions.Namespaces, q.Name); {
	case !create && sameOrLess, create && !exempted:
		return nil
	case exempted:
		r.warnExempt(q, now)
		return nil
	}
	return r.existing(q, now.enforce)
}

func labelsOf(ns sdk.Value) map[string]string {
	out := map[string]string{}
	for key, v := range ns.Get("metadata.labels").Fields() {
		if strings.HasPrefix(key, prefix) {
			out[key] = v.String()
		}
	}
	return out
}

// warnExempt tells that the labels of a namespace have no effect.
func (r *rule) warnExempt(q *admission.Review, p policy) {
	if p.privileged() || p.like(r.defaults) {
		return
	}
	labels := labelsOf(q.Object)
	var ignored []string
	for _, m := range []struct {
		mode string
		s    standard
	}{{"enforce", p.enforce}, {"audit", p.audit}, {"warn", p.warn}} {
		_, level := labels[prefix+m.mode]
		_, version := labels[prefix+m.mode+"-version"]
		if m.s.level != privileged.level && (level || version) {
			ignored = append(ignored, fmt.Sprintf("%s=%s", m.mode, m.s))
		}
	}
	q.Warn("namespace %q is exempt from Pod Security, and the policy (%s) will be ignored", q.Name, strings.Join(ignored, ", "))
}

// like tells whether two policies ask for the same.
func (p policy) like(o policy) bool {
	same := func(a, b standard) bool {
		return a == b || a.level == privileged.level && b.level == privileged.level
	}
	return same(p.enforce, o.enforce) && same(p.audit, o.audit) && same(p.warn, o.warn)
}

// existing warns of the pods that are there.
func (r *rule) existing(q *admission.Review, s standard) error {
	var all []*pod
	var more int
	if err := q.Reader.List(&all, client.ListOptions{Namespace: q.Name, Limit: maxPods, Remaining: &more}); err != nil {
		q.Warn("failed to list pods while checking new PodSecurity enforce level") // and who asks may set it, as upstream has it
		return nil
	}
	first, count := map[string]string{}, map[string]int{} // by what they violate
	for _, p := range r.unlessExempt(all) {
		f := evaluate(s, p)
		if len(f) == 0 {
			continue
		}
		why := f.reasons()
		if name, ok := first[why]; !ok || p.Name < name {
			first[why] = p.Name
		}
		count[why]++
	}
	if more > 0 {
		q.Warn("new PodSecurity enforce level only checked against the first %d of %d existing pods", len(all), len(all)+more)
	}
	if len(first) == 0 {
		return nil
	}
	q.Warn("existing pods in namespace %q violate the new PodSecurity enforce level %q", q.Name, s)
	var lines []string
	for why, name := range first {
		others := ""
		switch n := count[why] - 1; n {
		case 0:
		case 1:
			others = " (and 1 other pod)"
		default:
			others = fmt.Sprintf(" (and %d other pods)", n)
		}
		lines = append(lines, fmt.Sprintf("%s%s: %s", name, others, why))
	}
	slices.Sort(lines)
	for _, line := range lines {
		q.Warn("%s", line)
	}
	return nil
}

// unlessExempt leaves out what is not held against the standards.
func (r *rule) unlessExempt(all []*pod) []*pod {
	return slices.DeleteFunc(all, func(p *pod) bool {
		return p.Spec.RuntimeClassName != "" && slices.Contains(r.Exemptions.RuntimeClasses, p.Spec.RuntimeClassName)
	})
}

package job

import (
	"fmt"
	"slices"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
)

// verdict is what the pod failure policy says of a failed pod (KEP-3329).
type verdict struct {
	action  batchv1.PodFailurePolicyAction // "" when no rule matches
	message string                         // of FailJob
}

// counts tells that the failure counts towards the limits.
func (v verdict) counts() bool { return v.action != batchv1.PodFailurePolicyActionIgnore }

// judge asks the first rule that matches the pod. A rule with an action that is
// not known is passed over, as is one that a newer server would understand.
func judge(policy *batchv1.PodFailurePolicy, p *pod) verdict {
	if policy == nil {
		return verdict{}
	}
	for i := range policy.Rules {
		r := &policy.Rules[i]
		switch r.Action {
		case batchv1.PodFailurePolicyActionIgnore, batchv1.PodFailurePolicyActionFailIndex, batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailJob:
		default:
			continue
		}
		if r.OnExitCodes != nil {
			if c := exitedWith(p, r.OnExitCodes); c != nil {
				return verdict{r.Action, fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d matching %s rule at index %d",
					c.Name, p.Namespace, p.Name, c.State.Terminated.ExitCode, r.Action, i)}
			}
			continue
		}
		if c := hasCondition(p, r.OnPodConditions); c != nil {
			return verdict{r.Action, fmt.Sprintf("Pod %s/%s has condition %s matching %s rule at index %d", p.Namespace, p.Name, c.Type, r.Action, i)}
		}
	}
	return verdict{}
}

// exitedWith finds a container that ended with one of the codes: those of the
// pod first, then its init containers.
func exitedWith(p *pod, r *batchv1.PodFailurePolicyOnExitCodesRequirement) *container {
	for _, list := range [][]container{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			c := &list[i]
			end := c.State.Terminated
			if end == nil || end.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != c.Name {
				continue
			}
			in := slices.Contains(r.Values, end.ExitCode)
			if in && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn || !in && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpNotIn {
				return c
			}
		}
	}
	return nil
}

func hasCondition(p *pod, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) *condition {
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		for _, want := range patterns {
			if c.Type == want.Type && c.Status == want.Status {
				return c
			}
		}
	}
	return nil
}

// succeededBy tells whether the indexes that succeeded are enough for a rule of
// the success policy (KEP-3998), and which.
func succeededBy(policy *batchv1.SuccessPolicy, completions int, done indexes) (message string, ok bool) {
	if policy == nil || len(done) == 0 {
		return "", false
	}
	for i := range policy.Rules {
		if meets(&policy.Rules[i], completions, done) {
			return fmt.Sprintf("Matched rules at index %d", i), true
		}
	}
	return "", false
}

func meets(r *batchv1.SuccessPolicyRule, completions int, done indexes) bool {
	if r.SucceededIndexes == nil {
		return r.SucceededCount != nil && done.total() >= int(*r.SucceededCount)
	}
	wanted := parseIndexes(*r.SucceededIndexes, completions)
	if len(wanted) == 0 {
		return false // nothing of it can be read
	}
	n := done.shared(wanted)
	return n == wanted.total() || r.SucceededCount != nil && n >= int(*r.SucceededCount)
}

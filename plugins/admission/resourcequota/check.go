package resourcequota

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/plugins/quota"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// request is what is asked for an object.
type request struct {
	resource, subresource string // "pods", "resize"
	update                bool
	object, old           quota.Object
	now                   time.Time
}

// charge is what an object uses of one quota.
type charge struct {
	quota   *corev1.ResourceQuota
	amounts corev1.ResourceList
	bounded bool
}

// concerns tells whether a quota could mind the request: an update that changes nothing
// that is counted is none of its business.
func (q *request) concerns() bool {
	switch {
	case !q.update:
		return q.subresource == ""
	case q.resource == quota.Pods && q.subresource == "":
		return q.object.Terminating() != q.old.Terminating()
	case q.resource == quota.Claims && q.subresource == "status":
		return !slices.Equal(q.object.AttributesClasses(), q.old.AttributesClasses()) ||
			!maps.EqualFunc(q.object.Status.Allocated, q.old.Status.Allocated, func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })
	}
	return true
}

// check holds the request against the quotas of its namespace. A refusal that rests on
// what is used comes with the charge that does not fit.
func (q *request) check(list []*corev1.ResourceQuota) (charges []charge, refusal string) {
	if !q.concerns() {
		return nil, ""
	}
	for _, rq := range list {
		tracked := quota.Tracked(q.resource, rq.Status.Hard)
		if len(tracked) == 0 || !q.object.InScope(q.resource, &rq.Spec) {
			continue
		}
		if q.resource == quota.Pods {
			if missing := q.object.Missing(tracked); missing != "" {
				return nil, fmt.Sprintf("failed quota: %s: %s", rq.Name, missing)
			}
		}
		if slices.ContainsFunc(tracked, func(n corev1.ResourceName) bool { _, ok := rq.Status.Used[n]; return !ok }) {
			return nil, fmt.Sprintf("status unknown for quota: %s, resources: %s", rq.Name, names(tracked))
		}
		charges = append(charges, charge{quota: rq, bounded: q.subresource != "status"})
	}
	if len(charges) == 0 {
		return nil, ""
	}
	usage := q.object.Usage(q.resource, q.now)
	if negative := below(usage); len(negative) > 0 {
		return nil, "quota usage is negative for resource(s): " + names(negative)
	}
	return q.sums(charges, usage)
}

// sums works out what is charged to each quota; what is charged nothing is left out.
func (q *request) sums(list []charge, usage corev1.ResourceList) (charges []charge, refusal string) {
	before := q.old.Usage(q.resource, q.now)
	for _, c := range list {
		was := before
		if !q.update || !q.old.InScope(q.resource, &c.quota.Spec) {
			was = nil // it is new to this quota
		}
		c.amounts = quota.Increase(usage, was)
		maps.DeleteFunc(c.amounts, func(n corev1.ResourceName, _ resource.Quantity) bool { _, ok := c.quota.Status.Hard[n]; return !ok })
		if len(c.amounts) == 0 {
			continue
		}
		if over := c.exceeds(); c.bounded && len(over) > 0 {
			s := &c.quota.Status
			return []charge{c}, fmt.Sprintf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
				c.quota.Name, amounts(c.amounts, over), amounts(s.Used, over), amounts(s.Hard, over))
		}
		charges = append(charges, c)
	}
	return charges, ""
}

// exceeds are the names of which there is not enough left, in order.
func (c *charge) exceeds() (over []corev1.ResourceName) {
	for _, n := range slices.Sorted(maps.Keys(c.amounts)) {
		if sum := c.quota.Status.Used[n].Add(c.amounts[n]); sum.Cmp(c.quota.Status.Hard[n]) > 0 {
			over = append(over, n)
		}
	}
	return over
}

// made is the charge as the kernel takes it.
func (c *charge) made(namespace string) admission.Charge {
	out := admission.Charge{Object: admission.ObjectRef{Resource: quotas, Namespace: namespace, Name: c.quota.Name}, UID: c.quota.UID,
		Totals: "status.used", Amounts: plain(c.amounts)}
	if c.bounded {
		out.Limits, out.Bounds = "status.hard", plain(c.quota.Status.Hard)
	}
	return out
}

func plain(list corev1.ResourceList) map[string]resource.Quantity {
	out := make(map[string]resource.Quantity, len(list))
	for n, q := range list {
		out[string(n)] = q
	}
	return out
}

func below(list corev1.ResourceList) (out []corev1.ResourceName) {
	for n, q := range list {
		if q.Cmp("0") < 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

func names(list []corev1.ResourceName) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return strings.Join(out, ",")
}

// amounts are some of a list as a refusal names them; Add gives them their canonical
// form.
func amounts(list corev1.ResourceList, some []corev1.ResourceName) string {
	out := make([]string, len(some))
	for i, n := range some {
		out[i] = string(n) + "=" + string(list[n].Add("0"))
	}
	return strings.Join(out, ",")
}

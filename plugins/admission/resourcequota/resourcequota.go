// Package resourcequota carries out ResourceQuotas, as upstream's ResourceQuota
// admission does: what an object uses is charged to the quotas of its namespace that
// track it, and an object for which there is not enough left is refused. The charge
// is committed with the object, so that quotas are exact however many are created at
// once. In a namespace without a quota nobody is asked.
package resourcequota

import (
	"time"

	"github.com/pintle-io/pintle/plugins/quota"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

const quotas = "v1/resourcequotas"

func init() {
	sdk.Register(sdk.Plugin{Name: "resource-quota", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{Match: matches(), Fields: quota.Fields, Validate: validate, Implements: []string{quotas}}, nil
	}})
}

// matches are the requests that may use more of something.
func matches() []admission.MatchRule {
	given := []string{quotas}
	return []admission.MatchRule{
		{Operations: []admission.Operation{admission.Create}, Resources: []string{"*/*/*"}, Given: given},
		// A pod gets a deadline, and with it into another scope; its resources change by
		// resize only.
		{Operations: []admission.Operation{admission.Update}, Resources: []string{"v1/pods"}, Present: []string{"spec.activeDeadlineSeconds"}, Given: given},
		{Operations: []admission.Operation{admission.Update}, Given: given,
			Resources: []string{"v1/pods/resize", "v1/services", "v1/persistentvolumeclaims", "v1/persistentvolumeclaims/status"}},
	}
}

func validate(r *admission.Review) error {
	q := request{resource: quota.GroupResource(r.Resource), subresource: r.Subresource, update: r.Operation == admission.Update, now: time.Now()}
	if r.Namespace == "" || quota.Ignored(q.resource) {
		return nil
	}
	var list []*corev1.ResourceQuota
	if err := r.Reader.List(&list, client.ListOptions{Namespace: r.Namespace}); err != nil || len(list) == 0 {
		return err
	}
	// Only these are read: the same fields of other kinds may be of other types.
	read := quota.Reads(q.resource)
	if read {
		if err := r.Object.Decode(&q.object); err != nil {
			return err
		}
	}
	if q.update && read {
		if err := r.Old.Decode(&q.old); err != nil {
			return err
		}
	}
	charges, refusal := q.check(list)
	for _, c := range charges {
		r.Charge(c.made(r.Namespace))
	}
	if refusal != "" {
		return r.Forbid("%s", refusal)
	}
	return nil
}

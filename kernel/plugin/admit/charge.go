package admit

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Totals are the objects that a policy charges.
type Totals interface {
	// Resource of the objects that a charge is about, or an error: there is none, or
	// the policy may not change it.
	Resource(c *wire.Charge) (schema.GroupResource, error)
	// CatchUp returns when what the policy reads is as new as every write that
	// finished before the call.
	CatchUp(ctx context.Context) error
}

// charge adds what a verdict charges to a request.
func (r *rule) charge(a *admission.Attributes, op wire.Op, list []wire.Charge) error {
	if len(list) == 0 {
		return nil
	}
	if r.totals == nil || op != wire.OpValidate || a.Operation != admission.Create && a.Operation != admission.Update {
		return fmt.Errorf("it charges %s, which only Validate may, of a creation or an update", list[0].Resource)
	}
	charges := make([]admission.Charge, len(list)) // all of them, or none
	for i := range list {
		gr, err := r.totals.Resource(&list[i])
		if err != nil {
			return err
		}
		c, err := newCharge(&list[i])
		if err != nil {
			return err
		}
		charges[i] = admission.Charge{Resource: gr, Namespace: c.Namespace, Name: c.Name, Apply: c.apply}
	}
	for _, c := range charges {
		a.Charge(c)
	}
	return nil
}

// charge is one that can be made.
type charge struct {
	wire.Charge
	plan            *record.Plan // of what is read of the object
	amounts, bounds map[string]resource.Quantity
}

func newCharge(c *wire.Charge) (*charge, error) {
	out := &charge{Charge: *c}
	paths := []string{"metadata.uid", c.Totals}
	if c.Limits != "" {
		paths = append(paths, c.Limits)
	}
	fields, err := record.FieldsOfPaths(paths...)
	if err != nil {
		return nil, fmt.Errorf("charge: %w", err)
	}
	if out.plan, err = projection.Of(fields.String()); err != nil {
		return nil, fmt.Errorf("charge: %w", err)
	}
	if out.amounts, err = quantities(c.Amounts); err != nil {
		return nil, err
	}
	out.bounds, err = quantities(c.Bounds)
	return out, err
}

func quantities(list []wire.Amount) (map[string]resource.Quantity, error) {
	out := make(map[string]resource.Quantity, len(list))
	for _, x := range list {
		q, err := parse(x.Quantity)
		if err != nil || strings.Contains(x.Key, "]") {
			return nil, fmt.Errorf("charge: %q of %q is no amount of anything", x.Quantity, x.Key)
		}
		out[x.Key] = q
	}
	return out, nil
}

// apply makes the state after the charge.
//
// # Errors
//   - why the charge does not fit cur
func (c *charge) apply(cur runtime.Object) (runtime.Object, error) {
	b, err := c.plan.Append(nil, cur)
	if err != nil {
		return nil, err
	}
	now, err := record.Parse(b, c.plan.Fields())
	if err != nil {
		return nil, err
	}
	if uid := now.Get("metadata.uid").String(); c.UID != "" && uid != c.UID {
		return nil, fmt.Errorf("%s %s is another object than before", c.Resource, c.Name)
	}
	var limits map[string]resource.Quantity
	if c.Limits != "" {
		if limits, err = read(now.Get(c.Limits)); err != nil {
			return nil, err
		}
		if !same(limits, c.bounds) {
			return nil, fmt.Errorf("the limits of %s %s have changed", c.Resource, c.Name)
		}
	}
	totals, err := read(now.Get(c.Totals))
	if err != nil {
		return nil, err
	}
	patch := make([]wire.PatchOp, 0, len(c.Amounts))
	for _, x := range c.Amounts {
		sum, ok := totals[x.Key]
		if !ok {
			return nil, fmt.Errorf("%s %s has no total of %s", c.Resource, c.Name, x.Key)
		}
		amount := c.amounts[x.Key]
		sum.Add(amount)
		if limit, ok := limits[x.Key]; ok && amount.Sign() > 0 && sum.Cmp(limit) > 0 {
			return nil, fmt.Errorf("%s %s has %s of %s, and %s would be used", c.Resource, c.Name, limit.String(), x.Key, sum.String())
		}
		patch = append(patch, wire.PatchOp{Path: c.Totals + "[" + x.Key + "]", Value: strconv.AppendQuote(nil, sum.String())})
	}
	return apply(cur, patch)
}

// parse reads a quantity that sums can be made of: upstream's parser takes any exponent,
// and its arithmetic writes all the zeros.
func parse(s string) (resource.Quantity, error) {
	if i := strings.IndexAny(s, "eE"); i >= 0 && i+1 < len(s) && s[i+1] != 'i' { // Ei is a suffix
		if n, err := strconv.Atoi(s[i+1:]); err != nil || n > maxExponent || n < -maxExponent {
			return resource.Quantity{}, fmt.Errorf("its exponent is beyond %d", maxExponent)
		}
	}
	return resource.ParseQuantity(s)
}

// maxExponent is far beyond any amount of anything.
const maxExponent = 100

// read reads a map of quantities.
func read(v record.Value) (map[string]resource.Quantity, error) {
	out := map[string]resource.Quantity{}
	for key, x := range v.Fields() {
		q, err := parse(x.String())
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", key, x.String(), err)
		}
		out[key] = q
	}
	return out, nil
}

func same(a, b map[string]resource.Quantity) bool {
	if len(a) != len(b) {
		return false
	}
	for key, q := range a {
		if other, ok := b[key]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}

package admission

import (
	"maps"
	"slices"

	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Charge adds amounts to totals that another object keeps, such as what a
// ResourceQuota says is used.
type Charge struct {
	// Object must be there, and have this UID; "" is any.
	Object ObjectRef
	UID    string
	// Totals is the path of a map of quantities, such as "status.used". Every key of
	// Amounts must be in it already.
	Totals  string
	Amounts map[string]resource.Quantity
	// Limits is the path of another such map, "status.hard": no total with a limit
	// may rise above it. "" is no limits.
	Limits string
	// Bounds are the limits as the rule has read them. When others are found, the
	// rule is asked again.
	Bounds map[string]resource.Quantity
}

// Charge has the amounts added in the commit that writes the object, on top of
// whatever the totals are by then: what other requests added since the rule read them
// is neither lost nor overlooked. Where the charge does not fit what is found, the rule
// is asked again, and should look again. Nothing is charged for a request that is
// refused, fails, is a dry run or changes nothing.
//
// A rule that refuses a request because of the totals that it has read charges it
// all the same: then the server makes sure that these are not old before it refuses.
//
// Only Validate charges, and only what creates or updates an object. The Plugin must be
// allowed to update the object, or its status where the totals are in that.
func (r *Review) Charge(c Charge) { r.charges = append(r.charges, c) }

func (c *Charge) frame() wire.Charge {
	return wire.Charge{Resource: c.Object.Resource, Namespace: c.Object.Namespace, Name: c.Object.Name, UID: c.UID,
		Totals: c.Totals, Limits: c.Limits, Amounts: amounts(c.Amounts), Bounds: amounts(c.Bounds)}
}

func amounts(m map[string]resource.Quantity) (list []wire.Amount) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, wire.Amount{Key: key, Quantity: string(m[key])})
	}
	return list
}

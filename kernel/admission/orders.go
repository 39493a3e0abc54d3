package admission

import "fmt"

// The orders of rules in a chain, lowest first. A policy's order, spec.order of
// its Plugin, is between MinPolicyOrder and MaxPolicyOrder: no policy is asked
// before the server's own rules, which decide about who may do what. Those of
// the policies that ship stand in plugins/standard and, for users, in
// docs/plugins.md; a test keeps the three together.
const (
	// OrderLifecycle: is there a namespace to write to?
	OrderLifecycle = -1 << 20
	// OrderServer: may this be written at all? Nodes' objects, roles,
	// certificates, Plugins and their modules, external addresses of Services.
	OrderServer = -1_000_000

	MinPolicyOrder = -10_000
	MaxPolicyOrder = 10_000

	// What the cluster's people write as objects comes in upstream's order: behind
	// the built-in rules, which have orders near 0, and before those that have to see
	// what is left in the end (a quota, at MaxPolicyOrder).
	OrderMutatingPolicies   = 9_000
	OrderMutatingWebhooks   = 9_100
	OrderValidatingPolicies = 9_200
	OrderValidatingWebhooks = 9_300
)

// CheckPolicyOrder refuses an order that a policy cannot have; the error names
// the range.
func CheckPolicyOrder(order int32) error {
	if order < MinPolicyOrder || order > MaxPolicyOrder {
		return fmt.Errorf("must be between %d and %d", MinPolicyOrder, MaxPolicyOrder)
	}
	return nil
}

// PolicyOrder is the order of a policy in a chain: one from outside the range,
// which was stored before there was one, is taken for the nearest in it.
func PolicyOrder(order int32) int {
	return int(min(max(order, MinPolicyOrder), MaxPolicyOrder))
}

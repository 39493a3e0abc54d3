package admission

import "context"

// Exempt sets which requests pass by rules that are a [Rule.Policy], so that a policy can be repaired
// whatever it refuses: writes to the objects that say which policies there are,
// as upstream exempts webhook configurations. Rules that are no policies are
// asked about them all the same. Call it before the chain is used.
func (c *Chain) Exempt(is func(*Attributes) bool) { c.exempts = is }

func (c *Chain) exempt(ctx context.Context, a *Attributes) bool {
	return c.exempts != nil && c.exempts(a) || OfOwnObjects(ctx)
}

type ownObjects struct{}

// WithOwnObjects marks writes of the server itself that policies are not asked
// about: of the objects that every cluster has, since a policy that refused them
// would keep the server from starting, and of what it says about policies. No
// request from outside carries the mark; a test of internal/deps lists who sets it.
func WithOwnObjects(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownObjects{}, true)
}

// OfOwnObjects reports that ctx carries the mark.
func OfOwnObjects(ctx context.Context) bool { return ctx.Value(ownObjects{}) != nil }

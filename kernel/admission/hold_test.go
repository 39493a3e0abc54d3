package admission_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/admission"
)

// TestHold: a request that begins while the chain is held is asked by the rules
// that are there when it is not held any more, in both phases.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c admission.Chain
		ready := make(chan struct{})
		c.Hold(ready, "the policies are being read")
		pass := c.Begin()
		if pass.Empty() || !pass.Mutates() {
			t.Error("a pass of a chain that is held saves its caller work that may be needed")
		}
		done := make(chan error)
		go func() { done <- pass.Mutate(t.Context(), request()) }()
		synctest.Wait()
		c.Set("late", 0, deny(errors.New("no")))
		close(ready)
		if err := <-done; err != nil {
			t.Errorf("mutate: %v", err)
		}
		c.Remove("late") // the request is bound to what there was
		if err := pass.Validate(t.Context(), request()); !apierrors.IsForbidden(err) {
			t.Errorf("validate: %v", err)
		}
		if !c.Begin().Empty() {
			t.Error("a request that begins later is held")
		}
	})
}

func TestHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c admission.Chain
		c.Hold(make(chan struct{}), "the policies are being read")
		err := c.Validate(t.Context(), request())
		var s apierrors.APIStatus
		if !errors.As(err, &s) || s.Status().Code != 503 || s.Status().Details.RetryAfterSeconds == 0 || !strings.Contains(err.Error(), "the policies are being read") {
			t.Errorf("after %s: %v", admission.Patience, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Validate(ctx, request()); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that ends: %v", err)
		}
	})
}

// TestExempt: exempt requests are not held, and pass by policies but not by
// other rules.
func TestExempt(t *testing.T) {
	var c admission.Chain
	c.Exempt(func(a *admission.Attributes) bool { return a.Name == "exempt" })
	c.Hold(make(chan struct{}), "nothing that comes")
	policy := deny(errors.New("policy"))
	policy.Policy = true
	c.Set("policy", 0, policy)
	a := request()
	a.Name = "exempt"
	if err := c.Validate(t.Context(), a); err != nil {
		t.Errorf("an exempt object: %v", err)
	}
	own := admission.WithOwnObjects(t.Context())
	if err := c.Validate(own, request()); err != nil {
		t.Errorf("the server's own object: %v", err)
	}
	c.Set("rule", 1, deny(errors.New("rule")))
	for _, x := range []struct {
		ctx context.Context
		a   *admission.Attributes
	}{{t.Context(), a}, {own, request()}} {
		if err := c.Validate(x.ctx, x.a); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `"rule"`) {
			t.Errorf("a rule that is no policy: %v", err)
		}
	}
}

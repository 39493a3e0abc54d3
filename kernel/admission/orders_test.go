package admission_test

import (
	"math"
	"testing"

	"github.com/pintle-io/pintle/kernel/admission"
)

func TestPolicyOrders(t *testing.T) {
	for order, ok := range map[int32]bool{0: true, admission.MinPolicyOrder: true, admission.MaxPolicyOrder: true,
		admission.MinPolicyOrder - 1: false, admission.MaxPolicyOrder + 1: false, admission.OrderServer: false, math.MinInt32: false, math.MaxInt32: false} {
		if err := admission.CheckPolicyOrder(order); (err == nil) != ok {
			t.Errorf("%d: %v", order, err)
		}
		if got := admission.PolicyOrder(order); got < admission.MinPolicyOrder || got > admission.MaxPolicyOrder || ok && got != int(order) {
			t.Errorf("%d is taken for %d", order, got)
		}
	}
	if admission.OrderServer >= admission.MinPolicyOrder || admission.OrderLifecycle >= admission.OrderServer {
		t.Error("a policy can come before the server's rules")
	}
}

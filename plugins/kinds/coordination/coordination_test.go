package coordination_test

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestLeases(t *testing.T) {
	s := kindtest.Definition(t, "leases.coordination.k8s.io").Strategy
	if !s.AllowCreateOnUpdate || s.AllowUnconditionalUpdate {
		t.Error("a lease is created by update, and never without a resourceVersion")
	}
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l", Namespace: "ns"}, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: ptr.To[int32](0)}}
	if errs := kindtest.Create(t, kindtest.Definition(t, "leases.coordination.k8s.io"), l); len(errs) == 0 {
		t.Error("a lease of no duration was accepted")
	}
}

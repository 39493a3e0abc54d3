package rbac_test

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestRoleValidation(t *testing.T) {
	r := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "ns"}, Rules: []rbacv1.PolicyRule{{Resources: []string{"pods"}, APIGroups: []string{""}}}}
	if errs := kindtest.Create(t, kindtest.Definition(t, "roles.rbac.authorization.k8s.io"), r); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "rules[0].verbs: Required value") {
		t.Errorf("got %v", errs.ToAggregate())
	}
}

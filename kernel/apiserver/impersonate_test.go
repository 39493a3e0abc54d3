package apiserver_test

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// allow gives a user rules, everywhere.
func allow(t *testing.T, c *kerneltest.Server, name string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	cs := kerneltest.Client(t, c.Admin()).RbacV1()
	if _, err := cs.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}}
	if _, err := cs.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestConstrainedImpersonation: who may act as another for certain requests may do so
// for these, and as nobody who is more than he.
func TestConstrainedImpersonation(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "rules: [{level: Metadata}]\n", nil)
	const group = authenticationv1.GroupName
	configmaps := func(verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{""}, Resources: []string{"configmaps"}}
	}
	allow(t, c, "other", rbacv1.PolicyRule{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"configmaps", "secrets"}})
	allow(t, c, "system:node:n1", configmaps("list"))
	allow(t, c, "helper",
		rbacv1.PolicyRule{Verbs: []string{"impersonate:user-info"}, APIGroups: []string{group}, Resources: []string{"users", "uids"}, ResourceNames: []string{"other", "7"}},
		rbacv1.PolicyRule{Verbs: []string{"impersonate:user-info"}, APIGroups: []string{group}, Resources: []string{"groups"}},
		rbacv1.PolicyRule{Verbs: []string{"impersonate:user-info"}, APIGroups: []string{group}, Resources: []string{"userextras/example.com/reason"}, ResourceNames: []string{"debugging"}},
		configmaps("impersonate-on:user-info:list", "impersonate-on:arbitrary-node:list"),
		rbacv1.PolicyRule{Verbs: []string{"impersonate:arbitrary-node"}, APIGroups: []string{group}, Resources: []string{"nodes"}, ResourceNames: []string{"n1"}},
	)
	list := func(who rest.ImpersonationConfig) error {
		cfg := c.User(t, "helper")
		cfg.Impersonate = who
		_, err := kerneltest.Client(t, cfg).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		return err
	}
	for name, tc := range map[string]struct {
		as   rest.ImpersonationConfig
		want string // in the refusal
	}{
		"a user":                  {rest.ImpersonationConfig{UserName: "other"}, ""},
		"with uid and extra":      {rest.ImpersonationConfig{UserName: "other", UID: "7", Groups: []string{"team"}, Extra: map[string][]string{"example.com/reason": {"debugging"}}}, ""},
		"a node":                  {rest.ImpersonationConfig{UserName: "system:node:n1"}, ""},
		"another user":            {rest.ImpersonationConfig{UserName: "boss"}, `users.authentication.k8s.io "boss" is forbidden: User "helper" cannot impersonate:user-info resource "users"`},
		"another node":            {rest.ImpersonationConfig{UserName: "system:node:n2"}, `nodes.authentication.k8s.io "n2" is forbidden: User "helper" cannot impersonate:arbitrary-node`},
		"another uid":             {rest.ImpersonationConfig{UserName: "other", UID: "8"}, `uids.authentication.k8s.io "8" is forbidden`},
		"another reason":          {rest.ImpersonationConfig{UserName: "other", Extra: map[string][]string{"example.com/reason": {"fun"}}}, `"fun" is forbidden`},
		"a master":                {rest.ImpersonationConfig{UserName: "other", Groups: []string{user.SystemPrivilegedGroup}}, "impersonating the system:masters group is not allowed"},
		"a service account":       {rest.ImpersonationConfig{UserName: "system:serviceaccount:default:x"}, "cannot impersonate-on:serviceaccount:list"},
		"a node with more groups": {rest.ImpersonationConfig{UserName: "system:node:n1", Groups: []string{"team"}}, `cannot impersonate resource "users"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := list(tc.as)
			if tc.want == "" && err != nil || tc.want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	// The other may read secrets; who acts as him for lists of config maps may not.
	cfg := c.User(t, "helper")
	cfg.Impersonate.UserName = "other"
	if _, err := kerneltest.Client(t, cfg).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "impersonate-on:user-info:list") {
		t.Errorf("another resource: %v", err)
	}
	if !constrained(events) {
		t.Error("no event says by which verb he acted as another")
	}
}

func constrained(events *eventLog) bool {
	events.mu.Lock()
	defer events.mu.Unlock()
	for _, ev := range events.events {
		if m := ev.AuthenticationMetadata; m != nil && m.ImpersonationConstraint == "impersonate:user-info" && ev.ImpersonatedUser.Username == "other" {
			return true
		}
	}
	return false
}

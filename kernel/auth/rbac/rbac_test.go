package rbac_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	applyrbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
)

func role(ns, name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Rules: rules}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

func rule(verbs, groups, resources string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Split(verbs, ","), APIGroups: strings.Split(groups, ","), Resources: strings.Split(resources, ","), ResourceNames: names}
}

func TestAuthorize(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	cs := kerneltest.Client(t, c.Admin()).RbacV1()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := metav1.CreateOptions{}
	for _, r := range []*rbacv1.ClusterRole{
		clusterRole("pods", rule("get,list", "", "pods")),
		clusterRole("logs", rule("get", "", "pods/log")),
		clusterRole("scales", rule("update", "*", "*/scale")),
		clusterRole("one", rule("get", "", "configmaps", "this")),
		clusterRole("urls", rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics", "/debug/*"}}),
	} {
		_, err := cs.ClusterRoles().Create(ctx, r, create)
		must(err)
	}
	_, err := cs.Roles("a").Create(ctx, role("a", "local", rule("delete", "apps", "deployments")), create)
	if err == nil {
		t.Fatal("created in a namespace that does not exist")
	}
	_, err = cs.Roles("default").Create(ctx, role("default", "local", rule("delete", "apps", "deployments")), create)
	must(err)
	bind := func(name, kind string, s rbacv1.Subject) {
		_, err := cs.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name + "-" + s.Name},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}, Subjects: []rbacv1.Subject{s}}, create)
		must(err)
	}
	group := func(n string) rbacv1.Subject {
		return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "Group", Name: n}
	}
	account := func(ns, n string) rbacv1.Subject {
		return rbacv1.Subject{Kind: "ServiceAccount", Namespace: ns, Name: n}
	}
	bind("pods", "ClusterRole", group("dev"))
	bind("logs", "ClusterRole", group("dev"))
	bind("scales", "ClusterRole", account("default", "scaler"))
	bind("one", "ClusterRole", group("dev"))
	bind("urls", "ClusterRole", group("dev"))
	bind("missing", "ClusterRole", group("dev"))
	_, err = cs.RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "local"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "local"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "here"}}}, create)
	must(err)

	dev := &user.DefaultInfo{Name: "ann", Groups: []string{"dev"}}
	scaler := &user.DefaultInfo{Name: "system:serviceaccount:default:scaler"}
	here := &user.DefaultInfo{Name: "system:serviceaccount:default:here"}
	root := &user.DefaultInfo{Name: "r", Groups: []string{"system:masters"}}
	res := func(u user.Info, verb, group, resource, sub, ns, name string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: u, Verb: verb, APIGroup: group, Resource: resource, Subresource: sub, Namespace: ns, Name: name, ResourceRequest: true}
	}
	tests := []struct {
		name string
		a    authorizer.AttributesRecord
		want bool
	}{
		{"granted to a group", res(dev, "get", "", "pods", "", "default", "p"), true},
		{"in every namespace", res(dev, "list", "", "pods", "", "", ""), true},
		{"other verb", res(dev, "delete", "", "pods", "", "default", "p"), false},
		{"other group", res(dev, "get", "metrics.k8s.io", "pods", "", "default", "p"), false},
		{"a resource does not give its subresources", res(dev, "get", "", "pods", "exec", "default", "p"), false},
		{"subresource", res(dev, "get", "", "pods", "log", "default", "p"), true},
		{"named object", res(dev, "get", "", "configmaps", "", "default", "this"), true},
		{"other name", res(dev, "get", "", "configmaps", "", "default", "that"), false},
		{"no name", res(dev, "list", "", "configmaps", "", "default", ""), false},
		{"any scale", res(scaler, "update", "apps", "deployments", "scale", "x", "d"), true},
		{"but not the object", res(scaler, "update", "apps", "deployments", "", "x", "d"), false},
		{"role in its namespace", res(here, "delete", "apps", "deployments", "", "default", "d"), true},
		{"role in another namespace", res(here, "delete", "apps", "deployments", "", "kube-system", "d"), false},
		{"account of the same name elsewhere", res(&user.DefaultInfo{Name: "system:serviceaccount:other:here"}, "delete", "apps", "deployments", "", "default", "d"), false},
		{"url", authorizer.AttributesRecord{User: dev, Verb: "get", Path: "/metrics"}, true},
		{"url below", authorizer.AttributesRecord{User: dev, Verb: "get", Path: "/debug/pprof/heap"}, true},
		{"other url", authorizer.AttributesRecord{User: dev, Verb: "get", Path: "/metricsx"}, false},
		{"masters", res(root, "anything", "any", "thing", "at", "all", "x"), true},
		{"masters, urls", authorizer.AttributesRecord{User: root, Verb: "get", Path: "/x"}, true},
		{"nobody", authorizer.AttributesRecord{Verb: "get", Path: "/metrics"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, reason, err := c.RBAC.Authorize(ctx, tt.a)
			if err != nil {
				t.Fatal(err)
			}
			if got := d == authorizer.DecisionAllow; got != tt.want {
				t.Errorf("allowed: got %v (%s), want %v", got, reason, tt.want)
			}
		})
	}
	_, reason, _ := c.RBAC.Authorize(ctx, tests[0].a)
	if want := `RBAC: allowed by ClusterRoleBinding "pods-dev" of ClusterRole "pods" to Group "dev"`; reason != want {
		t.Errorf("reason %q, want %q", reason, want)
	}
}

func TestDefaultPolicy(t *testing.T) {
	p, err := rbac.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]rbac.StaticRules{}
	for _, r := range p.ClusterRoles {
		if rules[r.Name] != nil {
			t.Errorf("role %s is listed twice", r.Name)
		}
		if len(r.Rules) == 0 {
			t.Errorf("role %s has no rules", r.Name)
		}
		rules[r.Name] = r.Rules
	}
	ask := func(verb, group, res, sub string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{Verb: verb, APIGroup: group, Resource: res, Subresource: sub, Namespace: "ns", Name: "x", ResourceRequest: true}
	}
	tests := []struct {
		role string
		a    authorizer.AttributesRecord
		want bool
	}{
		{"cluster-admin", ask("x", "y", "z", "w"), true},
		{"view", ask("get", "apps", "deployments", ""), true},
		{"view", ask("get", "", "secrets", ""), false},
		{"view", ask("update", "apps", "deployments", ""), false},
		{"edit", ask("update", "apps", "deployments", ""), true},
		{"edit", ask("get", "apps", "deployments", ""), true}, // collected from view
		{"edit", ask("get", "", "secrets", ""), true},
		{"edit", ask("create", "rbac.authorization.k8s.io", "roles", ""), false},
		{"admin", ask("create", "rbac.authorization.k8s.io", "roles", ""), true},
		{"admin", ask("list", "", "pods", ""), true}, // from view by way of edit
		{"admin", ask("update", "", "resourcequotas", ""), false},
		{"system:node", ask("create", "", "serviceaccounts", "token"), true},
		{"system:node", ask("create", "", "secrets", ""), false},
	}
	for _, tt := range tests {
		if got := rules[tt.role].Allows(tt.a); got != tt.want {
			t.Errorf("%s %s %s/%s: got %v, want %v", tt.role, tt.a.Verb, tt.a.Resource, tt.a.Subresource, got, tt.want)
		}
	}
}

func TestEnsureRepairs(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	ctx := t.Context()
	cs := kerneltest.Client(t, c.Admin()).RbacV1()
	p, err := rbac.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	before, err := cs.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Ensure(ctx, c.Registry); err != nil {
		t.Fatal(err)
	}
	after, err := cs.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Items, after.Items); diff != "" {
		t.Errorf("a second start changed something:\n%s", diff)
	}
	if err := cs.ClusterRoles().Delete(ctx, "system:discovery", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	basic, err := cs.ClusterRoles().Get(ctx, "system:basic-user", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	basic.Rules = []rbacv1.PolicyRule{rule("get", "example.com", "extras")}
	if _, err := cs.ClusterRoles().Update(ctx, basic, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	off, err := cs.ClusterRoles().Get(ctx, "system:monitoring", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	off.Rules, off.Annotations["rbac.authorization.kubernetes.io/autoupdate"] = nil, "false"
	if _, err := cs.ClusterRoles().Update(ctx, off, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Ensure(ctx, c.Registry); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.ClusterRoles().Get(ctx, "system:discovery", metav1.GetOptions{}); err != nil {
		t.Errorf("deleted role: %v", err)
	}
	if basic, err = cs.ClusterRoles().Get(ctx, "system:basic-user", metav1.GetOptions{}); err != nil || len(basic.Rules) < 3 {
		t.Errorf("role that lacked rules: %v, %v", basic.Rules, err)
	}
	if basic.Rules[0].APIGroups[0] != "example.com" {
		t.Errorf("an added rule was lost: %v", basic.Rules)
	}
	if off, err = cs.ClusterRoles().Get(ctx, "system:monitoring", metav1.GetOptions{}); err != nil || len(off.Rules) != 0 {
		t.Errorf("role with autoupdate=false: %v, %v", off.Rules, err)
	}
}

func TestEscalation(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	ctx := t.Context()
	admin := kerneltest.Client(t, c.Admin()).RbacV1()
	// ann may write roles and bindings everywhere, and read pods.
	for _, r := range []*rbacv1.ClusterRole{
		clusterRole("ann", rule("*", rbacv1.GroupName, "roles,rolebindings,clusterroles"), rule("get", "", "pods")),
		clusterRole("binder", rule("bind", rbacv1.GroupName, "clusterroles", "cluster-admin"), rule("create", rbacv1.GroupName, "clusterrolebindings")),
	} {
		// "*" would include escalate and bind.
		if r.Name == "ann" {
			r.Rules[0].Verbs = []string{"get", "create", "update", "patch"}
		}
		if _, err := admin.ClusterRoles().Create(ctx, r, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: r.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: r.Name}}}
		if _, err := admin.ClusterRoleBindings().Create(ctx, b, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ann := kerneltest.Client(t, c.User(t, "ann")).RbacV1()
	binder := kerneltest.Client(t, c.User(t, "binder")).RbacV1()
	refRole := func(name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	}
	self := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ann"}}
	tests := []struct {
		name string
		do   func() error
		ok   bool
	}{
		{"a role of what she holds", func() error {
			_, err := ann.Roles("default").Create(ctx, role("default", "r1", rule("get", "", "pods")), metav1.CreateOptions{})
			return err
		}, true},
		{"a role of more", func() error {
			_, err := ann.Roles("default").Create(ctx, role("default", "r2", rule("get", "", "secrets")), metav1.CreateOptions{})
			return err
		}, false},
		{"more by update", func() error {
			_, err := ann.Roles("default").Update(ctx, role("default", "r1", rule("*", "*", "*")), metav1.UpdateOptions{})
			return err
		}, false},
		{"more by patch", func() error {
			_, err := ann.Roles("default").Patch(ctx, "r1", "application/merge-patch+json", []byte(`{"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}]}`), metav1.PatchOptions{})
			return err
		}, false},
		{"a change of labels only", func() error {
			_, err := ann.ClusterRoles().Patch(ctx, "cluster-admin", "application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
			return err
		}, true},
		{"an aggregated role", func() error {
			r := clusterRole("agg")
			r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{}}}
			_, err := ann.ClusterRoles().Create(ctx, r, metav1.CreateOptions{})
			return err
		}, false},
		{"bind what she holds", func() error {
			_, err := ann.RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b1"}, RoleRef: refRole("ann"), Subjects: self}, metav1.CreateOptions{})
			return err
		}, true},
		{"bind more", func() error {
			_, err := ann.RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b2"}, RoleRef: refRole("cluster-admin"), Subjects: self}, metav1.CreateOptions{})
			return err
		}, false},
		{"bind what the verb bind allows", func() error {
			_, err := binder.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b3"}, RoleRef: refRole("cluster-admin"), Subjects: self}, metav1.CreateOptions{})
			return err
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.do()
			if tt.ok && err != nil || !tt.ok && !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want allowed=%v", err, tt.ok)
			}
			if !tt.ok && err != nil && !strings.Contains(err.Error(), "is attempting to grant RBAC permissions not currently held") {
				t.Errorf("refused with %v", err)
			}
		})
	}
}

func TestAggregator(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	ctx := t.Context()
	extra := clusterRole("crd-viewer", rule("get", "example.com", "widgets"))
	extra.Labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}
	_, err := c.Registry.Create(ctx, registry.Target{Resource: rbacv1.SchemeGroupVersion.WithResource("clusterroles")}, extra, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cs := kerneltest.Client(t, c.Admin()).RbacV1().ClusterRoles()
	ask := authorizer.AttributesRecord{Verb: "get", APIGroup: "example.com", Resource: "widgets", ResourceRequest: true}
	for _, name := range []string{"view", "edit", "admin"} {
		deadline := time.Now().Add(time.Minute)
		for {
			r, err := cs.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if rbac.StaticRules(r.Rules).Allows(ask) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not collect the new rule", name)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// TestAggregatedByApply: the rules belong to the controller by server-side apply, as in
// Kubernetes, so that who applies an aggregated role without rules does not take them
// away; rules that were written by an update, as they once were, can still be removed.
func TestAggregatedByApply(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	ctx := t.Context()
	cs := kerneltest.Client(t, c.Admin()).RbacV1().ClusterRoles()
	part := clusterRole("part", rule("get", "example.com", "widgets"))
	part.Labels = map[string]string{"to": "whole"}
	if _, err := cs.Create(ctx, part, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	whole := applyrbacv1.ClusterRole("whole").WithAggregationRule(applyrbacv1.AggregationRule().WithClusterRoleSelectors(applymetav1.LabelSelector().WithMatchLabels(part.Labels)))
	old := applyrbacv1.ClusterRole("old").WithAggregationRule(applyrbacv1.AggregationRule().WithClusterRoleSelectors(applymetav1.LabelSelector().WithMatchLabels(map[string]string{"to": "nobody"})))
	for _, x := range []*applyrbacv1.ClusterRoleApplyConfiguration{whole, old} {
		if _, err := cs.Apply(ctx, x, metav1.ApplyOptions{FieldManager: "me"}); err != nil {
			t.Fatal(err)
		}
	}
	until := func(name string, ok func(*rbacv1.ClusterRole) bool) *rbacv1.ClusterRole {
		t.Helper()
		for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			r, err := cs.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if ok(r) {
				return r
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s stays %v", name, r)
			}
		}
	}
	has := func(r *rbacv1.ClusterRole) bool { return len(r.Rules) == 1 }
	r := until("whole", has)
	if !slices.ContainsFunc(r.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == "clusterrole-aggregation-controller" && m.Operation == metav1.ManagedFieldsOperationApply && strings.Contains(string(m.FieldsV1.Raw), `"f:rules"`)
	}) {
		t.Errorf("the rules belong to %v", r.ManagedFields)
	}
	if r, err := cs.Apply(ctx, whole.WithLabels(map[string]string{"new": "label"}), metav1.ApplyOptions{FieldManager: "me"}); err != nil || !has(r) {
		t.Errorf("applied again: %v, %v", r, err)
	}
	if err := cs.Delete(ctx, "part", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("whole", func(r *rbacv1.ClusterRole) bool { return len(r.Rules) == 0 })

	stale, err := cs.Get(ctx, "old", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stale.Rules = []rbacv1.PolicyRule{rule("get", "example.com", "widgets")}
	if _, err := cs.Update(ctx, stale, metav1.UpdateOptions{FieldManager: "clusterrole-aggregation-controller"}); err != nil {
		t.Fatal(err)
	}
	until("old", func(r *rbacv1.ClusterRole) bool { return len(r.Rules) == 0 })
}

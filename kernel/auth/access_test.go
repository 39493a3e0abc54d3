package auth_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
)

// asked notes what an authorizer is asked, and allows some.
type asked struct {
	list  []string
	allow func(a authorizer.Attributes) bool
}

func (z *asked) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	z.list = append(z.list, path.Join(a.GetVerb()+" "+a.GetResource(), a.GetSubresource())+"/"+a.GetName())
	if z.allow == nil || z.allow(a) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// component is one whom the server refuses nothing: what is refused, another
// authorizer refuses.
var component = &user.DefaultInfo{Name: "component", Groups: []string{user.SystemPrivilegedGroup}}

var configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func in(name string) registry.Target {
	return registry.Target{Resource: configMaps, Namespace: "default", Name: name}
}

// Every verb of a component asks for what the same request of a client would.
func TestAccessAsksForEveryVerb(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	z := &asked{}
	reg := (&auth.Access{Registry: c.Access(), Authorizer: z}).As(component)
	ctx, o := t.Context(), registry.WriteOptions{FieldManager: "m"}
	apply := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`)
	scale := registry.Target{Resource: appsv1.SchemeGroupVersion.WithResource("deployments"), Namespace: "default", Name: "d", Subresource: "scale"}
	missing := map[string]bool{}
	for verb := range reflect.TypeFor[registry.Registry]().Methods() {
		missing[verb.Name] = true
	}
	for _, x := range []struct {
		verb, want string
		do         func() error
		absent     bool // allowed, it finds nothing
	}{
		{verb: "Create", want: "create configmaps/a", do: func() error { _, err := reg.Create(ctx, in("a"), configMap("a"), o); return err }},
		{verb: "Get", want: "get configmaps/a", do: func() error { _, err := reg.Get(ctx, in("a"), metav1.GetOptions{}); return err }},
		{verb: "GetProjection", want: "get deployments/scale/d", do: func() error { _, err := reg.GetProjection(ctx, scale, metav1.GetOptions{}); return err }, absent: true},
		{verb: "List", want: "list configmaps/", do: func() error { _, err := reg.List(ctx, in(""), metav1.ListOptions{}); return err }},
		{verb: "Watch", want: "watch configmaps/", do: func() error { _, err := reg.Watch(ctx, in(""), metav1.ListOptions{}); return err }},
		{verb: "Update", want: "update configmaps/a", do: func() error { _, err := reg.Update(ctx, in("a"), configMap("a"), o); return err }},
		{verb: "Patch", want: "patch configmaps/a", do: func() error { _, err := reg.Patch(ctx, in("a"), types.MergePatchType, []byte(`{}`), o); return err }},
		{verb: "Patch", want: "patch configmaps/b, create configmaps/b", do: func() error {
			_, err := reg.Patch(ctx, in("b"), types.ApplyYAMLPatchType, apply, o)
			return err
		}},
		{verb: "Delete", want: "delete configmaps/a", do: func() error { _, err := reg.Delete(ctx, in("a"), metav1.DeleteOptions{}); return err }},
		{verb: "DeleteCollection", want: "deletecollection configmaps/", do: func() error {
			_, err := reg.DeleteCollection(ctx, in(""), metav1.DeleteOptions{}, metav1.ListOptions{})
			return err
		}},
		{verb: "Batch", want: "create configmaps/", do: func() error {
			_, err := reg.Batch(ctx, []registry.BatchItem{{Verb: "create", Target: in(""), Object: configMap("z"), Options: o}}, true)
			return err
		}},
	} {
		delete(missing, x.verb)
		z.allow, z.list = func(authorizer.Attributes) bool { return false }, nil
		if err := x.do(); !apierrors.IsForbidden(err) {
			t.Errorf("%s, not allowed: %v", x.want, err)
		}
		z.allow, z.list = nil, nil
		if err := x.do(); x.absent != apierrors.IsNotFound(err) || !x.absent && err != nil {
			t.Errorf("%s, allowed: %v", x.want, err)
		}
		if got := strings.Join(z.list, ", "); got != x.want {
			t.Errorf("asked %q, want %q", got, x.want)
		}
	}
	for verb := range missing {
		t.Errorf("this test does not ask %s", verb)
	}
	if _, err := (&auth.Access{Registry: c.Access(), Authorizer: &asked{}}).As(nil).Get(ctx, in("a"), metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("nobody, allowed everything: %v", err)
	}
}

// broken is an authorizer that cannot decide.
type broken struct{}

func (broken) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionNoOpinion, "", errors.New("no webhook")
}

// Who may update and patch, but not create, creates nothing; what an update cannot
// create is not found. An authorizer that fails allows nothing.
func TestAccessToCreate(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	z := &asked{allow: func(a authorizer.Attributes) bool { return a.GetVerb() != "create" }}
	reg := (&auth.Access{Registry: c.Access(), Authorizer: z}).As(component)
	ctx, o := t.Context(), registry.WriteOptions{FieldManager: "m"}
	lease := registry.Target{Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: "default", Name: "l"}
	leaseObj := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "l"}}
	if _, err := reg.Update(ctx, lease, leaseObj, o); !apierrors.IsForbidden(err) {
		t.Errorf("an update that would create: %v", err)
	}
	if _, err := reg.Update(ctx, in("a"), configMap("a"), o); !apierrors.IsNotFound(err) {
		t.Errorf("an update of what it cannot create: %v", err)
	}
	if _, err := reg.Patch(ctx, in("a"), types.ApplyYAMLPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`), o); !apierrors.IsForbidden(err) {
		t.Errorf("an apply that would create: %v", err)
	}
	items := []registry.BatchItem{{Verb: "update", Target: lease, Object: leaseObj}, {Verb: "update", Target: in("a"), Object: configMap("a")}}
	results, err := reg.Batch(ctx, items, false)
	if err != nil || !apierrors.IsForbidden(results[0].Err) || !apierrors.IsNotFound(results[1].Err) || items[0].Options.MayCreate != nil {
		t.Errorf("a batch: %+v, %v; the items %+v", results, err, items)
	}
	if _, err := c.Registry.Update(ctx, lease, leaseObj, o); err != nil {
		t.Fatal(err)
	}
	there, err := reg.Get(ctx, lease, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Update(ctx, lease, there.Obj, o); err != nil {
		t.Errorf("an update of what is there: %v", err)
	}
	reg = (&auth.Access{Registry: c.Access(), Authorizer: broken{}}).As(component)
	if _, err := reg.Get(ctx, lease, metav1.GetOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("an authorizer that fails: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := reg.Get(gone, lease, metav1.GetOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that has ended: %v", err)
	}
}

// In a batch, what is not allowed is refused and the others are written; names are
// asked about only where the answer depends on them.
func TestAccessToABatch(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	z := &asked{}
	reg := (&auth.Access{Registry: c.Access(), Authorizer: z}).As(component)
	batch := func(names ...string) (items []registry.BatchItem) {
		for _, name := range names {
			items = append(items, registry.BatchItem{Verb: "create", Target: in(name), Object: configMap(name)})
		}
		return items
	}
	if _, err := reg.Batch(t.Context(), batch("a", "b", "c"), false); err != nil || len(z.list) != 1 {
		t.Errorf("%v; asked %q, want one question", err, z.list)
	}
	z.allow = func(a authorizer.Attributes) bool { return a.GetName() == "e" || a.GetName() == "g" }
	results, err := reg.Batch(t.Context(), batch("d", "e", "f", "g"), false)
	if err != nil {
		t.Fatal(err)
	}
	for i, allowed := range []bool{false, true, false, true} {
		if r := results[i]; allowed && (r.Err != nil || r.Result.Object.Name != batch("d", "e", "f", "g")[i].Target.Name) || !allowed && !apierrors.IsForbidden(r.Err) {
			t.Errorf("item %d: %+v", i, r)
		}
	}
	if _, err := reg.Batch(t.Context(), batch("g2", "e"), true); !apierrors.IsForbidden(err) {
		t.Errorf("an atomic batch, half of it allowed: %v", err)
	}
	if _, err := c.Registry.Get(t.Context(), in("d"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was refused: %v", err)
	}
}

// TestComponentsRoles holds the roles of the server's own components against what
// they do: allowed is what they need, and refused what they have no business with.
func TestComponentsRoles(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	type can struct {
		verb, group, resource, namespace, name string
	}
	missing := components(t)
	delete(missing, "APIServer") // it may do everything
	for _, x := range []struct {
		name             string
		who              user.Info
		allowed, refused []can
	}{
		{"Scheduler", auth.Scheduler,
			[]can{{"watch", "", "nodes", "", ""}, {"watch", "", "pods", "", ""}, {"create", "", "pods/binding", "default", "p"},
				{"update", "", "pods/status", "default", "p"}, {"create", "events.k8s.io", "events", "default", ""}},
			[]can{{"create", "", "pods", "default", ""}, {"get", "", "secrets", "default", "s"}, {"update", "", "nodes", "", "n"},
				{"create", "", "pods/eviction", "default", "p"}}},
		{"ControllerManager", auth.ControllerManager,
			[]can{{"list", "apps", "deployments", "", ""}, {"watch", "example.com", "anything", "", ""}, {"create", "", "events", "default", ""}, {"patch", "", "events", "default", "e"}},
			[]can{{"delete", "", "pods", "default", "p"}, {"update", "apps", "deployments", "default", "d"}, {"get", "", "pods", "default", "p"}}},
		{"PluginLoader", auth.PluginLoader,
			[]can{{"watch", "pintle.dev", "plugins", "", ""}, {"create", "pintle.dev", "plugins", "", "p"}, {"update", "pintle.dev", "plugins/status", "", "p"},
				{"escalate", "pintle.dev", "plugins", "", "p"}, {"use-process-host", "pintle.dev", "plugins", "", "p"},
				{"get", "pintle.dev", "pluginmodules", "", "m"}, {"delete", "pintle.dev", "pluginmodules", "", "m"}, {"update", "", "events", "default", "e"}},
			[]can{{"delete", "pintle.dev", "plugins", "", "p"}, {"create", "pintle.dev", "pluginmodules", "", "m"}, {"get", "", "secrets", "default", "s"},
				{"create", "rbac.authorization.k8s.io", "clusterroles", "", "r"}}},
		{"LeaderElection", auth.LeaderElection,
			[]can{{"watch", "coordination.k8s.io", "leases", "kube-system", ""}, {"create", "coordination.k8s.io", "leases", "kube-system", ""}, {"update", "coordination.k8s.io", "leases", "kube-system", "pintle-leader"}},
			[]can{{"update", "coordination.k8s.io", "leases", "kube-system", "other"}, {"delete", "coordination.k8s.io", "leases", "kube-system", "pintle-leader"},
				{"update", "coordination.k8s.io", "leases", "kube-node-lease", "n"}, {"get", "", "secrets", "kube-system", "s"}}},
		{"Endpoints", auth.Endpoints,
			[]can{{"list", "coordination.k8s.io", "leases", "kube-system", ""}, {"delete", "coordination.k8s.io", "leases", "kube-system", "apiserver-x"},
				{"update", "discovery.k8s.io", "endpointslices", "default", "kubernetes"}, {"create", "discovery.k8s.io", "endpointslices", "default", ""},
				{"update", "", "endpoints", "default", "kubernetes"}, {"create", "", "endpoints", "default", ""}},
			[]can{{"update", "discovery.k8s.io", "endpointslices", "default", "web"}, {"update", "", "endpoints", "default", "web"}, {"create", "discovery.k8s.io", "endpointslices", "kube-system", ""},
				{"update", "coordination.k8s.io", "leases", "kube-node-lease", "n"}, {"update", "", "services", "default", "kubernetes"}}},
		{"ImageRegistry", auth.ImageRegistry,
			[]can{{"create", "authentication.k8s.io", "tokenreviews", "", ""}, {"create", "authorization.k8s.io", "subjectaccessreviews", "", ""}},
			[]can{{"push", "pintle.dev", "images", "", ""}, {"get", "", "secrets", "kube-system", "s"}, {"create", "", "serviceaccounts/token", "kube-system", "image-pusher"}}},
		{"RoleAggregator", auth.RoleAggregator,
			[]can{{"watch", "rbac.authorization.k8s.io", "clusterroles", "", ""}, {"update", "rbac.authorization.k8s.io", "clusterroles", "", "r"}, {"escalate", "rbac.authorization.k8s.io", "clusterroles", "", "r"}},
			[]can{{"create", "rbac.authorization.k8s.io", "clusterroles", "", "r"}, {"bind", "rbac.authorization.k8s.io", "clusterroles", "", "r"}, {"update", "rbac.authorization.k8s.io", "clusterrolebindings", "", "r"}}},
		{"CertificateController", auth.CertificateController,
			[]can{{"watch", "certificates.k8s.io", "certificatesigningrequests", "", ""}, {"delete", "certificates.k8s.io", "certificatesigningrequests", "", "r"},
				{"update", "certificates.k8s.io", "certificatesigningrequests/approval", "", "r"}, {"update", "certificates.k8s.io", "certificatesigningrequests/status", "", "r"},
				{"approve", "certificates.k8s.io", "signers", "", "kubernetes.io/kube-apiserver-client-kubelet"}, {"approve", "certificates.k8s.io", "signers", "", "kubernetes.io/kubelet-serving"},
				{"sign", "certificates.k8s.io", "signers", "", "kubernetes.io/kube-apiserver-client"}, {"get", "", "nodes", "", "n"}, {"get", "networking.k8s.io", "ipaddresses", "", "10.0.0.1"}},
			[]can{{"approve", "certificates.k8s.io", "signers", "", "kubernetes.io/kube-apiserver-client"}, {"sign", "certificates.k8s.io", "signers", "", "example.com/own"},
				{"get", "", "secrets", "kube-system", "bootstrap-token-abcdef"}, {"update", "", "nodes", "", "n"}, {"create", "certificates.k8s.io", "certificatesigningrequests", "", "r"}}},
		{"PolicyStatus", auth.PolicyStatus,
			[]can{{"watch", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", ""}, {"patch", "admissionregistration.k8s.io", "validatingadmissionpolicies/status", "", "p"}},
			[]can{{"update", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", "p"}, {"create", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "", "b"}}},
		{"TokenCleaner", auth.TokenCleaner,
			[]can{{"list", "", "secrets", "kube-system", ""}, {"delete", "", "secrets", "kube-system", "s"}, {"update", "", "secrets", "kube-system", "s"}},
			[]can{{"list", "", "secrets", "default", ""}, {"list", "", "secrets", "", ""}, {"create", "", "secrets", "kube-system", "s"}}},
	} {
		delete(missing, x.name)
		if slices.Contains(x.who.GetGroups(), user.SystemPrivilegedGroup) {
			t.Errorf("%s may do everything", x.who.GetName())
		}
		check := func(q can, want authorizer.Decision) {
			res, sub, _ := strings.Cut(q.resource, "/")
			got, _, err := c.Authorizer.Authorize(t.Context(), authorizer.AttributesRecord{User: x.who, Verb: q.verb, APIGroup: q.group, APIVersion: "v1",
				Resource: res, Subresource: sub, Namespace: q.namespace, Name: q.name, ResourceRequest: true})
			if err != nil || got != want {
				t.Errorf("%s: %+v: decision %d, want %d (%v)", x.who.GetName(), q, got, want, err)
			}
		}
		for _, q := range x.allowed {
			check(q, authorizer.DecisionAllow)
		}
		for _, q := range x.refused {
			check(q, authorizer.DecisionNoOpinion)
		}
	}
	for name := range missing {
		t.Errorf("nothing is checked about auth.%s", name)
	}
}

// components are the identities that components.go declares, by name.
func components(t *testing.T) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "components.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, d := range f.Decls {
		vars, ok := d.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		for _, v := range vars.Specs {
			for _, name := range v.(*ast.ValueSpec).Names {
				out[name.Name] = true
			}
		}
	}
	if !out["APIServer"] {
		t.Fatalf("components.go declares %v", out)
	}
	return out
}

// The aggregator fills in roles whose rules it does not hold: by its role, and not
// because nobody asks.
func TestAggregatorMayEscalate(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{Follows: true}) // no aggregator but this one
	res := rbacv1.SchemeGroupVersion.WithResource("clusterroles")
	for _, r := range []*rbacv1.ClusterRole{
		{ObjectMeta: metav1.ObjectMeta{Name: "sum"}, AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"to": "sum"}}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "part", Labels: map[string]string{"to": "sum"}}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}}}},
	} {
		create(t, c.Registry, res, r)
	}
	for who, want := range map[user.Info]bool{auth.Scheduler: false, auth.RoleAggregator: true} {
		agg := rbac.Aggregator{Registry: c.Access().As(who)}
		if err := agg.Sync(t.Context()); (err == nil) != want {
			t.Errorf("%s: %v", who.GetName(), err)
		}
	}
	o, err := c.Registry.Get(t.Context(), registry.Target{Resource: res, Name: "sum"}, metav1.GetOptions{})
	if err != nil || len(o.Obj.(*rbacv1.ClusterRole).Rules) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

func create(t *testing.T, reg registry.Registry, res schema.GroupVersionResource, o runtime.Object) {
	t.Helper()
	if _, err := reg.Create(t.Context(), registry.Target{Resource: res}, o, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

package hostile_test

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// person is a user with some cluster-wide rights.
func (s *server) person(t *testing.T, name string, rights ...rbacv1.PolicyRule) user.Info {
	t.Helper()
	s.create(t, rbacv1.SchemeGroupVersion.WithResource("clusterroles"), "", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rights})
	s.create(t, rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"), "", &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}}})
	return &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}
}

func onPlugins(verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"plugins", "pluginmodules"}, Verbs: verbs}
}

// TestAuthor: who may make Plugins gives them no permissions that he does not
// hold, takes over no permissions that a Plugin has, and runs nothing as a
// process without the verb for it.
func TestAuthor(t *testing.T) {
	s := start(t)
	reads := rules("get,list,watch:configmaps")[0]
	authors := onPlugins("get", "list", "watch", "create", "update", "patch", "delete")
	people := map[string]user.Info{
		"author":    s.person(t, "author", authors, reads),
		"escalator": s.person(t, "escalator", authors, onPlugins("escalate")),
		"operator":  s.person(t, "operator", authors, onPlugins("use-process-host")),
		"admin":     admin,
	}
	const held = "is attempting to grant RBAC permissions not currently held"
	const process = `that takes the verb "use-process-host" on plugins.pintle.dev`
	digest := v1alpha1.DigestOf([]byte("nowhere"))
	plain := v1alpha1.PluginSpec{Host: v1alpha1.HostWASM, Digest: digest}
	with := func(host v1alpha1.HostKind, permissions ...string) v1alpha1.PluginSpec {
		p := plain
		p.Host, p.Permissions = host, rules(permissions...)
		return p
	}
	for _, x := range []struct {
		who  string
		spec v1alpha1.PluginSpec
		says string // "" passes
	}{
		{"author", plain, ""},
		{"author", with(v1alpha1.HostWASM, "get,list:configmaps"), ""},
		{"author", with(v1alpha1.HostWASM, "get:secrets"), held},
		{"author", with(v1alpha1.HostWASM, "*:*"), held},
		{"author", with(v1alpha1.HostProcess), process},
		{"author", with(v1alpha1.HostNative, "get:secrets"), held},
		{"escalator", with(v1alpha1.HostWASM, "get:secrets"), ""},
		{"escalator", with(v1alpha1.HostProcess), process},
		{"operator", with(v1alpha1.HostProcess), ""},
		{"operator", with(v1alpha1.HostProcess, "get:secrets"), held},
		{"admin", with(v1alpha1.HostProcess, "*:*"), ""},
	} {
		name := fmt.Sprintf("made-%d", number.Add(1))
		_, err := s.as(people[x.who]).Create(s.ctx, target(v1alpha1.Plugins, "", name), &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: x.spec}, noOptions)
		checkAuthor(t, fmt.Sprintf("%s creates %s %v", x.who, x.spec.Host, x.spec.Permissions), err, x.says)
	}

	// A Plugin of somebody who holds more.
	s.load(t, "strong", with(v1alpha1.HostWASM, "get:secrets"))
	s.load(t, "beside", with(v1alpha1.HostProcess))
	for what, x := range map[string]struct {
		name   string
		change func(*v1alpha1.PluginSpec)
		says   string
	}{
		"other code":             {"strong", func(p *v1alpha1.PluginSpec) { p.Digest = v1alpha1.DigestOf([]byte("mine")) }, held},
		"another member":         {"strong", func(p *v1alpha1.PluginSpec) { p.Plugin = "mine" }, held},
		"another config":         {"strong", func(p *v1alpha1.PluginSpec) { p.Config = &runtime.RawExtension{Raw: []byte(`{"to":"me"}`)} }, held},
		"fewer permissions":      {"strong", func(p *v1alpha1.PluginSpec) { p.Permissions = nil }, ""},
		"more permissions":       {"strong", func(p *v1alpha1.PluginSpec) { p.Permissions = append(p.Permissions, rules("list:secrets")...) }, held},
		"other code, a process":  {"beside", func(p *v1alpha1.PluginSpec) { p.Digest = v1alpha1.DigestOf([]byte("mine")) }, process},
		"a process":              {"strong", func(p *v1alpha1.PluginSpec) { p.Host, p.Permissions = v1alpha1.HostProcess, nil }, process},
		"its weight":             {"strong", func(p *v1alpha1.PluginSpec) { w := int64(3); p.Weight = &w }, ""},
		"the order of a process": {"beside", func(p *v1alpha1.PluginSpec) { p.Order = 7 }, ""},
	} {
		o := s.plugin(t, x.name).DeepCopy()
		o.ResourceVersion = ""
		x.change(&o.Spec)
		opts := noOptions
		opts.DryRun = true // so that each begins with the same
		_, err := s.as(people["author"]).Update(s.ctx, target(v1alpha1.Plugins, "", x.name), o, opts)
		checkAuthor(t, "author changes "+what, err, x.says)
	}
}

// TestNamesOfOwnRules: a Plugin that is called as one of the server's own rules
// of admission does not take its place, whether it is a policy or not.
func TestNamesOfOwnRules(t *testing.T) {
	s := start(t)
	roles := rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, Verbs: []string{"create"}}
	author := s.person(t, "author", onPlugins("get", "create", "delete"), roles)
	for what, spec := range map[string]v1alpha1.PluginSpec{
		"a policy":    s.hostilePlugin(t, v1alpha1.HostWASM, "validate", "nothing"),
		"a scheduler": s.hostilePlugin(t, v1alpha1.HostWASM, "filter", "nothing"),
	} {
		spec.Permissions = nil
		for _, name := range []string{"rbac-escalation", "plugin-author"} {
			p := &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
			if _, err := s.as(author).Create(s.ctx, target(v1alpha1.Plugins, "", name), p, noOptions); err != nil {
				t.Fatal(err)
			}
			s.phase(t, name, v1alpha1.Ready)
		}
		resource := rbacv1.SchemeGroupVersion.WithResource("clusterroles")
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("all-%d", number.Add(1))}, Rules: rules("*:*")}
		_, err := s.as(author).Create(s.ctx, target(resource, "", role.Name), role, noOptions)
		checkAuthor(t, "a role with all rights beside "+what, err, "is attempting to grant RBAC permissions not currently held")
		strong := &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("strong-%d", number.Add(1))}, Spec: spec}
		strong.Spec.Permissions = rules("get:secrets")
		_, err = s.as(author).Create(s.ctx, target(v1alpha1.Plugins, "", strong.Name), strong, noOptions)
		checkAuthor(t, "a Plugin with permissions beside "+what, err, "is attempting to grant RBAC permissions not currently held")
		s.remove(t, "rbac-escalation")
		s.remove(t, "plugin-author")
	}
}

func checkAuthor(t *testing.T, what string, err error, says string) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want a refusal that says %q", what, err, says)
	}
}

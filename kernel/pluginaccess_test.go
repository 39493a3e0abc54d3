package kernel

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestPluginUsers: only the code that ships acts under upstream's names.
func TestPluginUsers(t *testing.T) {
	a := pluginAccess{builtins: []plugin.Builtin{
		{Name: "garbage-collector", Account: "generic-garbage-collector", Component: "garbage-collector-controller", Spec: v1alpha1.PluginSpec{Plugin: "garbage-collector"}, Module: plugin.Module{Digest: "sha256:ours"}},
		{Name: "replicaset", Account: "replicaset-controller", Spec: v1alpha1.PluginSpec{Plugin: "replicaset", Host: v1alpha1.HostNative}},
		{Name: "scheduling", Spec: v1alpha1.PluginSpec{Plugin: "scheduling"}, Module: plugin.Module{Digest: "sha256:ours"}},
	}}
	for _, x := range []struct {
		name string
		spec v1alpha1.PluginSpec
		want string
	}{
		{"garbage-collector", v1alpha1.PluginSpec{Plugin: "garbage-collector", Digest: "sha256:ours"}, "system:serviceaccount:kube-system:generic-garbage-collector"},
		{"garbage-collector", v1alpha1.PluginSpec{Plugin: "garbage-collector", Digest: "sha256:theirs"}, "system:pintle:plugin:garbage-collector"},
		{"garbage-collector", v1alpha1.PluginSpec{Plugin: "scheduling", Digest: "sha256:ours"}, "system:pintle:plugin:garbage-collector"},
		{"garbage-collector", v1alpha1.PluginSpec{Plugin: "garbage-collector", Host: v1alpha1.HostNative}, "system:pintle:plugin:garbage-collector"},
		{"mine", v1alpha1.PluginSpec{Plugin: "garbage-collector", Digest: "sha256:ours"}, "system:pintle:plugin:mine"},
		{"replicaset", v1alpha1.PluginSpec{Plugin: "replicaset", Host: v1alpha1.HostNative}, "system:serviceaccount:kube-system:replicaset-controller"},
		{"replicaset", v1alpha1.PluginSpec{Plugin: "replicaset"}, "system:pintle:plugin:replicaset"},
		{"scheduling", v1alpha1.PluginSpec{Plugin: "scheduling", Digest: "sha256:ours"}, "system:pintle:plugin:scheduling"},
	} {
		u := a.user(x.name, &x.spec)
		if u.GetName() != x.want {
			t.Errorf("%s %+v acts as %s, want %s", x.name, x.spec, u.GetName(), x.want)
		}
		if ships := x.want != pluginUser(x.name).GetName(); ships != slices.Contains(u.GetGroups(), "system:serviceaccounts:kube-system") || ships != slices.Equal(u.GetExtra()[auth.PluginName], []string{x.name}) {
			t.Errorf("%s: groups %v, extra %v", u.GetName(), u.GetGroups(), u.GetExtra())
		}
		source := x.name
		if name, ships := strings.CutPrefix(x.want, "system:serviceaccount:kube-system:"); ships {
			source = strings.Replace(name, "generic-garbage-collector", "garbage-collector-controller", 1)
		}
		if got := a.source(x.name, &x.spec); got != source {
			t.Errorf("events of %s %+v come from %s, want %s", x.name, x.spec, got, source)
		}
		if slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
			t.Errorf("%s may do everything", u.GetName())
		}
	}
}

package discovery

import (
	"strings"
	"testing"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/resource"
)

// TestMerge: in which order groups and versions stand, and whose they are.
func TestMerge(t *testing.T) {
	define := func(group, kind string, versions ...string) *resource.Definition {
		plural := strings.ToLower(kind) + "s"
		return &resource.Definition{Group: group, Resource: plural, Kind: kind, ListKind: kind + "List", Versions: versions, StorageVersion: versions[0], KeyPrefix: "/registry/" + group + plural, Verbs: []string{"get"}}
	}
	table := &resource.Table{Scheme: runtime.NewScheme(), GroupOrder: []string{"", "first", "second", "third"},
		Definitions: []*resource.Definition{define("", "Pod", "v1"), define("first", "A", "v1"), define("second", "B", "v1"), define("third", "C", "v2", "v1")}}
	if err := corev1.AddToScheme(table.Scheme); err != nil {
		t.Fatal(err)
	}
	for _, d := range table.Definitions[1:] {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			table.Scheme.AddKnownTypeWithName(gv.WithKind(d.Kind), &corev1.ConfigMap{})
			table.Scheme.AddKnownTypeWithName(gv.WithKind(d.ListKind), &corev1.ConfigMapList{})
		}
	}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	s := endpoint.NewCatalog(resource.NewCatalog(table)).Snapshot()
	reg := func(group, version string, g, v int32, remote bool) Registration {
		r := Registration{GroupVersion: schema.GroupVersion{Group: group, Version: version}, GroupPriority: g, VersionPriority: v}
		if remote {
			r.Remote = &apidiscoveryv2.APIVersionDiscovery{Version: version}
		}
		return r
	}
	local := []Registration{reg("", "v1", 18000, 1, false), reg("first", "v1", 17000, 15, false), reg("third", "v1", 1000, 100, false), reg("third", "v2", 1000, 100, false)}
	for name, c := range map[string]struct {
		more []Registration
		want string
	}{
		"nobody else":       {nil, " v1; first v1; second v1; third v2 v1"},
		"between":           {[]Registration{reg("x", "v1", 1500, 1, true)}, " v1; first v1; second v1; x v1*; third v2 v1"},
		"the last":          {[]Registration{reg("x", "v1", 10, 1, true)}, " v1; first v1; second v1; third v2 v1; x v1*"},
		"equal":             {[]Registration{reg("x", "v1", 1000, 1, true)}, " v1; first v1; second v1; third v2 v1; x v1*"},
		"versions":          {[]Registration{reg("x", "v1", 10, 5, true), reg("x", "v2", 10, 5, true), reg("x", "v1beta1", 10, 9, true)}, " v1; first v1; second v1; third v2 v1; x v1beta1* v2* v1*"},
		"a version of ours": {[]Registration{reg("third", "v3", 1000, 100, true)}, " v1; first v1; second v1; third v3* v2 v1"},
		"one taken over":    {[]Registration{reg("second", "v1", 17000, 1, true)}, " v1; first v1; second v1*; third v2 v1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Registrations{Versions: append(c.more, local...)}
			r.Sort()
			var all []string
			for _, g := range merge(s, r) {
				text := g.name
				for _, v := range g.versions {
					text += " " + v.Version
					if v.remote != nil {
						text += "*"
					}
				}
				all = append(all, text)
			}
			if got := strings.Join(all, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

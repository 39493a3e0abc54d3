package kinds_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

// upstream is the folder of k8s.io/kubernetes, whose published discovery
// documents are the oracle.
func upstream(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// resourceList is upstream's discovery of one group and version.
func resourceList(t testing.TB, dir string, gv schema.GroupVersion) []metav1.APIResource {
	t.Helper()
	name := "apis__" + gv.Group + "__" + gv.Version + ".json"
	if gv.Group == "" {
		name = "api__" + gv.Version + ".json"
	}
	b, err := os.ReadFile(filepath.Join(dir, "api", "discovery", name))
	if err != nil {
		t.Fatal(err)
	}
	var l metav1.APIResourceList
	if err := json.Unmarshal(b, &l); err != nil {
		t.Fatal(err)
	}
	return l.APIResources
}

// notServed says what upstream publishes and this table leaves out, and why.
var notServed = map[string]string{}

// fewerVerbs says which resources serve less than upstream, what they serve
// and why.
var fewerVerbs = map[string]struct {
	verbs []string
	why   string
}{}

// served is a group that upstream has an extension API server for.
const served = "metrics.k8s.io"

func TestDiscoveryIsUpstreams(t *testing.T) {
	dir := upstream(t)
	versions := map[schema.GroupVersion]map[string]metav1.APIResource{}
	for _, d := range kindtest.Table(t).Definitions {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			if versions[gv] == nil {
				versions[gv] = map[string]metav1.APIResource{}
			}
			for name, r := range discovered(d) {
				versions[gv][name] = r
			}
		}
	}
	for gv, ours := range versions {
		if gv.Group == served {
			continue
		}
		theirs := map[string]metav1.APIResource{}
		for _, r := range resourceList(t, dir, gv) {
			if notServed[r.Name] != "" {
				continue
			}
			if fewer, ok := fewerVerbs[schema.GroupResource{Group: gv.Group, Resource: r.Name}.String()]; ok {
				r.Verbs = fewer.verbs
			}
			theirs[r.Name] = r
		}
		if len(theirs) == 0 {
			t.Fatalf("upstream publishes nothing for %s", gv)
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%s (-upstream +ours):\n%s", gv, diff)
		}
	}
}

// discovered are the entries of a definition as upstream writes them.
func discovered(d *resource.Definition) map[string]metav1.APIResource {
	r := metav1.APIResource{
		Name: d.Resource, SingularName: d.Singular, Namespaced: d.Namespaced, Kind: d.Kind,
		Verbs: d.Verbs, ShortNames: d.ShortNames, Categories: d.Categories,
	}
	if !d.Virtual {
		h := d.Hub()
		r.StorageVersionHash = discovery.StorageVersionHash(h.Group, h.Version, h.Kind)
	}
	out := map[string]metav1.APIResource{d.Resource: r}
	for _, s := range d.Subresources {
		e := metav1.APIResource{Name: d.Resource + "/" + s.Name, Namespaced: d.Namespaced, Kind: d.Kind, Verbs: s.Verbs}
		if s.Kind.Kind != "" {
			e.Kind = s.Kind.Kind
			if s.Kind.Group != d.Group {
				e.Group, e.Version = s.Kind.Group, s.Kind.Version
			}
		}
		out[e.Name] = e
	}
	return out
}

func TestEveryDefaultVersionIsServed(t *testing.T) {
	have := map[string]bool{}
	for _, d := range kindtest.Table(t).Definitions {
		for _, v := range d.Versions {
			have[schema.GroupVersion{Group: d.Group, Version: v}.String()] = true
		}
	}
	// Alpha and beta are off by default.
	files, err := filepath.Glob(filepath.Join(upstream(t), "api", "discovery", "apis__*__v*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no discovery documents: %v", err)
	}
	for _, f := range files {
		group, version, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "apis__"), ".json"), "__")
		gv := group + "/" + version
		if strings.Contains(version, "alpha") || strings.Contains(version, "beta") {
			continue
		}
		if !have[gv] {
			t.Errorf("%s is on by default upstream and not served", gv)
		}
	}
}

func TestGroupsAreInUpstreamsOrder(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(upstream(t), "api", "discovery", "apis.json"))
	if err != nil {
		t.Fatal(err)
	}
	var l metav1.APIGroupList
	if err := json.Unmarshal(b, &l); err != nil {
		t.Fatal(err)
	}
	got := kindtest.Table(t).Groups()
	want := []string{""}
	got = slices.DeleteFunc(got, func(g string) bool { return g == served })
	for _, g := range l.Groups {
		if slices.Contains(got, g.Name) {
			want = append(want, g.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-upstream +ours):\n%s", diff)
	}
}

// A resource that serves less than upstream tells clients why.
func TestFewerVerbsAreExplained(t *testing.T) {
	for _, d := range kindtest.Table(t).Definitions {
		_, fewer := fewerVerbs[d.GroupResource().String()]
		if fewer != (d.Unserved != "") {
			t.Errorf("%s: fewer verbs than upstream: %v, explanation %q", d.GroupResource(), fewer, d.Unserved)
		}
	}
}

// The prefixes were read in pkg/kubeapiserver/default_storage_factory_builder.go:
// the resource's name except for these.
func TestKeyPrefixes(t *testing.T) {
	special := map[string]string{
		"nodes":                       "/registry/minions",
		"services":                    "/registry/services/specs",
		"endpoints":                   "/registry/services/endpoints",
		"replicationcontrollers":      "/registry/controllers",
		"ingresses.networking.k8s.io": "/registry/ingress",
		"rangeallocations":            "/registry/ranges",
		// apiextensions-apiserver has a store of its own that keeps the group.
		"customresourcedefinitions.apiextensions.k8s.io": "/registry/apiextensions.k8s.io/customresourcedefinitions",
		"apiservices.apiregistration.k8s.io":             "/registry/apiregistration.k8s.io/apiservices", // as kube-aggregator
	}
	seen := map[string]string{}
	for _, d := range kindtest.Table(t).Definitions {
		gr := d.GroupResource().String()
		want := "/registry/" + d.Resource
		if special[gr] != "" {
			want = special[gr]
		}
		if d.Virtual {
			want = ""
		}
		if d.KeyPrefix != want {
			t.Errorf("%s is stored below %q, want %q", gr, d.KeyPrefix, want)
		}
		if other := seen[d.KeyPrefix]; want != "" && other != "" && d.StoredAs == nil {
			t.Errorf("%s and %s share %s", gr, other, want)
		}
		seen[d.KeyPrefix] = gr
	}
	if got, want := resource.Key(kindtest.Definition(t, "leases.coordination.k8s.io"), "kube-node-lease", "n1"), "/registry/leases/kube-node-lease/n1"; got != want {
		t.Errorf("lease key %q, want %q", got, want)
	}
}

func TestFieldLabelsAreUpstreams(t *testing.T) {
	tab := kindtest.Table(t)
	for _, d := range tab.Definitions {
		for _, v := range d.Versions {
			gvk := schema.GroupVersionKind{Group: d.Group, Version: v, Kind: d.Kind}
			for _, label := range d.Strategy.FieldLabels {
				if _, _, err := tab.Scheme.ConvertFieldLabel(gvk, label, ""); err != nil {
					t.Errorf("%s: upstream refuses %q: %v", gvk, label, err)
				}
			}
		}
	}
	// And a few that upstream accepts must be there.
	for name, labels := range map[string][]string{
		"pods":     {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"},
		"events":   {"involvedObject.kind", "involvedObject.uid", "reason", "reportingComponent", "source", "type"},
		"nodes":    {"spec.unschedulable"},
		"secrets":  {"type"},
		"services": {"spec.clusterIP", "spec.type"},
		"certificatesigningrequests.certificates.k8s.io": {"spec.signerName"},
		"jobs.batch":             {"status.successful"},
		"namespaces":             {"status.phase"},
		"replicationcontrollers": {"status.replicas"},
	} {
		for _, l := range labels {
			if !slices.Contains(kindtest.Definition(t, name).Strategy.FieldLabels, l) {
				t.Errorf("%s: field label %q is missing", name, l)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]kinds.Options{
		"not a network":    {ServiceCIDRs: kindtest.Prefixes("10.96.0.1/16")},
		"too small":        {ServiceCIDRs: kindtest.Prefixes("10.96.0.0/31")},
		"same family":      {ServiceCIDRs: kindtest.Prefixes("10.96.0.0/16", "10.97.0.0/16")},
		"ports out of 16b": {NodePorts: kindtest.Ports(65000, 1000)},
	} {
		if _, err := kinds.Table(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Gadget is a kind of an extension: it has no protobuf form and no internal
// version.
type Gadget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              GadgetSpec `json:"spec"`
}

// GadgetSpec is a Gadget's spec.
type GadgetSpec struct {
	Size int64 `json:"size"`
}

// DeepCopyObject implements runtime.Object.
func (g *Gadget) DeepCopyObject() runtime.Object {
	c := *g
	c.ObjectMeta = *g.ObjectMeta.DeepCopy()
	return &c
}

func addGadgets(tab *resource.Table) error {
	gv := schema.GroupVersion{Group: "shop.example", Version: "v1"}
	tab.Scheme.AddKnownTypeWithName(gv.WithKind("Gadget"), &Gadget{})
	tab.Definitions = append(tab.Definitions, &resource.Definition{Group: gv.Group, Resource: "gadgets", Singular: "gadget", Kind: "Gadget", JSONStored: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/shop.example/gadgets", Verbs: []string{"get"}})
	return nil
}

func TestExtension(t *testing.T) {
	tab, err := kinds.Table(kinds.Options{}, addGadgets)
	if err != nil {
		t.Fatal(err)
	}
	d := tab.Lookup(schema.GroupResource{Group: "shop.example", Resource: "gadgets"})
	if d == nil {
		t.Fatal("the extension's resource is not in the table")
	}
	c := resource.NewCodec(resource.NewCatalog(tab))
	value, err := c.EncodeStorage(d, &Gadget{ObjectMeta: metav1.ObjectMeta{Name: "g"}, Spec: GadgetSpec{Size: 3}})
	if want := `{"kind":"Gadget","apiVersion":"shop.example/v1","metadata":{"name":"g"},"spec":{"size":3}}`; err != nil || string(value) != want {
		t.Fatalf("stored as %s, %v; want %s", value, err, want)
	}
	obj, err := c.Decode(d, value, 4)
	if err != nil {
		t.Fatal(err)
	}
	cols, err := tab.Columns(obj, metav1.TableOptions{})
	if err != nil || len(cols.Rows) != 1 || cols.Rows[0].Cells[0] != "g" || cols.ColumnDefinitions[1].Name != "Created At" {
		t.Errorf("columns %+v, %v", cols, err)
	}
	typed, err := tab.TypeConverter.ObjectToTyped(obj)
	if err != nil {
		t.Fatal(err)
	}
	if fields, err := typed.ToFieldSet(); err != nil || !fields.Has(fieldpath.MakePathOrDie("spec", "size")) {
		t.Errorf("server-side apply sees %v, %v", fields, err)
	}
	if groups := tab.Groups(); groups[len(groups)-1] != "shop.example" {
		t.Errorf("groups %q, want the extension's last", groups)
	}
	if _, err := kinds.Table(kinds.Options{}, func(*resource.Table) error { return fmt.Errorf("no") }); err == nil {
		t.Error("the error of an extension was lost")
	}
}

func TestOpenAPIDescribesEveryKind(t *testing.T) {
	tab := kindtest.Table(t)
	defs := tab.OpenAPI(func(string) spec.Ref { return spec.Ref{} })
	for _, d := range tab.Definitions {
		for _, v := range d.Versions {
			obj, err := tab.Scheme.New(schema.GroupVersionKind{Group: d.Group, Version: v, Kind: d.Kind})
			if err != nil {
				t.Fatal(err)
			}
			typ := reflect.TypeOf(obj).Elem()
			found := false
			for name := range defs {
				// Names are Go paths, or the API's own with dots.
				if strings.HasSuffix(name, "."+typ.Name()) && strings.Contains(strings.ReplaceAll(name, "/", "."), "."+v+"."+typ.Name()) {
					found = true
					break
				}
			}
			if !found {
				t.Errorf("no schema of %s in %s", typ, v)
			}
		}
	}
}

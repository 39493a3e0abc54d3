package kerneltest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// looseTypes are the objects of the kinds of a producer: unstructured, whatever
// their fields.
type looseTypes struct{ resource.Types }

func (looseTypes) New(gvk schema.GroupVersionKind) (kruntime.Object, error) {
	if strings.HasSuffix(gvk.Kind, "List") {
		l := &unstructured.UnstructuredList{Object: map[string]any{}}
		l.SetGroupVersionKind(gvk)
		return l, nil
	}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

func (looseTypes) Recognizes(gvk schema.GroupVersionKind) bool {
	return strings.HasSuffix(gvk.Group, ".many.example")
}

func (looseTypes) ObjectKinds(obj kruntime.Object) ([]schema.GroupVersionKind, bool, error) {
	return []schema.GroupVersionKind{obj.GetObjectKind().GroupVersionKind()}, false, nil
}

func (looseTypes) Default(kruntime.Object) {}

func (looseTypes) ConvertToVersion(obj kruntime.Object, _ kruntime.GroupVersioner) (kruntime.Object, error) {
	return obj, nil
}

// definition is the i-th of a producer, ten to a group, with a schema of some
// 20 KB.
func definition(i int) *resource.Definition {
	group := fmt.Sprintf("g%d.many.example", i/10)
	return &resource.Definition{
		Group: group, Resource: fmt.Sprintf("things%d", i), Singular: fmt.Sprintf("thing%d", i), Kind: fmt.Sprintf("Thing%d", i), ListKind: fmt.Sprintf("Thing%dList", i), Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: fmt.Sprintf("/registry/%s/things%d", group, i), JSONStored: true,
		Verbs: []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
		Types: looseTypes{}, SchemaID: fmt.Sprint(i),
		Schema: func(string, bool) *spec.Schema {
			fields := map[string]spec.Schema{}
			for f := range 150 {
				s := *spec.StringProperty()
				s.Description = strings.Repeat("What this field is for. ", 4)
				fields[fmt.Sprintf("field%d", f)] = s
			}
			return &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{
				"spec": {SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: fields}}}}}
		},
	}
}

// usage is what the process has taken of the CPU, and keeps of memory.
type usage struct {
	cpu  time.Duration
	heap float64 // MiB
}

func used(t *testing.T) usage {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{cpu, float64(m.HeapAlloc+m.StackInuse) / (1 << 20)}
}

// TestManyDefinitions: a producer brings definitions one by one, as many
// CustomResourceDefinitions would; all of them are served, to clients and to a
// plugin that follows every resource. PINTLE_DEFINITIONS=5000 makes it as many,
// and -v tells what each step took.
func TestManyDefinitions(t *testing.T) {
	n := 200
	if v := os.Getenv("PINTLE_DEFINITIONS"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table, Config: func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
	}})
	client := s.HTTP()
	client.Timeout = 5 * time.Minute // the document of everything, on a busy machine
	get := func(path, accept string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
		return string(b)
	}
	step := func(what string, f func()) {
		t.Helper()
		before, routines := used(t), runtime.NumGoroutine()
		f()
		after := used(t)
		t.Logf("%-44s %8.1f ms of CPU, %+7.2f MiB, %+d goroutines", what, float64((after.cpu-before.cpu).Microseconds())/1e3, after.heap-before.heap, runtime.NumGoroutine()-routines)
	}
	count := func(text, of string, want int) {
		t.Helper()
		if got := strings.Count(text, of); got != want {
			t.Errorf("%d times %q, want %d", got, of, want)
		}
	}
	const aggregated, json = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "application/json"
	groups := func(kinds int) int { return (kinds + 9) / 10 }
	documents := func(kinds int) {
		step("aggregated discovery", func() { count(get("/apis", aggregated), `"resource":"things`, kinds) })
		step("index of OpenAPI v3", func() { count(get("/openapi/v3", json), `.many.example/v1":`, groups(kinds)) })
		step("OpenAPI v2", func() { count(get("/openapi/v2", json), `List":{"description":"Thing`, kinds) })
	}
	producer := s.Catalog().Producer("many")
	step("built-in kinds: OpenAPI v2", func() { get("/openapi/v2", json) })
	step(fmt.Sprintf("%d definitions, one by one", n), func() {
		for i := range n {
			if err := producer.Apply([]*resource.Definition{definition(i)}); err != nil {
				t.Fatal(err)
			}
		}
	})
	documents(n)
	step("one more", func() {
		if err := producer.Apply([]*resource.Definition{definition(n)}); err != nil {
			t.Fatal(err)
		}
	})
	documents(n + 1)
	step("its document", func() {
		count(get("/openapi/v3/apis/"+definition(n).Group+"/v1", json), `"field149":`, n%10+1)
	})
	step("all are listed", func() {
		for i := range n {
			d := definition(i)
			if _, err := s.Registry.List(t.Context(), registry.Target{Resource: d.GroupResource().WithVersion("v1")}, metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	})
	step("a plugin follows all", func() {
		load(t, s, "onlooker", v1alpha1.Enforce)
		eventually(t, "every resource is followed", func() bool {
			followed := 0
			for line := range strings.Lines(get("/metrics", "*/*")) {
				if strings.HasPrefix(line, "pintle_informer_revision{") && strings.Contains(line, `.many.example",informer="onlooker"`) && !strings.HasSuffix(line, " 0\n") {
					followed++
				}
			}
			return followed == n+1
		})
	})
	step("all go", func() {
		var all []schema.GroupResource
		for i := range n + 1 {
			all = append(all, definition(i).GroupResource())
		}
		if err := producer.Apply(nil, all...); err != nil {
			t.Fatal(err)
		}
		count(get("/apis", aggregated), `"resource":"things`, 0)
	})
}

package custom_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/custom"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// sized is a definition as operators have them, ten to a group: 150 fields, each
// with a description, 28 KB as JSON, and a rule.
func sized(i int) *apiextensionsv1.CustomResourceDefinition {
	fields := map[string]apiextensionsv1.JSONSchemaProps{}
	for f := range 30 {
		part := map[string]apiextensionsv1.JSONSchemaProps{}
		for g := range 4 {
			part[fmt.Sprintf("part%d", g)] = apiextensionsv1.JSONSchemaProps{Type: "string", Description: strings.Repeat("What this part of the field is for. ", 4)}
		}
		fields[fmt.Sprintf("field%d", f)] = apiextensionsv1.JSONSchemaProps{Type: "object", Description: strings.Repeat("What this field is for. ", 6), Properties: part}
	}
	fields["replicas"] = apiextensionsv1.JSONSchemaProps{Type: "integer"}
	spec := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: fields,
		XValidations: apiextensionsv1.ValidationRules{{Rule: "!has(self.replicas) || self.replicas > 0"}}}
	group, plural := fmt.Sprintf("g%d.many.example", i/10), fmt.Sprintf("things%d", i)
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: fmt.Sprintf("thing%d", i), Kind: fmt.Sprintf("Thing%d", i), ListKind: fmt.Sprintf("Thing%dList", i)},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true, Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
					"spec": spec, "status": {Type: "object"}}}}}}}}
}

// usage is what the process has taken of the CPU, and keeps of memory.
type usage struct {
	cpu  time.Duration
	heap int
	at   time.Time
}

func used(t *testing.T) usage {
	t.Helper()
	var r syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()), int(m.HeapAlloc + m.StackInuse), time.Now()}
}

// maxIdleCost bounds what a definition may keep in memory until somebody uses it.
const maxIdleCost = 100 << 10

// TestCost: many definitions come, are served, and cost little as long as nobody
// uses them. PINTLE_DEFINITIONS=5000 makes it as many, and -v tells what each step
// took.
func TestCost(t *testing.T) {
	n := 200
	if v := os.Getenv("PINTLE_DEFINITIONS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		must(t, err)
	}
	shared, dir := memory.New(), t.TempDir()
	s := start(t, func(o *kerneltest.Options) { o.Store, o.Dir = shared, dir })
	begun := used(t)
	var items []registry.BatchItem
	for i := range n {
		items = append(items, registry.BatchItem{Verb: "create", Target: registry.Target{Resource: custom.Definitions}, Object: sized(i)})
	}
	for part := range slices.Chunk(items, 20) {
		results, err := s.Registry.Batch(t.Context(), part, false)
		must(t, err)
		for _, r := range results {
			must(t, r.Err)
		}
	}
	registrytest.Eventually(t, "all are served", func() bool { return served(s, n) == n })
	loaded := used(t)
	t.Logf("%d definitions: served after %.1f s, %.1f s of CPU", n, loaded.at.Sub(begun.at).Seconds(), (loaded.cpu - begun.cpu).Seconds())

	// What a server keeps of them, beside what every server keeps, and without the
	// store, which is in memory here.
	start(t)
	before := used(t)
	own := before.heap - loaded.heap
	s = start(t, func(o *kerneltest.Options) {
		o.Store, o.Dir = shared, t.TempDir()
		must(t, os.CopyFS(filepath.Join(o.Dir, "pki"), os.DirFS(filepath.Join(dir, "pki"))))
	})
	registrytest.Eventually(t, "all are served by another server", func() bool { return served(s, n) == n })
	after := used(t)
	each := (after.heap - before.heap - own) / n
	t.Logf("a server keeps %d KiB of each (%d KiB without any), and served them after %.1f s", each>>10, own>>10, after.at.Sub(before.at).Seconds())
	if each > maxIdleCost {
		t.Errorf("a definition that nobody uses costs %d bytes, more than %d", each, maxIdleCost)
	}
	crd := sized(0)
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": crd.Spec.Group + "/v1", "kind": "Thing0", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"replicas": int64(0)}}}
	if _, err := s.of(crd, "v1", "default").Create(t.Context(), u, metav1.CreateOptions{}); err == nil {
		t.Error("a rule does not hold")
	}
	first := used(t)
	t.Logf("the first one in use: %d KiB", (first.heap-after.heap)>>10)
}

// served counts the kinds of the first n definitions that the catalog has.
func served(s *server, n int) (count int) {
	for i := range n {
		if s.Catalog().Lookup(schema.GroupResource{Group: fmt.Sprintf("g%d.many.example", i/10), Resource: fmt.Sprintf("things%d", i)}) != nil {
			count++
		}
	}
	return count
}

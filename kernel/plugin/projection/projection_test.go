package projection_test

import (
	"encoding/json"
	"math"
	"math/rand"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzz "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// subset is what a guest might declare, over every kind of Go type that the
// API uses; subsetText its declaration.
type subset struct {
	APIVersion string `json:"apiVersion"`
	Metadata   struct {
		Name              string            `json:"name"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp *string           `json:"deletionTimestamp"`
		OwnerReferences   []struct {
			UID        string `json:"uid"`
			Controller *bool  `json:"controller"`
		} `json:"ownerReferences"`
		Finalizers []string `json:"finalizers"`
	} `json:"metadata"`
	Spec struct {
		NodeName    string  `json:"nodeName"`
		Priority    *int32  `json:"priority"`
		HostNetwork bool    `json:"hostNetwork"`
		Grace       *int64  `json:"terminationGracePeriodSeconds"`
		OS          *os     `json:"os"`
		Tolerations []any   `json:"tolerations"`
		Containers  []small `json:"containers"`
	} `json:"spec"`
	Status any `json:"status"`
}

type os struct {
	Name string `json:"name"`
}

type small struct {
	Name      string         `json:"name"`
	Command   []string       `json:"command"`
	Resources map[string]any `json:"resources"`
	Ports     []struct {
		Port int32 `json:"containerPort"`
	} `json:"ports"`
	Probe *struct {
		Get *struct {
			Port any `json:"port"`
		} `json:"httpGet"`
	} `json:"livenessProbe"`
}

const subsetText = "apiVersion,metadata(name,labels,deletionTimestamp,ownerReferences(uid,controller),finalizers)," +
	"spec(nodeName,priority,hostNetwork,terminationGracePeriodSeconds,os(name),tolerations," +
	"containers(name,command,resources,ports(containerPort),livenessProbe(httpGet(port)))),status"

// TestFields: a guest that decodes the fields that its type declares has what it
// would have had from the whole object's JSON; from a type and from a tree.
func TestFields(t *testing.T) {
	declared := record.FieldsOf(reflect.TypeFor[subset]())
	if got := declared.String(); got != subsetText {
		t.Fatalf("the guest asks for %s", got)
	}
	for seed := range int64(100) {
		pod := &corev1.Pod{}
		fill(seed, pod)
		pod.APIVersion = "v1"
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		want := &subset{}
		if err := json.Unmarshal(text, want); err != nil {
			t.Fatal(err)
		}
		sizes := map[string]int{}
		for _, fields := range []string{subsetText, ""} {
			for name, obj := range map[string]any{"typed": pod, "unstructured": &unstructured.Unstructured{Object: content}} {
				got := &subset{}
				b := written(t, fields, obj)
				if err := record.Decode(b, got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s, fields %q, seed %d: -JSON +record\n%s", name, fields, seed, diff)
				}
				sizes[fields] = len(b)
			}
		}
		if sizes[subsetText] > sizes[""] {
			t.Errorf("seed %d: %v bytes", seed, sizes)
		}
	}
}

// TestWhole: the record of all of an object says what its JSON says, for every
// kind that the API has.
func TestWhole(t *testing.T) {
	kinds := 0
	for gvk := range clientscheme.Scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal || gvk.Group == "" && gvk.Kind == "List" {
			continue
		}
		obj, err := clientscheme.Scheme.New(gvk)
		if err != nil {
			t.Fatal(err)
		}
		if _, object := obj.(metav1.Object); !object {
			continue
		}
		kinds++
		for seed := range int64(2) {
			if obj, err = clientscheme.Scheme.New(gvk); err != nil {
				t.Fatal(err)
			}
			fill(seed, obj)
			same(t, gvk, obj)
		}
	}
	if kinds < 50 {
		t.Errorf("%d kinds were looked at", kinds)
	}
}

func same(t *testing.T, gvk schema.GroupVersionKind, obj runtime.Object) {
	t.Helper()
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	v, err := record.Parse(written(t, "", obj), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	var want, have any
	if json.Unmarshal(text, &want) != nil || json.Unmarshal(got, &have) != nil {
		t.Fatalf("%s: %s became %s", gvk, text, got)
	}
	if diff := cmp.Diff(withoutManagedFields(want), have); diff != "" {
		t.Fatalf("%s: -JSON +record\n%s", gvk, diff)
	}
}

// withoutManagedFields leaves them out of templates too.
func withoutManagedFields(v any) any {
	switch x := v.(type) {
	case map[string]any:
		delete(x, "managedFields")
		for _, e := range x {
			withoutManagedFields(e)
		}
	case []any:
		for _, e := range x {
			withoutManagedFields(e)
		}
	}
	return v
}

func fill(seed int64, obj any) {
	fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzz.Funcs), rand.NewSource(seed), serializer.NewCodecFactory(clientscheme.Scheme)).Fill(obj)
}

func written(t testing.TB, fields string, obj any) []byte {
	t.Helper()
	p, err := projection.Of(fields)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Append(nil, obj)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestForms: what has a form of its own is as its JSON has it.
func TestForms(t *testing.T) {
	huge := resource.MustParse("9223372036854775807")
	huge.Add(huge)
	for _, v := range []any{
		&metav1.Time{}, &metav1.Time{Time: time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("x", 3600))},
		&metav1.MicroTime{}, &metav1.MicroTime{Time: time.Date(2026, 2, 3, 4, 5, 6, 7000, time.FixedZone("x", 3600))},
		&metav1.Duration{Duration: 90 * time.Second},
		new(intstr.FromString("http")), new(intstr.FromInt32(-80)), new(intstr.FromInt32(math.MaxInt32)),
		&resource.Quantity{}, &huge, new(resource.MustParse("1.5Gi")), new(resource.MustParse("-1e3")), new(resource.MustParse("100m")), new(resource.MustParse("0.0001")),
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := record.Parse(written(t, "", v), nil)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := got.AppendJSON(nil); err != nil || string(have) != string(text) {
			t.Errorf("%s became %s, %v", text, have, err)
		}
	}
}

// TestConcurrent: objects are shared; writing them must not change them. The
// race detector watches.
func TestConcurrent(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("1.5Gi")}}}}}}
	p, err := projection.Of("spec(containers(resources)),metadata(labels(a))")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 4 {
		go func() {
			_, err := p.Append(nil, pod)
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestOwnMaps: entries of a map can be declared, whatever the map holds.
func TestOwnMaps(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/name": "web", "b": "c"}},
		Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("2")}}}
	f, err := record.ParseFields("metadata(labels(app.kubernetes.io/name,zz)),spec(overhead(memory),nodeSelector(x))")
	if err != nil {
		t.Fatal(err)
	}
	v, err := record.Parse(written(t, f.String(), pod), f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.AppendJSON(nil)
	if want := `{"metadata":{"labels":{"app.kubernetes.io/name":"web"}},"spec":{"overhead":{"memory":"2"}}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// FuzzOf: whatever a guest declares, the answer is an error or an object.
func FuzzOf(f *testing.F) {
	for _, s := range []string{subsetText, "a(b(c)),d", "a,,b", "metadata(\"x\")", "spec(containers(name(x)))", "status\x00", "metadata(labels(a,b),creationTimestamp(x))"} {
		f.Add(s)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {}}}}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		f.Fatal(err)
	}
	content["status\x00"], content[`"x"`] = []any{"a", map[string]any{}}, nil
	f.Fuzz(func(t *testing.T, text string) {
		p, err := projection.Of(text)
		if err != nil {
			return
		}
		for _, obj := range []any{pod, &unstructured.Unstructured{Object: content}} {
			b, err := p.Append(nil, obj)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if _, err := record.Parse(b, p.Fields()); err != nil {
				t.Fatalf("%q: %v in %q", text, err, b)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	pod := &corev1.Pod{}
	fill(1, pod)
	for name, fields := range map[string]string{"declared": subsetText, "all": ""} {
		p, err := projection.Of(fields)
		if err != nil {
			b.Fatal(err)
		}
		var buf []byte
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = p.Append(buf[:0], pod); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode is what a guest pays for a pod.
func BenchmarkDecode(b *testing.B) {
	pod := &corev1.Pod{}
	fill(1, pod)
	text, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	short, all := written(b, subsetText, pod), written(b, "", pod)
	for name, decode := range map[string]func() error{
		"declared": func() error { return record.Decode(short, &subset{}) },
		"all":      func() error { return record.Decode(all, &subset{}) },
		"json":     func() error { return json.Unmarshal(text, &subset{}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

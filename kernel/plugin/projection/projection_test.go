package projection_test

import (
	"encoding/json"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apifuzz "k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzz "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/wire/packed"
)

// subset is what a guest might declare, over every kind of Go type that the
// API uses; text is its projection.
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

// TestAppend: a guest that decodes a projection has what it would have had
// from the whole object.
func TestAppend(t *testing.T) {
	p, err := projection.Parse(subsetText)
	if err != nil {
		t.Fatal(err)
	}
	if got := packed.Fields(reflect.TypeFor[subset]()); got != subsetText {
		t.Fatalf("the guest asks for %s", got)
	}
	funcs := apifuzz.MergeFuzzerFuncs(metafuzz.Funcs)
	for seed := range int64(200) {
		pod := &corev1.Pod{}
		apifuzz.FuzzerFor(funcs, rand.NewSource(seed), serializer.NewCodecFactory(clientscheme.Scheme)).Fill(pod)
		pod.APIVersion = "v1"
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		for name, obj := range map[string]any{"typed": pod, "value": *pod, "unstructured": &unstructured.Unstructured{Object: content}} {
			got, err := p.Append([]byte("x"), obj)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, whole), decode(t, got[1:])); diff != "" {
				t.Fatalf("%s, seed %d: -whole +projected\n%s", name, seed, diff)
			}
			if len(got) > len(whole) {
				t.Errorf("%s, seed %d: %d bytes of %d", name, seed, len(got), len(whole))
			}
		}
	}
}

func decode(t *testing.T, b []byte) *subset {
	t.Helper()
	s := &subset{}
	if err := packed.Decode(b, s); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return s
}

// TestOnly: what was not asked for is not sent.
func TestOnly(t *testing.T) {
	p, err := projection.Parse("metadata(name),status(phase)")
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"}}
	pod.Name, pod.Namespace, pod.ManagedFields = `a"<\b`, "default", []metav1.ManagedFieldsEntry{{Manager: "m"}}
	got, err := p.Append(nil, pod)
	if want := "\x06\x06\x01\x05a\"<\\b\x06\x01\x07Running"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "without a name",
		"a,":                     "without a name",
		"a,a":                    "named twice",
		"a(b":                    "not closed",
		"a)":                     "not opened",
		"a()":                    "without a name",
		"a(b)c":                  "not opened",
		strings.Repeat("a(", 99): "nested deeper",
		strings.Repeat("a", 1e4): "at most",
	} {
		if _, err := projection.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
}

func TestNotAnObject(t *testing.T) {
	p, err := projection.Parse("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{nil, 1, (*corev1.Pod)(nil), "x"} {
		if b, err := p.Append(nil, v); err == nil {
			t.Errorf("%v: got %s", v, b)
		}
	}
}

// FuzzParse: whatever a guest asks for, the answer is an error or an object.
func FuzzParse(f *testing.F) {
	for _, s := range []string{subsetText, "a(b(c)),d", "a,,b", "metadata(\"x\")", "spec(containers(name(x)))", "status\x00"} {
		f.Add(s)
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {}}}}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		f.Fatal(err)
	}
	content["status\x00"], content[`"x"`] = []any{"a", map[string]any{}}, nil
	f.Fuzz(func(t *testing.T, text string) {
		p, err := projection.Parse(text)
		if err != nil {
			return
		}
		for _, obj := range []any{pod, &unstructured.Unstructured{Object: content}} {
			b, err := p.Append(nil, obj)
			if err != nil || b[0] != packed.Struct {
				t.Fatalf("%q: %q, %v", text, b, err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	pod := &corev1.Pod{}
	apifuzz.FuzzerFor(apifuzz.MergeFuzzerFuncs(metafuzz.Funcs), rand.NewSource(1), serializer.NewCodecFactory(clientscheme.Scheme)).Fill(pod)
	p, err := projection.Parse("metadata(name,uid,resourceVersion,labels),spec(nodeName),status(phase,conditions(type,status))")
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = p.Append(buf[:0], pod); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode is what a guest pays for a pod, packed and as JSON.
func BenchmarkDecode(b *testing.B) {
	pod := &corev1.Pod{}
	apifuzz.FuzzerFor(apifuzz.MergeFuzzerFuncs(metafuzz.Funcs), rand.NewSource(1), serializer.NewCodecFactory(clientscheme.Scheme)).Fill(pod)
	p, err := projection.Parse(subsetText)
	if err != nil {
		b.Fatal(err)
	}
	short, err := p.Append(nil, pod)
	if err != nil {
		b.Fatal(err)
	}
	whole, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string][]byte{"packed": short, "json": whole} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := packed.Decode(body, &subset{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package admit

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

func TestMatch(t *testing.T) {
	pod := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	deployment := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	bound := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}}
	own := func(resources ...string) []wire.Match { return []wire.Match{{Resources: resources}} }
	for _, c := range []struct {
		name     string
		own      []wire.Match
		narrowed []v1alpha1.MatchRule
		a        admission.Attributes
		want     bool
	}{
		{"no rule", nil, nil, admission.Attributes{Operation: admission.Create, Resource: pod}, true},
		{"no rule, delete", nil, nil, admission.Attributes{Operation: admission.Delete, Resource: pod}, false},
		{"core resource", own("v1/pods"), nil, admission.Attributes{Operation: admission.Update, Resource: pod}, true},
		{"other resource", own("v1/pods"), nil, admission.Attributes{Operation: admission.Update, Resource: deployment}, false},
		{"subresource", own("v1/pods"), nil, admission.Attributes{Operation: admission.Update, Resource: pod, Subresource: "status"}, false},
		{"subresource asked for", own("v1/pods/status"), nil, admission.Attributes{Operation: admission.Update, Resource: pod, Subresource: "status"}, true},
		{"group", own("apps/*/*"), nil, admission.Attributes{Operation: admission.Create, Resource: deployment}, true},
		{"group of another", own("apps/*/*"), nil, admission.Attributes{Operation: admission.Create, Resource: pod}, false},
		{"another version of it", own("apps/v1beta1/deployments"), nil, admission.Attributes{Operation: admission.Create, Resource: deployment}, true},
		{"narrowed to another version of it", nil, []v1alpha1.MatchRule{{Resources: []string{"apps/v1beta1/deployments"}}}, admission.Attributes{Operation: admission.Create, Resource: deployment}, true},
		{"everything", own("*"), nil, admission.Attributes{Operation: admission.Create, Resource: pod, Subresource: "binding"}, true},
		{"namespace", []wire.Match{{ExceptNamespaces: []string{"a"}}}, nil, admission.Attributes{Operation: admission.Create, Resource: pod, Namespace: "a"}, false},
		{"present", []wire.Match{{Present: []string{"spec.nodeName"}}}, nil, admission.Attributes{Operation: admission.Create, Resource: pod, Object: bound}, true},
		{"not present", []wire.Match{{Present: []string{"spec.nodeName"}}}, nil, admission.Attributes{Operation: admission.Create, Resource: pod, Object: &corev1.Pod{}}, false},
		{"present in what is deleted", []wire.Match{{Operations: []string{"DELETE"}, Present: []string{"spec.nodeName"}}}, nil, admission.Attributes{Operation: admission.Delete, Resource: pod, Old: bound}, true},
		{"narrowed away", own("*"), []v1alpha1.MatchRule{{Namespaces: []string{"b"}}}, admission.Attributes{Operation: admission.Create, Resource: pod, Namespace: "a"}, false},
		{"never widened", own("v1/pods"), []v1alpha1.MatchRule{{Resources: []string{"*"}}}, admission.Attributes{Operation: admission.Create, Resource: deployment}, false},
	} {
		m, err := newMatcher(c.own, c.narrowed)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.matches(t.Context(), &c.a); got != c.want {
			t.Errorf("%s: matches %v, want %v", c.name, got, c.want)
		}
		if coarse := m.coarse(); c.want && !coarse.Matches(&c.a) {
			t.Errorf("%s: the chain's match %+v loses it", c.name, coarse)
		}
	}
	for _, bad := range []string{"pods", "v1", "apps/v1/", "a/b/c/d/e"} {
		if _, err := newMatcher(own(bad), nil); err == nil {
			t.Errorf("resource %q was taken", bad)
		}
	}
}

// surroundings are a cluster of two namespaces.
type surroundings struct{ err error }

func (s surroundings) Holds(_ context.Context, gr schema.GroupResource, namespace string) (bool, error) {
	return gr.String() == "limitranges" && (namespace == "limited" || namespace == "") || gr.String() == "priorityclasses.scheduling.k8s.io", s.err
}

func (s surroundings) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	return map[string]map[string]string{"limited": {"level": "high"}}[name], s.err
}

// What a rule asks about the cluster is looked for before the policy is asked.
func TestGiven(t *testing.T) {
	pod := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	ns := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new", Labels: map[string]string{"grade": "low"}}}
	limited, classes := wire.Match{Given: []string{"v1/limitranges"}}, wire.Match{Given: []string{"scheduling.k8s.io/v1/priorityclasses"}}
	levels := wire.Match{NamespaceLabels: []string{"level", "grade"}}
	for _, c := range []struct {
		name   string
		own    wire.Match
		around Around
		a      admission.Attributes
		want   bool
	}{
		{"an object in the namespace", limited, surroundings{}, admission.Attributes{Resource: pod, Namespace: "limited"}, true},
		{"none in it", limited, surroundings{}, admission.Attributes{Resource: pod, Namespace: "free"}, false},
		{"a request without a namespace", limited, surroundings{}, admission.Attributes{Resource: ns}, true},
		{"of objects without namespaces", classes, surroundings{}, admission.Attributes{Resource: pod, Namespace: "free"}, true},
		{"both", wire.Match{Given: []string{"v1/limitranges", "v1/secrets"}}, surroundings{}, admission.Attributes{Resource: pod, Namespace: "limited"}, false},
		{"nobody knows", limited, surroundings{errors.New("not loaded")}, admission.Attributes{Resource: pod, Namespace: "free"}, true},
		{"nobody to ask", limited, nil, admission.Attributes{Resource: pod, Namespace: "free"}, true},
		{"a label", levels, surroundings{}, admission.Attributes{Resource: pod, Namespace: "limited"}, true},
		{"no label", levels, surroundings{}, admission.Attributes{Resource: pod, Namespace: "free"}, false},
		{"no namespace", levels, surroundings{}, admission.Attributes{Resource: pod}, false},
		{"a namespace that has it", levels, surroundings{}, admission.Attributes{Resource: ns, Name: "new", Object: labelled}, true},
		{"a namespace that loses it", levels, surroundings{}, admission.Attributes{Resource: ns, Name: "new", Object: &corev1.Namespace{}, Old: labelled}, true},
		{"a namespace without it", levels, surroundings{}, admission.Attributes{Resource: ns, Name: "new", Object: &corev1.Namespace{}}, false},
	} {
		m, err := newMatcher([]wire.Match{c.own}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m.around, c.a.Operation = c.around, admission.Create
		if got := m.matches(t.Context(), &c.a); got != c.want {
			t.Errorf("%s: matches %v, want %v", c.name, got, c.want)
		}
	}
	if _, err := newMatcher([]wire.Match{{Given: []string{"limitranges"}}}, nil); err == nil {
		t.Error("a malformed resource was taken")
	}
}

func TestApply(t *testing.T) {
	pod := func() *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a.b/c": "1"}},
			Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "x", Image: "i"}}}}
	}
	set := func(path, value string) wire.PatchOp { return wire.PatchOp{Path: path, Value: []byte(value)} }
	remove := func(path string) wire.PatchOp { return wire.PatchOp{Remove: true, Path: path} }
	for _, c := range []struct {
		name string
		ops  []wire.PatchOp
		want func(*corev1.Pod)
		err  string
	}{
		{"set", []wire.PatchOp{set("spec.containers[0].image", `"j"`)}, func(p *corev1.Pod) { p.Spec.Containers[0].Image = "j" }, ""},
		{"map key with dots", []wire.PatchOp{set("metadata.labels[a.b/c]", `"2"`)}, func(p *corev1.Pod) { p.Labels["a.b/c"] = "2" }, ""},
		{"make maps", []wire.PatchOp{set("metadata.annotations.k", `"v"`)}, func(p *corev1.Pod) { p.Annotations = map[string]string{"k": "v"} }, ""},
		{"append", []wire.PatchOp{set("spec.containers[1]", `{"name":"y"}`)}, func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "y"}) }, ""},
		{"append to nothing", []wire.PatchOp{set("spec.tolerations[0].key", `"k"`)}, func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "k"}} }, ""},
		{"through a pointer", []wire.PatchOp{set("spec.securityContext.runAsUser", "5"), set("spec.activeDeadlineSeconds", "7")}, func(p *corev1.Pod) {
			five, seven := int64(5), int64(7)
			p.Spec.SecurityContext, p.Spec.ActiveDeadlineSeconds = &corev1.PodSecurityContext{RunAsUser: &five}, &seven
		}, ""},
		{"inlined fields", []wire.PatchOp{set("spec.volumes[0]", `{"name":"v"}`), set("spec.volumes[0].emptyDir.sizeLimit", `"1Mi"`)}, func(p *corev1.Pod) {
			size := resource.MustParse("1Mi")
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &size}}}}
		}, ""},
		{"values with a form of their own", []wire.PatchOp{set("spec.containers[0].resources.requests[cpu]", `"100m"`)}, func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		}, ""},
		{"nothing", []wire.PatchOp{set("spec.nodeName", "null"), set("metadata.labels", "null")}, func(p *corev1.Pod) { p.Spec.NodeName, p.Labels = "", nil }, ""},
		{"remove of a map's key", []wire.PatchOp{remove("metadata.labels[a.b/c]"), remove("metadata.annotations.x"), remove("spec.securityContext.runAsUser")}, func(p *corev1.Pod) { p.Labels = nil }, ""},
		{"remove", []wire.PatchOp{remove("spec.nodeName"), remove("spec.containers[0]"), remove("metadata.nothing.here")}, func(p *corev1.Pod) {
			p.Spec.NodeName, p.Spec.Containers = "", []corev1.Container{}
		}, ""},
		{"index far away", []wire.PatchOp{set("spec.containers[5].image", `"j"`)}, nil, "not an index"},
		{"unknown field", []wire.PatchOp{set("spec.imagination", `"j"`)}, nil, "imagination"},
		{"wrong type", []wire.PatchOp{set("spec.nodeName", `5`)}, nil, "nodeName"},
		{"into a string", []wire.PatchOp{set("spec.nodeName.x", `5`)}, nil, "neither map nor list"},
		{"more than JSON", []wire.PatchOp{set("spec.nodeName", `"a" 1`)}, nil, "value at spec.nodeName"},
		{"two strings", []wire.PatchOp{set("spec.nodeName", `"a" "b"`)}, nil, "value at spec.nodeName"},
		{"not JSON", []wire.PatchOp{set("spec.nodeName", `{`)}, nil, "value at spec.nodeName"},
		{"bad path", []wire.PatchOp{set("spec..x", `5`)}, nil, "malformed path"},
	} {
		in := pod()
		out, err := apply(in, c.ops)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := pod()
		if d := cmp.Diff(want, in); d != "" {
			t.Errorf("%s: the input was changed:\n%s", c.name, d)
		}
		c.want(want)
		if d := cmp.Diff(text(t, want), text(t, out)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		// Both ways of changing an object agree.
		tree, err := applyTree(in, c.ops)
		if err != nil {
			t.Errorf("%s, by its JSON form: %v", c.name, err)
		} else if d := cmp.Diff(text(t, tree), text(t, out)); d != "" {
			t.Errorf("%s (-by its JSON form +in place):\n%s", c.name, d)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

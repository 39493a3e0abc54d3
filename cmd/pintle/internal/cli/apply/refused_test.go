package apply_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
)

const definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wheels.x.io}
spec:
  group: x.io
  scope: Namespaced
  names: {kind: Wheel, plural: wheels}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
`

// What stands in the way is told by file and object, with the remedy, and there is
// nothing of the rest.
func TestRefused(t *testing.T) {
	u := newUser(t)
	_, err := u.CoreV1().ConfigMaps("default").Apply(t.Context(), applyv1.ConfigMap("mine", "default").WithData(map[string]string{"x": "theirs"}), metav1.ApplyOptions{FieldManager: "them"})
	must(t, err)
	many := strings.Builder{}
	for i := range 257 {
		fmt.Fprintf(&many, "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: m%d}}\n", i)
	}
	for name, tc := range map[string]struct {
		files map[string]string
		args  []string
		want  []string // DIR is the directory
	}{
		"one that is invalid and one without its namespace": {
			files: map[string]string{"bad.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: X_Y}}", "far.yaml": "{apiVersion: v1, kind: Secret, metadata: {name: far, namespace: nowhere}}"},
			want:  []string{"objects refused, nothing was written:", "DIR/bad.yaml: configmap/X_Y: ConfigMap \"X_Y\" is invalid", "DIR/far.yaml: secret/far: namespaces \"nowhere\" not found"},
		},
		"a field of another": {
			files: map[string]string{"mine.yaml": strings.Replace(settings, "name: a", "name: mine", 1)},
			want:  []string{"1 of 2 objects refused, nothing was written:", "DIR/mine.yaml: configmap/mine: Apply failed with 1 conflict: conflict with \"them\"", "--force-conflicts"},
		},
		"an unknown field": {
			files: map[string]string{"bad.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: z}, dota: {}}"},
			want:  []string{"DIR/bad.yaml: configmap/z: ", "dota"},
		},
		"a namespace and what is in it": {
			files: map[string]string{"ns.yaml": "{apiVersion: v1, kind: Namespace, metadata: {name: fresh}}", "in.yaml": strings.Replace(settings, "name: a", "name: in, namespace: fresh", 1)},
			want:  []string{"DIR/ns.yaml: namespace/fresh is not there yet", "DIR/in.yaml: configmap/in", "apply the namespace first", "nothing was written"},
		},
		"a definition and what it defines": {
			files: map[string]string{"crd.yaml": definition, "wheel.yaml": "{apiVersion: x.io/v1, kind: Wheel, metadata: {name: front}}"},
			want:  []string{"DIR/wheel.yaml", "DIR/crd.yaml: customresourcedefinition.apiextensions.k8s.io/wheels.x.io defines it", "wait --for=condition=Established crd/wheels.x.io", "nothing was written"},
		},
		"an unknown kind":    {files: map[string]string{"w.yaml": "{apiVersion: y.io/v1, kind: Wheel, metadata: {name: w}}"}, want: []string{"DIR/w.yaml", "ensure CRDs are installed first", "nothing was written"}},
		"one twice":          {files: map[string]string{"a2.yaml": settings}, want: []string{"DIR/good.yaml: configmap/a is in DIR/a2.yaml already", "nothing was written"}},
		"no name":            {files: map[string]string{"g.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: g-}}"}, want: []string{"cannot use generate name with apply", "nothing was written"}},
		"too many":           {files: map[string]string{"many.yaml": many.String()}, want: []string{"258 objects", "at most 256", "nothing was written"}},
		"too large":          {files: map[string]string{"large.yaml": strings.Replace(settings, `name: a}, data: {x: "1"`, `name: l}, data: {x: "`+strings.Repeat("x", 4<<20)+`"`, 1)}, want: []string{"apply fewer objects", "nothing was written"}},
		"no file":            {args: []string{"-f", "nowhere.yaml"}, want: []string{"nowhere.yaml"}},
		"pruning":            {args: []string{"--prune", "-l", "a=b"}, want: []string{"--prune", "--atomic"}},
		"at the client":      {args: []string{"--server-side=false"}, want: []string{"--server-side=false", "--atomic"}},
		"a dry run of that":  {args: []string{"--dry-run=client"}, want: []string{"--dry-run=server"}},
		"with a subresource": {args: []string{"--subresource=status"}, want: []string{"--subresource", "--atomic"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, tc.files)
			if tc.files != nil {
				dir = files(t, merged(tc.files, "good.yaml", settings))
			}
			args := append([]string{"--atomic"}, tc.args...)
			if tc.files != nil {
				args = append(args, "-f", dir)
			} else if name != "no file" {
				args = append(args, "-f", files(t, map[string]string{"good.yaml": settings}))
			}
			out, _, err := u.run(args...)
			if err == nil || out != "" || u.value("a") != "" {
				t.Fatalf("%v, a is %q:\n%s", err, u.value("a"), out)
			}
			for _, want := range tc.want {
				if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(err.Error(), want) {
					t.Errorf("it lacks %q:\n%.2000s", want, err)
				}
			}
		})
	}
}

func merged(m map[string]string, name, text string) map[string]string {
	out := map[string]string{name: text}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Who reaches no server is told so as kubectl tells it.
func TestNoServer(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	u := &user{t: t, cache: t.TempDir()}
	_, _, err := u.run("--atomic", "--server", "http://127.0.0.1:1", "-f", files(t, map[string]string{"a.yaml": settings}))
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "`pintle up` starts the cluster") {
		t.Error(err)
	}
}

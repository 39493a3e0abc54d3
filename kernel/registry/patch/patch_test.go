package patch_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry/patch"
)

func newScheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	s.AddTypeDefaultingFunc(&corev1.Pod{}, func(o any) { o.(*corev1.Pod).Spec.RestartPolicy = "Always" })
	return s
}

func pod() *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"a": "1"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "one", Image: "a"}, {Name: "two", Image: "b"}}},
	}
}

// try applies one patch to a pod and gives what the client was warned of.
func try(t testing.TB, kind types.PatchType, data, validation string) (*corev1.Pod, []string, error) {
	t.Helper()
	var warnings []string
	s := newScheme(t)
	p, err := patch.New(s).Parse(kind, []byte(data), validation, func(w string) { warnings = append(warnings, w) })
	if err != nil {
		return nil, nil, err
	}
	defer p.Release()
	before := pod()
	out, err := p.To(t.Context(), before, patch.Subject{Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Types: s})
	if d := cmp.Diff(pod(), before); d != "" {
		t.Errorf("the object that was patched: %s", d)
	}
	if err != nil {
		return nil, warnings, err
	}
	return out.(*corev1.Pod), warnings, nil
}

// A merge patch replaces lists, a strategic one merges them by name; what comes
// out has its defaults.
func TestKinds(t *testing.T) {
	for _, tc := range []struct {
		kind   types.PatchType
		data   string
		images string
	}{
		{types.JSONPatchType, `[{"op":"replace","path":"/spec/containers/1/image","value":"c"}]`, "one:a two:c"},
		{types.MergePatchType, `{"spec":{"containers":[{"name":"two","image":"c"}]}}`, "two:c"},
		{types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"two","image":"c"}]}}`, "one:a two:c"},
	} {
		got, _, err := try(t, tc.kind, tc.data, metav1.FieldValidationStrict)
		if err != nil {
			t.Errorf("%s: %v", tc.kind, err)
			continue
		}
		var images []string
		for _, c := range got.Spec.Containers {
			images = append(images, c.Name+":"+c.Image)
		}
		if s := strings.Join(images, " "); s != tc.images || got.Spec.RestartPolicy != "Always" {
			t.Errorf("%s: images %q, want %q; restartPolicy %q", tc.kind, s, tc.images, got.Spec.RestartPolicy)
		}
	}
}

// An unknown field is an error, a warning or nothing, as the request asks.
func TestFieldValidation(t *testing.T) {
	for kind, data := range map[types.PatchType]string{
		types.JSONPatchType:           `[{"op":"add","path":"/spec/nonsense","value":1}]`,
		types.MergePatchType:          `{"spec":{"nonsense":1}}`,
		types.StrategicMergePatchType: `{"spec":{"nonsense":1}}`,
	} {
		if _, _, err := try(t, kind, data, metav1.FieldValidationStrict); !apierrors.IsInvalid(err) {
			t.Errorf("%s, Strict: %v", kind, err)
		}
		if _, w, err := try(t, kind, data, metav1.FieldValidationWarn); err != nil || len(w) != 1 || !strings.Contains(w[0], "nonsense") {
			t.Errorf("%s, Warn: %v, warnings %q", kind, err, w)
		}
		if _, w, err := try(t, kind, data, metav1.FieldValidationIgnore); err != nil || len(w) != 0 {
			t.Errorf("%s, Ignore: %v, warnings %q", kind, err, w)
		}
	}
}

func TestRefused(t *testing.T) {
	list := strings.TrimSuffix(strings.Repeat(`{"name":"x"},`, 20000), ",")
	for name, tc := range map[string]struct {
		kind types.PatchType
		data string
		code int32
	}{
		"no JSON":               {types.MergePatchType, `{`, 400},
		"no YAML":               {types.ApplyYAMLPatchType, "a: [", 400},
		"unknown type":          {"application/x", `{}`, 415},
		"too large":             {types.MergePatchType, strings.Repeat(" ", patch.MaxBytes) + "{}", 413},
		"not an object":         {types.MergePatchType, `[]`, 400},
		"nothing left":          {types.MergePatchType, `null`, 400},
		"another kind":          {types.MergePatchType, `{"kind":"Node"}`, 422},
		"no such path":          {types.JSONPatchType, `[{"op":"remove","path":"/spec/x"}]`, 422},
		"too many operations":   {types.JSONPatchType, "[" + strings.TrimSuffix(strings.Repeat(`{"op":"test","path":"/kind","value":"Pod"},`, 10001), ",") + "]", 413},
		"too many values":       {types.MergePatchType, `{"spec":{"x":[` + strings.TrimSuffix(strings.Repeat("{},", patch.MaxValues), ",") + `]}}`, 413},
		"too many comparisons":  {types.StrategicMergePatchType, `{"spec":{"containers":[` + list + `]}}`, 413},
		"an absurd quantity":    {types.MergePatchType, `{"spec":{"overhead":{"cpu":"1e20000000"}}}`, 400},
		"unknown patch command": {types.StrategicMergePatchType, `{"$patch":"x"}`, 500},
	} {
		_, _, err := try(t, tc.kind, tc.data, metav1.FieldValidationIgnore)
		var s apierrors.APIStatus
		if !errors.As(err, &s) || s.Status().Code != tc.code || len(err.Error()) > 10000 {
			t.Errorf("%s: got %.300v, want code %d", name, err, tc.code)
		}
	}
}

// An apply configuration is YAML, of which JSON is a part, with each key once.
func TestApplyConfiguration(t *testing.T) {
	gvk := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	for name, tc := range map[string]struct {
		data, validation string
		wantErr          bool
		warnings         int
	}{
		"YAML":                   {"data: {a: b}", metav1.FieldValidationStrict, false, 0},
		"JSON":                   {`{"data":{"a":"b"}}`, metav1.FieldValidationStrict, false, 0},
		"a key twice":            {"data: {a: x, a: b}", metav1.FieldValidationStrict, true, 0},
		"a key twice in JSON":    {`{"data":{"a":"x","a":"b"}}`, metav1.FieldValidationStrict, true, 0},
		"a key twice, warned of": {"data: {a: x, a: b}", metav1.FieldValidationWarn, false, 1},
		"a key twice, ignored":   {"data: {a: x, a: b}", metav1.FieldValidationIgnore, false, 0},
	} {
		warnings := 0
		p, err := patch.New(newScheme(t)).Parse(types.ApplyYAMLPatchType, []byte(tc.data), tc.validation, func(string) { warnings++ })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !p.Applies() {
			t.Errorf("%s: is no apply", name)
		}
		if tc.wantErr {
			if err := p.CheckKeys(); !apierrors.IsBadRequest(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		u, err := p.Configuration(gvk)
		if err == nil {
			err = p.CheckKeys()
		}
		if err != nil || u.Object["data"].(map[string]any)["a"] != "b" || warnings != tc.warnings {
			t.Errorf("%s: %v, %v, %d warnings", name, u, err, warnings)
		}
	}
}

// Whole numbers stay whole, in JSON and in YAML, and others do not become so: a custom
// object has what was read, and who asks it for an integer finds none in a float.
func TestApplyNumbers(t *testing.T) {
	want := map[string]any{"whole": int64(3), "large": int64(9007199254740993), "half": 1.5, "list": []any{int64(-1), 0.25}, "in": map[string]any{"a": int64(0)}}
	for name, text := range map[string]string{
		"JSON": `{"whole": 3, "large": 9007199254740993, "half": 1.5, "list": [-1, 0.25], "in": {"a": 0}}`,
		"YAML": "whole: 3\nlarge: 9007199254740993\nhalf: 1.5\nlist: [-1, 0.25]\nin: {a: 0}\n",
	} {
		p, err := patch.New(newScheme(t)).Parse(types.ApplyYAMLPatchType, []byte(text), metav1.FieldValidationStrict, func(string) {})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		u, err := p.Configuration(schema.GroupVersionKind{Group: "x.io", Version: "v1", Kind: "Wheel"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, u.Object); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// What large results take is shared: a second one waits until the first is
// released; small ones wait for nobody.
func TestMemoryIsShared(t *testing.T) {
	s := newScheme(t)
	as := patch.Subject{Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Types: s}
	synctest.Test(t, func(t *testing.T) {
		by := patch.New(s)
		parse := func(values int) *patch.Patch {
			data := `{"metadata":{"finalizers":[` + strings.TrimSuffix(strings.Repeat(`"x/y",`, values), ",") + `]}}`
			p, err := by.Parse(types.MergePatchType, []byte(data), metav1.FieldValidationIgnore, func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		first, second, small := parse(patch.MaxValues-100), parse(patch.MaxValues-100), parse(1)
		if _, err := first.To(t.Context(), pod(), as); err != nil {
			t.Fatal(err)
		}
		if _, err := small.To(t.Context(), pod(), as); err != nil {
			t.Errorf("a small one beside: %v", err)
		}
		answered := make(chan error, 1)
		go func() {
			_, err := second.To(t.Context(), pod(), as)
			answered <- err
		}()
		synctest.Wait()
		select {
		case err := <-answered:
			t.Fatalf("a large one did not wait: %v", err)
		default:
		}
		first.Release()
		first.Release() // once more does nothing
		if err := <-answered; err != nil {
			t.Errorf("a large one behind: %v", err)
		}
		second.Release()
	})
}

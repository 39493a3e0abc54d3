package resource_test

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Where a quantity stands, its text is bounded; the same text elsewhere is none
// of our business.
func TestCheckQuantities(t *testing.T) {
	s := clientscheme.Scheme
	podKind := corev1.SchemeGroupVersion.WithKind("Pod")
	in := func(resources string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"commit":"1e20000000"}},"spec":{"containers":[{"name":"a","args":["1e20000000"],"resources":` + resources +
			`,"env":[{"name":"N","value":"1e99999999"}]}]}}`
	}
	for name, tc := range map[string]struct{ media, body, want string }{
		"nothing":          {resource.JSON, `{}`, ""},
		"texts elsewhere":  {resource.JSON, in(`{}`), ""},
		"usual":            {resource.JSON, in(`{"limits":{"cpu":"1e3","memory":1e9,"x":"0.5e-9"}}`), ""},
		"three digits":     {resource.JSON, in(`{"limits":{"cpu":"1e999","memory":"1E-0000003"}}`), ""},
		"large":            {resource.JSON, in(`{"limits":{"cpu":"1e20000000"}}`), "spec.containers[0].resources.limits[cpu]"},
		"small":            {resource.JSON, in(`{"requests":{"cpu":"1e-20000000"}}`), "spec.containers[0].resources.requests[cpu]"},
		"a number":         {resource.JSON, in(`{"limits":{"cpu":1E+20000000}}`), "limits[cpu]"},
		"escaped":          {resource.JSON, strings.ReplaceAll(in(`{"limits":{"cpu":"1\u00650000000"}}`), "1e20000000", "x"), ""},
		"escaped, large":   {resource.JSON, strings.ReplaceAll(in(`{"limits":{"cpu":"1\u006520000"}}`), "1e20000000", "x"), "limits[cpu]"},
		"white space":      {resource.JSON, in(`{"limits":{"cpu":" -.1e20000000\t"}}`), "limits[cpu]"},
		"no-break space":   {resource.JSON, in("{\"limits\":{\"cpu\":\"\u00a01e20000000\"}}"), "limits[cpu]"},
		"wide space":       {resource.JSON, in("{\"limits\":{\"cpu\":\"1e20000000\u3000\"}}"), "limits[cpu]"},
		"many digits":      {resource.JSON, in(`{"limits":{"cpu":"` + strings.Repeat("9", 300) + `"}}`), "limits[cpu]"},
		"many decimals":    {resource.JSON, in(`{"limits":{"cpu":"0.` + strings.Repeat("0", 300) + `1"}}`), "limits[cpu]"},
		"a pointer":        {resource.JSON, `{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"1e20000000"}}]}}`, "spec.volumes[0].emptyDir.sizeLimit"},
		"YAML":             {resource.YAML, "kind: Pod\napiVersion: v1\nspec:\n  overhead: {cpu: 1e20000000}\n", "spec.overhead[cpu]"},
		"YAML, escaped":    {resource.YAML, "spec:\n  overhead: {cpu: \"1\\x6520000000\"}\n", "spec.overhead[cpu]"},
		"another kind":     {resource.JSON, `{"kind":"ResourceQuota","apiVersion":"v1","spec":{"hard":{"pods":"1e20000000"}}}`, "spec.hard[pods]"},
		"no kind of ours":  {resource.JSON, `{"kind":"X","apiVersion":"y/v1","metadata":{"name":"1e20000000"}}`, ""},
		"broken":           {resource.JSON, `{"spec":"1e20000000"`, ""},
		"of another shape": {resource.JSON, `{"spec":["1e20000000"],"metadata":7}`, ""},
	} {
		err := resource.CheckQuantities(s, []byte(tc.body), tc.media, &podKind)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error about %q", name, err, tc.want)
		}
	}
}

// Protobuf carries quantities as strings too.
func TestCheckQuantitiesOfProtobuf(t *testing.T) {
	s := clientscheme.Scheme
	p := &corev1.Pod{}
	const mark = "11111111" // replaced below by a text of the same length that cannot be parsed
	if err := runtime.DecodeInto(clientscheme.Codecs.UniversalDecoder(), []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"commit":"1e999999"}},
		"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"`+mark+`"}}}],"volumes":[{"name":"v","emptyDir":{"sizeLimit":"22222222"}}]}}`), p); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ find, with, want string }{
		{"none", "none", ""},
		{mark, "1e999999", "spec.containers.resources.limits"},
		{"22222222", "1E-99999", "emptyDir.sizeLimit"},
	} {
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Raw: bytes.ReplaceAll(raw, []byte(tc.find), []byte(tc.with))}
		b, err := u.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		err = resource.CheckQuantities(s, append([]byte("k8s\x00"), b...), resource.Protobuf, &schema.GroupVersionKind{})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error about %q", tc.with, err, tc.want)
		}
	}
}

package resource_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Three versions of one kind: v1 (stored earlier), v2 (the hub) and the
// internal one between them. They have no protobuf form.
type (
	WidgetV1 struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Size              int64 `json:"size"`
	}
	WidgetV2 struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              WidgetSpec `json:"spec"`
	}
	WidgetSpec struct {
		Size  int64  `json:"size"`
		Color string `json:"color,omitempty"`
	}
	Widget struct {
		metav1.TypeMeta
		metav1.ObjectMeta
		Spec WidgetSpec
	}
)

func (w *WidgetV1) DeepCopyObject() runtime.Object { c := *w; return &c }
func (w *WidgetV2) DeepCopyObject() runtime.Object { c := *w; return &c }
func (w *Widget) DeepCopyObject() runtime.Object   { c := *w; return &c }

var (
	v1 = schema.GroupVersion{Group: "shop.example", Version: "v1"}
	v2 = schema.GroupVersion{Group: "shop.example", Version: "v2"}
)

func widgets() *resource.Definition {
	return &resource.Definition{Group: "shop.example", Resource: "widgets", Kind: "Widget", Namespaced: true,
		Versions: []string{"v2", "v1"}, JSONStored: true, StorageVersion: "v2", KeyPrefix: "/registry/shop.example/widgets"}
}

func pods() *resource.Definition {
	return &resource.Definition{Resource: "pods", Kind: "Pod", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/pods"}
}

func newTable(t testing.TB) *resource.Table {
	t.Helper()
	s := runtime.NewScheme()
	if err := clientscheme.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	s.AddKnownTypeWithName(v1.WithKind("Widget"), &WidgetV1{})
	s.AddKnownTypeWithName(v2.WithKind("Widget"), &WidgetV2{})
	s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "shop.example", Version: runtime.APIVersionInternal, Kind: "Widget"}, &Widget{})
	s.AddTypeDefaultingFunc(&WidgetV2{}, func(o any) {
		if w := o.(*WidgetV2); w.Spec.Color == "" {
			w.Spec.Color = "red"
		}
	})
	convert(t, s, (*WidgetV1)(nil), (*Widget)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*WidgetV1), b.(*Widget)
		out.ObjectMeta, out.Spec = in.ObjectMeta, WidgetSpec{Size: in.Size, Color: in.Annotations["color"]}
		return nil
	})
	convert(t, s, (*Widget)(nil), (*WidgetV2)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*Widget), b.(*WidgetV2)
		out.ObjectMeta, out.Spec = in.ObjectMeta, in.Spec
		return nil
	})
	convert(t, s, (*WidgetV2)(nil), (*Widget)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*WidgetV2), b.(*Widget)
		out.ObjectMeta, out.Spec = in.ObjectMeta, in.Spec
		return nil
	})
	convert(t, s, (*Widget)(nil), (*WidgetV1)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*Widget), b.(*WidgetV1)
		out.ObjectMeta, out.Size = in.ObjectMeta, in.Spec.Size
		return nil
	})
	table := &resource.Table{Scheme: s, Definitions: []*resource.Definition{pods(), widgets()}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	return table
}

func convert(t testing.TB, s *runtime.Scheme, a, b any, fn conversion.ConversionFunc) {
	t.Helper()
	if err := s.AddConversionFunc(a, b, fn); err != nil {
		t.Fatal(err)
	}
}

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "ns", UID: "u1", ResourceVersion: "7", Labels: map[string]string{"app": "<a>"}},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func TestStoredProtobuf(t *testing.T) {
	table := newTable(t)
	c := resource.NewCodec(resource.NewCatalog(table))
	in := pod()
	value, err := c.EncodeStorage(pods(), in)
	if err != nil {
		t.Fatal(err)
	}
	// What upstream would have written is the oracle.
	same := in.DeepCopy()
	same.ResourceVersion = ""
	same.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	var want bytes.Buffer
	if err := protobuf.NewSerializer(table.Scheme, table.Scheme).Encode(same, &want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(value, want.Bytes()) {
		t.Errorf("EncodeStorage wrote\n%q, upstream\n%q", value, want.Bytes())
	}
	if in.ResourceVersion != "7" || in.Kind != "" {
		t.Errorf("EncodeStorage changed its argument: resourceVersion %q, kind %q", in.ResourceVersion, in.Kind)
	}
	got, err := c.Decode(pods(), value, 42)
	if err != nil {
		t.Fatal(err)
	}
	same.ResourceVersion = "42"
	if diff := cmp.Diff(same, got); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
}

func TestStoredJSONOfOlderVersion(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	old := []byte(`{"apiVersion":"shop.example/v1","kind":"Widget","metadata":{"name":"w","namespace":"ns","annotations":{"color":"blue"}},"size":3}`)
	got, err := c.Decode(widgets(), old, 9)
	if err != nil {
		t.Fatal(err)
	}
	want := &WidgetV2{
		TypeMeta:   metav1.TypeMeta{APIVersion: "shop.example/v2", Kind: "Widget"},
		ObjectMeta: metav1.ObjectMeta{Name: "w", Namespace: "ns", ResourceVersion: "9", Annotations: map[string]string{"color": "blue"}},
		Spec:       WidgetSpec{Size: 3, Color: "blue"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
	value, err := c.EncodeStorage(widgets(), &WidgetV1{ObjectMeta: metav1.ObjectMeta{Name: "w", ResourceVersion: "5"}, Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	const wantValue = `{"kind":"Widget","apiVersion":"shop.example/v2","metadata":{"name":"w"},"spec":{"size":4}}`
	if string(value) != wantValue {
		t.Errorf("EncodeStorage wrote %s, want %s", value, wantValue)
	}
}

func TestDecodeRefuses(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	service, err := c.Encode(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, corev1.SchemeGroupVersion, resource.Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"empty":           nil,
		"no kind":         []byte(`{}`),
		"another kind":    service,
		"unknown kind":    []byte(`{"apiVersion":"v1","kind":"Nonesuch"}`),
		"truncated":       service[:len(service)-6],
		"only the prefix": []byte("k8s\x00"),
		"huge length":     append([]byte("k8s\x00\x12"), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
	} {
		if obj, err := c.Decode(pods(), value, 1); err == nil {
			t.Errorf("%s: Decode returned %T, want an error", name, obj)
		}
	}
}

func TestEncode(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	w := &WidgetV2{ObjectMeta: metav1.ObjectMeta{Name: "w"}, Spec: WidgetSpec{Size: 2}}
	for _, tc := range []struct {
		name string
		obj  runtime.Object
		gv   schema.GroupVersion
		mt   string
		want string
	}{
		{"same version", w, v2, resource.JSON, `{"kind":"Widget","apiVersion":"shop.example/v2","metadata":{"name":"w"},"spec":{"size":2}}`},
		{"another version", w, v1, resource.JSON, `{"kind":"Widget","apiVersion":"shop.example/v1","metadata":{"name":"w"},"size":2}`},
		{"yaml", w, v1, resource.YAML, "apiVersion: shop.example/v1\nkind: Widget\nmetadata:\n  name: w\nsize: 2\n"},
		{"unversioned", &metav1.Status{Status: "Success"}, v2, resource.JSON, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`},
	} {
		got, err := c.Encode(tc.obj, tc.gv, tc.mt)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if string(got) != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	if w.Kind != "" {
		t.Errorf("Encode set the kind of a shared object")
	}
	if _, err := c.Encode(w, v2, resource.Protobuf); !errors.Is(err, resource.ErrNoProtobuf) {
		t.Errorf("protobuf of a type without it: got %v, want ErrNoProtobuf", err)
	}
	if _, err := c.Encode(w, v2, "text/html"); err == nil {
		t.Error("an unknown media type was accepted")
	}
}

func TestDecodeRequest(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	asPod := &schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	proto, err := c.Encode(pod(), corev1.SchemeGroupVersion, resource.Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, body, mt string
		def            *schema.GroupVersionKind
		strict         bool
		wantStrict     string
		wantErr        string
		wantKind       string
	}{
		{name: "json", body: `{"apiVersion":"v1","kind":"Pod","spec":{"nodeName":"x"}}`, mt: resource.JSON, def: asPod, wantKind: "Pod"},
		{name: "kind from the request", body: `{"spec":{"nodeName":"x"}}`, mt: resource.JSON, def: asPod, wantKind: "Pod"},
		{name: "yaml", body: "kind: Pod\napiVersion: v1\nspec:\n  nodeName: x\n", mt: resource.YAML, def: asPod, wantKind: "Pod"},
		{name: "protobuf", body: string(proto), mt: resource.Protobuf, def: asPod, wantKind: "Pod"},
		{name: "unknown field, ignored", body: `{"kind":"Pod","apiVersion":"v1","spec":{"foo":1}}`, mt: resource.JSON, def: asPod, wantKind: "Pod"},
		{name: "unknown field, strict", body: `{"kind":"Pod","apiVersion":"v1","spec":{"foo":1}}`, mt: resource.JSON, def: asPod, strict: true,
			wantKind: "Pod", wantStrict: `Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo"`},
		{name: "duplicate field, strict", body: `{"kind":"Pod","apiVersion":"v1","spec":{"nodeName":"a","nodeName":"b"}}`, mt: resource.JSON, def: asPod, strict: true,
			wantKind: "Pod", wantStrict: `Pod in version "v1" cannot be handled as a Pod: strict decoding error: duplicate field "spec.nodeName"`},
		{name: "wrong type", body: `{"kind":"Pod","apiVersion":"v1","spec":1}`, mt: resource.JSON, def: asPod,
			wantErr: `Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec`},
		{name: "unknown kind", body: `{"kind":"Nonesuch","apiVersion":"v1"}`, mt: resource.JSON, def: asPod, wantErr: `Nonesuch in version "v1" cannot be handled as a Pod: no kind "Nonesuch" is registered`},
		{name: "no json", body: `hello`, mt: resource.JSON, def: asPod, wantErr: "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error"},
		{name: "no protobuf", body: `{}`, mt: resource.Protobuf, def: asPod, wantErr: "the object provided is unrecognized (must be of type Pod)"},
		{name: "media type", body: `{}`, mt: "text/plain", def: asPod, wantErr: "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{name: "too large", body: strings.Repeat(" ", resource.MaxRequestBytes+1), mt: resource.JSON, def: asPod, wantErr: "Request entity too large: limit is 3145728"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			obj, gvk, strict, err := c.DecodeRequest([]byte(tc.body), tc.mt, tc.def, tc.strict)
			if tc.wantErr != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.wantErr) {
					t.Fatalf("got error %v, want %s…", err, tc.wantErr)
				}
				if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
					t.Errorf("error %T is no Status", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if gvk.Kind != tc.wantKind || obj.GetObjectKind().GroupVersionKind() != *gvk {
				t.Errorf("got %v of kind %v, want %s", obj.GetObjectKind().GroupVersionKind(), gvk, tc.wantKind)
			}
			got := ""
			if e := resource.StrictError(strict, *gvk); e != nil {
				got = e.Error()
			}
			if got != tc.wantStrict {
				t.Errorf("strict complaints %q, want %q", got, tc.wantStrict)
			}
		})
	}
}

func TestDecodeRequestSetsDefaults(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	obj, _, _, err := c.DecodeRequest([]byte(`{"kind":"Widget","apiVersion":"shop.example/v2","spec":{"size":1}}`), resource.JSON, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := obj.(*WidgetV2).Spec.Color; got != "red" {
		t.Errorf("color %q, want the default red", got)
	}
}

func TestWriteList(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	listKind, itemKind := corev1.SchemeGroupVersion.WithKind("PodList"), corev1.SchemeGroupVersion.WithKind("Pod")
	want := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "9", Continue: "c"}}
	for _, n := range []int{0, 1, 3} {
		want.Items = want.Items[:0]
		for range n {
			want.Items = append(want.Items, *pod())
		}
		for _, mt := range []string{resource.JSON, resource.Protobuf} {
			var items [][]byte
			for i := range want.Items {
				b, err := c.Encode(&want.Items[i], corev1.SchemeGroupVersion, mt)
				if err != nil {
					t.Fatal(err)
				}
				items = append(items, b)
			}
			var got bytes.Buffer
			if err := resource.WriteList(&got, mt, listKind, itemKind, want.ListMeta, items); err != nil {
				t.Fatal(err)
			}
			whole, err := c.Encode(want, corev1.SchemeGroupVersion, mt)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 && mt == resource.JSON {
				whole = bytes.Replace(whole, []byte(`"items":null`), []byte(`"items":[]`), 1)
			}
			if !bytes.Equal(got.Bytes(), whole) {
				t.Errorf("%s, %d items: got\n%q, want what encoding the whole list gives\n%q", mt, n, got.Bytes(), whole)
			}
		}
	}
}

func TestWriteListRefuses(t *testing.T) {
	k := corev1.SchemeGroupVersion.WithKind("Pod")
	for _, mt := range []string{resource.JSON, resource.Protobuf, resource.YAML} {
		if err := resource.WriteList(&bytes.Buffer{}, mt, k, k, metav1.ListMeta{}, [][]byte{[]byte("nonsense")}); err == nil {
			t.Errorf("%s: nonsense was accepted as an item", mt)
		}
	}
}

func TestKeys(t *testing.T) {
	node := &resource.Definition{Resource: "nodes", KeyPrefix: "/registry/minions"}
	for _, tc := range []struct {
		d        *resource.Definition
		ns, name string
		want     string
	}{
		{pods(), "ns", "a", "/registry/pods/ns/a"},
		{node, "", "n1", "/registry/minions/n1"},
		{node, "ignored", "n1", "/registry/minions/n1"},
	} {
		got := resource.Key(tc.d, tc.ns, tc.name)
		if got != tc.want {
			t.Errorf("Key(%s, %q, %q) = %q, want %q", tc.d.Resource, tc.ns, tc.name, got, tc.want)
		}
		ns, name, ok := resource.ParseKey(tc.d, got)
		if wantNS := map[bool]string{true: tc.ns}[tc.d.Namespaced]; !ok || ns != wantNS || name != tc.name {
			t.Errorf("ParseKey(%q) = %q, %q, %v", got, ns, name, ok)
		}
		if !strings.HasPrefix(got, resource.Prefix(tc.d, tc.ns)) {
			t.Errorf("key %q is not under %q", got, resource.Prefix(tc.d, tc.ns))
		}
	}
	for _, bad := range []string{"", "/registry/pods", "/registry/pods/ns", "/registry/pods//a", "/registry/pods/ns/", "/registry/pods/ns/a/b", "/registry/podsx/ns/a"} {
		if _, _, ok := resource.ParseKey(pods(), bad); ok {
			t.Errorf("ParseKey(%q) accepted it", bad)
		}
	}
}

func TestPartialMetadataAndRows(t *testing.T) {
	p := pod()
	m, err := resource.PartialMetadata(p)
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != "PartialObjectMetadata" || m.APIVersion != "meta.k8s.io/v1" || m.Name != "a" || m.UID != "u1" {
		t.Errorf("PartialMetadata gave %+v", m)
	}
	for include, want := range map[metav1.IncludeObjectPolicy]string{"": "*v1.PartialObjectMetadata", metav1.IncludeMetadata: "*v1.PartialObjectMetadata", metav1.IncludeObject: "*v1.Pod", metav1.IncludeNone: "<nil>"} {
		table := &metav1.Table{Rows: []metav1.TableRow{{Object: runtime.RawExtension{Object: p}}}}
		if err := resource.FillRows(table, include); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%T", table.Rows[0].Object.Object); got != want {
			t.Errorf("includeObject %q: row holds %s, want %s", include, got, want)
		}
	}
}

func TestIndexChecks(t *testing.T) {
	table := newTable(t)
	alias := *pods()
	alias.Group, alias.StoredAs = "shop.example", &schema.GroupResource{Resource: "nonesuch"}
	for name, d := range map[string]*resource.Definition{
		"twice":              pods(),
		"no type":            {Resource: "x", Kind: "X", StorageVersion: "v1", KeyPrefix: "/registry/x"},
		"other prefix":       {Resource: "x", Kind: "Pod", StorageVersion: "v1", KeyPrefix: "/pintle/keys"},
		"no prefix":          {Resource: "x", Kind: "Pod", StorageVersion: "v1"},
		"no storage version": {Resource: "x", Kind: "Pod", KeyPrefix: "/registry/x"},
		"stored as nothing":  &alias,
	} {
		bad := &resource.Table{Scheme: table.Scheme, Definitions: append([]*resource.Definition{pods()}, d)}
		if err := bad.Index(); err == nil {
			t.Errorf("%s: Index accepted it", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := resource.NewCodec(resource.NewCatalog(newTable(f)))
	value, err := c.EncodeStorage(pods(), pod())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`))
	f.Add([]byte("k8s\x00\x0a\x02\x0a\x00\x12\x00"))
	f.Fuzz(func(t *testing.T, value []byte) {
		obj, err := c.Decode(pods(), value, math.MaxInt64)
		if err != nil {
			return
		}
		again, err := c.EncodeStorage(pods(), obj)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		if _, err := c.Decode(pods(), again, 1); err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
	})
}

func FuzzDecodeRequest(f *testing.F) {
	c := resource.NewCodec(resource.NewCatalog(newTable(f)))
	def := &schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	value, err := c.Encode(pod(), corev1.SchemeGroupVersion, resource.Protobuf)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value, uint8(2), false)
	f.Add([]byte(`{"kind":"Pod","spec":{"foo":{}}}`), uint8(0), true)
	f.Add([]byte("kind: Pod\nkind: Pod\n"), uint8(1), true)
	f.Add([]byte("a: &a [*a]"), uint8(1), true)
	f.Fuzz(func(t *testing.T, body []byte, media uint8, strict bool) {
		mt := []string{resource.JSON, resource.YAML, resource.Protobuf}[media%3]
		obj, gvk, _, err := c.DecodeRequest(body, mt, def, strict)
		if err != nil {
			var status apierrors.APIStatus
			if !errors.As(err, &status) {
				t.Fatalf("error %T is no Status", err)
			}
			return
		}
		if obj == nil || gvk == nil || gvk.Kind == "" {
			t.Fatalf("no error and no object")
		}
	})
}

// TestOutdated: a value of another version, or in another form, than today's.
func TestOutdated(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	pod, err := c.EncodeStorage(pods(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		d     *resource.Definition
		value string
		want  bool
	}{
		"as today":            {pods(), string(pod), false},
		"in JSON":             {pods(), `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}`, true},
		"in protobuf":         {widgets(), string(pod), true},
		"of today's version":  {widgets(), `{"apiVersion":"shop.example/v2","kind":"Widget"}`, false},
		"of an older version": {widgets(), `{"apiVersion":"shop.example/v1","kind":"Widget"}`, true},
		"not to be read":      {widgets(), `{`, false},
		"broken":              {pods(), "k8s\x00", false},
	} {
		if got := c.Outdated(tt.d, []byte(tt.value)); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

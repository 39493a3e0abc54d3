package render_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/render"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// counted is a codec that counts what it encodes.
type counted struct {
	render.Codec
	n int
}

func (c *counted) Encode(obj runtime.Object, gv schema.GroupVersion, media string) ([]byte, error) {
	c.n++
	return c.Codec.Encode(obj, gv, media)
}

// kit renders pods.
type kit struct {
	*render.Renderer
	codec *counted
	def   *resource.Definition
}

func newKit(t *testing.T, columns resource.Columns) *kit {
	t.Helper()
	def := &resource.Definition{Resource: "pods", Singular: "pod", Kind: "Pod", ListKind: "PodList", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1",
		KeyPrefix: "/registry/pods", Verbs: []string{"get", "list"}, Columns: columns}
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{def}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), table.Index()); err != nil {
		t.Fatal(err)
	}
	catalog := resource.NewCatalog(table)
	codec := &counted{Codec: resource.NewCodec(catalog)}
	return &kit{&render.Renderer{Catalog: catalog, Codec: codec}, codec, def}
}

// request is one whose answer goes to w.
func (k *kit) request(w http.ResponseWriter, query string) *endpoint.Request {
	e := endpoint.Endpoint{Def: k.def, Version: "v1"}
	return &endpoint.Request{Endpoint: e, GVK: e.Kind(), W: w, R: httptest.NewRequest(http.MethodGet, "/api/v1/pods"+query, nil)}
}

func pod(name string, rev int64) *watch.Object {
	return &watch.Object{Key: "/registry/pods/a/" + name, Namespace: "a", Name: name, Revision: rev,
		Obj: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, ResourceVersion: fmt.Sprint(rev)}, Spec: corev1.PodSpec{NodeName: "n"}}}
}

var (
	plain   = negotiation.Accepted{Media: negotiation.JSON}
	meta    = schema.GroupVersionKind{Group: metav1.GroupName, Version: "v1", Kind: "PartialObjectMetadata"}
	asTable = negotiation.Accepted{Media: negotiation.JSON, As: meta.GroupVersion().WithKind("Table")}
)

func answer(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWriteObject: an object in each form that can be asked for.
func TestWriteObject(t *testing.T) {
	for name, c := range map[string]struct {
		as    negotiation.Accepted
		want  string // the beginning
		lacks string
		media string
		err   bool
	}{
		"JSON":     {as: plain, want: `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"a","resourceVersion":"7"},"spec":{`, media: negotiation.JSON},
		"pretty":   {as: negotiation.Accepted{Media: negotiation.JSON, Pretty: true}, want: "{\n  \"kind\": \"Pod\",\n", media: negotiation.JSON},
		"YAML":     {as: negotiation.Accepted{Media: negotiation.YAML}, want: "apiVersion: v1\nkind: Pod\n", media: negotiation.YAML},
		"protobuf": {as: negotiation.Accepted{Media: negotiation.Protobuf}, want: "k8s\x00", media: negotiation.Protobuf},
		"metadata": {as: negotiation.Accepted{Media: negotiation.JSON, As: meta}, want: `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"x"`, lacks: "spec", media: negotiation.JSON},
		"a table":  {as: asTable, want: `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"columnDefinitions":[{"name":"Name"`, lacks: "spec", media: negotiation.JSON},
		"else":     {as: negotiation.Accepted{Media: negotiation.JSON, As: meta.GroupVersion().WithKind("Picture")}, err: true},
	} {
		t.Run(name, func(t *testing.T) {
			k, w := newKit(t, nil), httptest.NewRecorder()
			err := k.WriteObject(k.request(w, ""), http.StatusCreated, c.as, pod("x", 7))
			if (err != nil) != c.err {
				t.Fatalf("got %v", err)
			}
			if c.err {
				return
			}
			body := answer(t, w)
			if w.Code != http.StatusCreated || !strings.HasPrefix(body, c.want) || c.lacks != "" && strings.Contains(body, c.lacks) || w.Header().Get("Content-Type") != c.media {
				t.Errorf("%d %s %q, want it to begin with %q", w.Code, w.Header().Get("Content-Type"), body, c.want)
			}
			if text := c.as.Media != negotiation.Protobuf; text != strings.HasSuffix(body, "\n") && c.as.As.Empty() {
				t.Errorf("its end is %q", body[len(body)-3:])
			}
		})
	}
}

// TestWriteList: a list is its items' bytes, in order, with what it says itself.
func TestWriteList(t *testing.T) {
	left := int64(5)
	l := &registry.List{Items: []*watch.Object{pod("x", 7), pod("y", 8)}, Revision: 9, Continue: "more", Remaining: &left}
	for name, c := range map[string]struct {
		as   negotiation.Accepted
		list *registry.List
		want []string // in this order
	}{
		"JSON":  {plain, l, []string{`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"more","remainingItemCount":5},"items":[`, `"name":"x"`, `"name":"y"`, "]}\n"}},
		"empty": {plain, &registry.List{Revision: 9}, []string{`"items":[]`}},
		"metadata": {negotiation.Accepted{Media: negotiation.JSON, As: meta.GroupVersion().WithKind("PartialObjectMetadataList")}, l, []string{
			`{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"`, `[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"x"`, `,{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"y"`}},
		"YAML":    {negotiation.Accepted{Media: negotiation.YAML}, l, []string{"apiVersion: v1\nitems:\n", "name: x\n", "name: \"y\"\n", "kind: PodList\n"}},
		"a table": {asTable, l, []string{`"resourceVersion":"9","continue":"more","remainingItemCount":5`, `"cells":["x"`, `"cells":["y"`}},
	} {
		t.Run(name, func(t *testing.T) {
			k, w := newKit(t, nil), httptest.NewRecorder()
			if err := k.WriteList(k.request(w, ""), c.as, c.list); err != nil {
				t.Fatal(err)
			}
			rest := answer(t, w)
			for _, part := range c.want {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("no %q in %q", part, rest)
				}
				rest = after
			}
		})
	}
}

// TestEncodedOnce: a list, a get and YAML of a revision share bytes; another form
// has its own.
func TestEncodedOnce(t *testing.T) {
	k := newKit(t, nil)
	o := pod("x", 7)
	get := func(a negotiation.Accepted) string {
		w := httptest.NewRecorder()
		if err := k.WriteObject(k.request(w, ""), http.StatusOK, a, o); err != nil {
			t.Fatal(err)
		}
		return answer(t, w)
	}
	first := get(plain)
	w := httptest.NewRecorder()
	if err := k.WriteList(k.request(w, ""), plain, &registry.List{Items: []*watch.Object{o}, Revision: 9}); err != nil {
		t.Fatal(err)
	}
	// An item says its kind no more than the list does; the rest is the same.
	if _, rest, _ := strings.Cut(first, `"apiVersion":"v1",`); !strings.Contains(answer(t, w), "{"+strings.TrimSpace(rest)) {
		t.Errorf("a list has other bytes than %s", first)
	}
	get(negotiation.Accepted{Media: negotiation.YAML})
	if k.codec.n != 1 {
		t.Errorf("encoded %d times", k.codec.n)
	}
	if get(negotiation.Accepted{Media: negotiation.Protobuf}); k.codec.n != 2 {
		t.Errorf("encoded %d times with another form", k.codec.n)
	}
	if again := get(plain); again != first {
		t.Errorf("got %q after %q: shared bytes were changed", again, first)
	}
}

// TestTable: rows are the printer's, or name and age, each with as much of its
// object as was asked for.
func TestTable(t *testing.T) {
	print := func(rows int) resource.Columns {
		return func(list runtime.Object, _ metav1.TableOptions) (*metav1.Table, error) {
			l, ok := list.(*corev1.PodList)
			if !ok {
				return nil, fmt.Errorf("a printer of lists got %T", list)
			}
			t := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "Node"}}}
			for i := range rows {
				t.Rows = append(t.Rows, metav1.TableRow{Cells: []any{l.Items[i].Spec.NodeName}})
			}
			return t, nil
		}
	}
	for name, c := range map[string]struct {
		columns resource.Columns
		query   string
		want    []string
		lacks   string
		fails   func(error) bool
	}{
		"of any kind":   {want: []string{`"name":"Name"`, `"name":"Created At"`, `"cells":["x","`, `"kind":"PartialObjectMetadata"`}, lacks: `"spec"`},
		"of its kind":   {columns: print(2), want: []string{`"name":"Node"`, `"cells":["n"]`}, lacks: "Created At"},
		"with objects":  {query: "?includeObject=Object", want: []string{`"kind":"Pod"`, `"nodeName":"n"`}, lacks: "PartialObjectMetadata"},
		"without":       {query: "?includeObject=None", want: []string{`"object":null`}, lacks: `"kind":"Pod`},
		"with what":     {query: "?includeObject=Half", fails: apierrors.IsBadRequest},
		"of fewer rows": {columns: print(1), fails: func(err error) bool { return err != nil && strings.Contains(err.Error(), "1 rows for 2 objects") }},
	} {
		t.Run(name, func(t *testing.T) {
			k, w := newKit(t, c.columns), httptest.NewRecorder()
			err := k.WriteList(k.request(w, c.query), asTable, &registry.List{Items: []*watch.Object{pod("x", 7), pod("y", 8)}, Revision: 9})
			if c.fails != nil {
				if !c.fails(err) {
					t.Errorf("got %v", err)
				}
				if w.Body.Len() > 0 {
					t.Errorf("answered %q before it failed", w.Body)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body := answer(t, w)
			for _, part := range c.want {
				if !strings.Contains(body, part) {
					t.Errorf("no %s in %s", part, body)
				}
			}
			if c.lacks != "" && strings.Contains(body, c.lacks) {
				t.Errorf("%s in %s", c.lacks, body)
			}
		})
	}
}

// A table says of which revision its object is, unless it was never stored.
func TestRevisionOfATable(t *testing.T) {
	for rev, want := range map[int64]string{7: `"metadata":{"resourceVersion":"7"}`, 0: `"apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions"`} {
		k, w := newKit(t, nil), httptest.NewRecorder()
		if err := k.WriteObject(k.request(w, ""), 201, asTable, pod("x", rev)); err != nil {
			t.Fatal(err)
		}
		if body := answer(t, w); !strings.Contains(body, want) {
			t.Errorf("revision %d: no %s in %s", rev, want, body)
		}
	}
}

// TestWriteAnswer: what is not stored is sent as its own kind, and a Status with
// its own code.
func TestWriteAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		obj  runtime.Object
		as   negotiation.Accepted
		code int
		want string
	}{
		"a status":       {&metav1.Status{Status: metav1.StatusFailure, Code: 409}, plain, 409, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":409}`},
		"one of success": {&metav1.Status{Status: metav1.StatusSuccess}, plain, 200, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`},
		"another kind":   {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, plain, 200, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}`},
		"its metadata":   {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, negotiation.Accepted{Media: negotiation.JSON, As: meta}, 200, `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"x"}`},
		"a table of it":  {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, asTable, 200, `{"kind":"Table"`},
	} {
		t.Run(name, func(t *testing.T) {
			k, w := newKit(t, nil), httptest.NewRecorder()
			if err := k.WriteAnswer(k.request(w, ""), http.StatusOK, c.as, c.obj); err != nil {
				t.Fatal(err)
			}
			if body := answer(t, w); w.Code != c.code || !strings.HasPrefix(body, c.want) {
				t.Errorf("%d %s, want %d %s", w.Code, body, c.code, c.want)
			}
		})
	}
}

// TestTrimmed: JSON loses its newline, protobuf nothing: its last byte may be one.
func TestTrimmed(t *testing.T) {
	if got := render.Trimmed(negotiation.JSON, []byte("{}\n")); string(got) != "{}" {
		t.Errorf("got %q", got)
	}
	if b := []byte("k8s\x00\n"); !bytes.Equal(render.Trimmed(negotiation.Protobuf, b), b) {
		t.Error("protobuf was cut")
	}
}

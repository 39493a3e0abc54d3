package tape_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire/tape"
)

func parse(t testing.TB, v any) tape.Value {
	t.Helper()
	b, err := tape.Build(v)
	if err != nil {
		t.Fatal(err)
	}
	tp, err := tape.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return tp.Root()
}

type object struct {
	Name    string            `json:"name"`
	Count   *int32            `json:"count,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Items   []item            `json:"items"`
	Ratio   float64           `json:"ratio"`
	Data    []byte            `json:"data,omitempty"`
	Hidden  string            `json:"-"`
	Managed []string          `json:"managedFields,omitempty"`
	inner
}

type item struct {
	Image string          `json:"image"`
	On    bool            `json:"on,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
}

type inner struct {
	Deep string `json:"deep,omitempty"`
}

func TestRead(t *testing.T) {
	five := int32(5)
	v := parse(t, &object{Name: "näme \"x\"", Count: &five, Labels: map[string]string{"app.kubernetes.io/name": "web", "0": "zero"},
		Items: []item{{Image: "a:1"}, {Image: "b:2", On: true, Raw: json.RawMessage(`{"k":[1,2.5,null]}`)}}, Ratio: 0.5, Data: []byte("hello"), Hidden: "h", Managed: []string{"m"}})
	for path, want := range map[string]any{
		"name": "näme \"x\"", "labels[app.kubernetes.io/name]": "web", "labels[0]": "zero", "items[0].image": "a:1", "items[1].image": "b:2",
		"data": "aGVsbG8=", "nothing": "", "name.x": "", "items[7].image": "", "items.image": "", "Hidden": "", "managedFields": "",
		"..": "", "items[": "", "items[]": "", "": "",
	} {
		if got := v.Get(path).String(); got != want {
			t.Errorf("%q = %q, want %q", path, got, want)
		}
	}
	if got := v.Get("count").Int(); got != 5 {
		t.Errorf("count %d", got)
	}
	if got := v.Get("ratio").Float(); got != 0.5 {
		t.Errorf("ratio %v", got)
	}
	if !v.Get("items[1].on").Bool() || v.Get("items[0].on").Exists() || v.Get("items").Len() != 2 {
		t.Error("items are wrong")
	}
	if raw := v.Get("items[1].raw.k"); raw.Len() != 3 || raw.Index(0).Int() != 1 || raw.Index(1).Float() != 2.5 || raw.Index(2).Kind() != tape.Null {
		t.Error("raw JSON is wrong")
	}
	var names []string
	for k := range v.Get("labels").Fields() {
		names = append(names, k)
	}
	if got := strings.Join(names, " "); got != "0 app.kubernetes.io/name" {
		t.Errorf("fields %q", got)
	}
	var i item
	if err := v.Get("items[1]").Decode(&i); err != nil || i.Image != "b:2" || !i.On {
		t.Errorf("decoded %+v, %v", i, err)
	}
	if err := v.Get("nothing").Decode(&i); err == nil {
		t.Error("nothing was decoded")
	}
}

// TestSameAsJSON: a tape says what the JSON says.
func TestSameAsJSON(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `null`, `true`, `"x"`, `-5`, `1.25`, `9007199254740993`, `1e300`, `{"a":{"b":[{"c":null},[],{}]}}`,
		`{"q":"a\"b\\c\u0001é\u2028"}`, `{"":{"":1}}`} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		got, err := parse(t, v).AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		var want, have any
		if json.Unmarshal([]byte(text), &want) != nil || json.Unmarshal(got, &have) != nil || !reflect.DeepEqual(want, have) {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	deep := any("x")
	for range 2000 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{"channel": make(chan int), "function": map[string]any{"f": func() {}}, "deep": deep, "int keys": map[int]string{1: "a"}} {
		if _, err := tape.Build(v); err == nil {
			t.Errorf("%s was built", name)
		}
	}
	if _, err := parse(t, math.Inf(1)).AppendJSON(nil); err == nil {
		t.Error("infinity became JSON")
	}
}

func TestParsePath(t *testing.T) {
	got, err := tape.ParsePath("a.b[0].c[x.y/z][10]")
	want := []tape.Segment{{"a", -1}, {"b", -1}, {"0", 0}, {"c", -1}, {"x.y/z", -1}, {"10", 10}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("path %v, %v", got, err)
	}
	if err := tape.CheckPath("a.b[0].c[x.y/z][10]"); err != nil {
		t.Errorf("a good path: %v", err)
	}
	for _, bad := range []string{"", ".", "a.", "a..b", ".a", "a[", "a[]", "a[1", "a[1]b"} {
		if got, err := tape.ParsePath(bad); err == nil {
			t.Errorf("path %q was read as %v", bad, got)
		} else if checked := tape.CheckPath(bad); checked == nil || checked.Error() != err.Error() {
			t.Errorf("path %q: checking says %v, reading %v", bad, checked, err)
		}
	}
}

// FuzzParse reads whatever bytes say: it may find nothing, but must not fail.
func FuzzParse(f *testing.F) {
	b, err := tape.Build(map[string]any{"a": map[string]any{"b": []any{"x", 1.5, true}}, "c": "y"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		t, err := tape.Parse(b)
		if err != nil {
			return
		}
		v := t.Root()
		v.Get("a.b[1]").Float()
		v.Get("c").Int()
		for k, c := range v.Fields() {
			_, _, _ = k, c.Kind(), c.Get("b").Len()
			for range c.Items() {
				break
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	v := parse(b, map[string]any{"metadata": map[string]any{"name": "x"}, "spec": map[string]any{"containers": []any{map[string]any{"image": "i"}}}})
	for b.Loop() {
		if v.Get("spec.containers[0].image").String() != "i" {
			b.Fatal("not found")
		}
	}
}

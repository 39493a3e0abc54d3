package record_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

var locatedPaths = []string{"name", "labels", "next.labels", "next.next.name", "sizes", "labels.app", "nosuch", "items"}

// TestLocator: what is found in one pass is what Get finds, wherever a path is
// declared by name.
func TestLocator(t *testing.T) {
	for fields, declared := range map[string]string{
		"name,labels,items":                           "++-----+",
		"next(labels,next(name)),sizes":               "--+++---",
		"sizes,next,labels(app),name":                 "++--++--",
		"next(next(next(name))),name":                 "+-------",
		"next(next(name),labels),items(image),labels": "-+++---+",
	} {
		v := parse(t, fields, full())
		l := record.NewLocator(declare(fields), locatedPaths...)
		at := make([]int32, len(locatedPaths))
		l.Locate(v, at)
		for i, path := range locatedPaths {
			f, ok := l.Declared(i)
			if ok != (declared[i] == '+') {
				t.Errorf("%s: %s is declared: %v", fields, path, ok)
			}
			if !ok {
				continue
			}
			got, want := l.At(v, at, i), v.Get(path)
			if a, b := asJSON(t, got), asJSON(t, want); got.Kind() != want.Kind() || a != b {
				t.Errorf("%s: %s is %s, want %s", fields, path, a, b)
			}
			if path == "items" && (f != nil) != strings.Contains(fields, "items(") {
				t.Errorf("%s: of items %s is declared", fields, f)
			}
		}
	}
	l := record.NewLocator(nil, "name")
	at := []int32{7}
	l.Locate(record.Value{}, at)
	if _, ok := l.Declared(0); ok || at[0] != 0 {
		t.Error("a place in nothing")
	}
}

func asJSON(t *testing.T, v record.Value) string {
	t.Helper()
	b, err := v.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// held is what readHeld reads.
type held struct {
	Name   string            `json:"name"`
	Count  int32             `json:"count"`
	Labels map[string]string `json:"labels"`
	Items  []pair            `json:"items"`
	Names  []string          `json:"names"`
	Plain  int64             `json:"plain"`
}

type pair struct {
	Image string `json:"image"`
	Size  int64  `json:"size"`
}

const heldFields = "name,count,labels,items(image,size),names,plain"

func readHeld(v record.Value) (h held, err error) {
	r := v.Reader()
	if outer, ok := r.Struct(); ok {
		h.Name, h.Count, h.Labels = r.Text(), r.Int32(), r.TextMap()
		h.Items = record.Items(&r, func(r *record.Reader, to *pair) {
			if outer, ok := r.Struct(); ok {
				to.Image, to.Size = r.Text(), r.Int()
				r.Leave(outer)
			}
		})
		h.Names, h.Plain = r.Texts(), r.Int()
		r.Leave(outer)
	}
	return h, r.Err()
}

// TestReader: a reader reads what Decode decodes, and says when something is of
// another form.
func TestReader(t *testing.T) {
	for _, want := range []held{
		{},
		{Name: "n", Plain: -1 << 40},
		{Count: -7, Labels: map[string]string{"a": "b", "": ""}, Items: []pair{{"x", 1}, {}, {Size: -1}}},
		{Items: []pair{}, Names: []string{"", "y"}, Labels: map[string]string{}},
	} {
		if got, err := readHeld(parse(t, heldFields, &want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if got, err := readHeld(record.Value{}); err != nil || !reflect.DeepEqual(got, held{}) {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	for name, other := range map[string]map[string]any{
		"a number for a string":  {"name": 1},
		"a number that is large": {"count": int64(1) << 40},
		"a fraction":             {"count": 1.5},
		"a list for a map":       {"labels": []any{"a"}},
		"a number in a map":      {"labels": map[string]any{"a": 1}},
		"a string in a list":     {"items": []any{"a"}},
		"a string for a list":    {"names": "a"},
	} {
		if got, err := readHeld(parse(t, heldFields, other)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := readHeld(parse(t, "", &held{Name: "n"})); err == nil {
		t.Error("a map was read as a struct")
	}
}

// FuzzReader: where a reader finds no fault it reads what Decode decodes, of any
// bytes; and a locator finds what Get does.
func FuzzReader(f *testing.F) {
	for _, h := range []held{{Name: "n", Plain: 1}, {Count: 1, Labels: map[string]string{"a": "b"}, Items: []pair{{"x", 1}, {}}, Names: []string{"y"}}} {
		f.Add(encode(f, heldFields, &h))
	}
	f.Add([]byte("\x08\x13\x00\x00\x00\x00\x00\x00\x06\x0b\x00\x00\x00\x03\x00\x00\x00\x05\x01a\x05\x01b"))
	declared := declare(heldFields)
	paths := []string{"name", "items", "labels", "plain"}
	locator := record.NewLocator(declared, paths...)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := record.Parse(b, declared)
		if err != nil || !v.Exists() || v.Kind() == record.KindNull {
			return
		}
		at := make([]int32, len(paths))
		locator.Locate(v, at)
		for i, path := range paths {
			found, errFound := locator.At(v, at, i).AppendJSON(nil)
			want, errWant := v.Get(path).AppendJSON(nil)
			if b[0] == record.Struct && (string(found) != string(want) || (errFound == nil) != (errWant == nil)) {
				t.Fatalf("%q: %s is %s (%v), want %s (%v)", b, path, found, errFound, want, errWant)
			}
		}
		got, err := readHeld(v)
		if err != nil {
			return
		}
		var want held
		if err := v.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v (%v)", b, got, want, err)
		}
	})
}

package record_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// object has every form of field that the encoder knows.
type object struct {
	Name   string            `json:"name"`
	Count  *int32            `json:"count,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Items  []item            `json:"items"`
	Ratio  float64           `json:"ratio"`
	Small  float32           `json:"small,omitempty"`
	Data   []byte            `json:"data,omitempty"`
	Hidden string            `json:"-"`
	inner
	Sizes   map[string]item `json:"sizes,omitempty"`
	Any     any             `json:"any,omitempty"`
	Tiny    int8            `json:"tiny,omitempty"`
	Short   int16           `json:"short,omitempty"`
	Plain   int             `json:"plain,omitempty"`
	U8      uint8           `json:"u8,omitempty"`
	U16     uint16          `json:"u16,omitempty"`
	U32     uint32          `json:"u32,omitempty"`
	U64     uint64          `json:"u64,omitempty"`
	Since   *time.Time      `json:"since,omitempty"`
	When    time.Time       `json:"when,omitzero"`
	Pair    [2]int64        `json:"pair"`
	Quoted  int64           `json:"quoted,string,omitempty"`
	Nothing [0]int          `json:"nothing,omitempty"`
	Managed []string        `json:"managedFields,omitempty"`
	Next    *object         `json:"next,omitempty"`
}

type item struct {
	Image string          `json:"image"`
	On    bool            `json:"on,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
}

type inner struct {
	Deep string `json:"deep,omitempty"`
}

// declare is the declaration of a text that is right.
func declare(text string) *record.Fields {
	f, err := record.ParseFields(text)
	if err != nil {
		panic(err)
	}
	return f
}

func full() *object {
	five, since := int32(5), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &object{Name: "näme \"x\"", Count: &five, Labels: map[string]string{"app.kubernetes.io/name": "web", "0": "zero"},
		Items: []item{{Image: "a:1"}, {Image: "b:2", On: true, Raw: json.RawMessage(`{"k":[1,2.5,null,-70000,"é"]}`)}},
		Ratio: 0.5, Small: 0.1, Data: []byte("hello"), Hidden: "h", inner: inner{"d"}, Sizes: map[string]item{"z": {Image: "z"}, "a": {Image: "a"}},
		Any: map[string]any{"x": []any{true, "s", 1.5, nil, int64(7)}}, Tiny: -3, Short: -300, Plain: 1 << 40, U8: 200, U16: 60000, U32: 1 << 31, U64: 1 << 60,
		Since: &since, When: since, Pair: [2]int64{1, 2}, Quoted: 9, Managed: []string{"m"}, Next: &object{Name: strings.Repeat("long", 100)}}
}

var encoder = record.NewEncoder(nil)

func encode(t testing.TB, fields string, v any) []byte {
	t.Helper()
	b, err := encoder.Plan(declare(fields)).Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, fields string, v any) record.Value {
	t.Helper()
	got, err := record.Parse(encode(t, fields, v), declare(fields))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestBytes: the bytes are those that the package doc promises.
func TestBytes(t *testing.T) {
	yes, no := true, false
	type part struct {
		ID string `json:"id,omitempty"`
	}
	obj := &struct {
		A string            `json:"a"`
		B int64             `json:"b"`
		C *bool             `json:"c"`
		D *bool             `json:"d"`
		E []part            `json:"e"`
		F map[string]string `json:"f"`
		G *part             `json:"g"`
		H float64           `json:"h"`
	}{A: "ab", B: -70, C: &yes, D: &no, E: []part{{"x"}, {}}, F: map[string]string{"k": "v", "a": ""}, H: 1.5}
	for fields, want := range map[string]string{
		"a":           "\x08\x04\x00\x00\x00" + "\x05\x02ab",
		"b":           "\x08\x03\x00\x00\x00" + "\x03\x8b\x01",
		"c,d":         "\x08\x02\x00\x00\x00" + "\x02\x01",
		"g,zz":        "\x08\x00\x00\x00\x00", // behind the last value is nothing
		"g,c":         "\x08\x02\x00\x00\x00" + "\x00\x02",
		"h":           "\x08\x09\x00\x00\x00" + "\x04\x00\x00\x00\x00\x00\x00\xf8\x3f",
		"e(id)":       "\x08\x16\x00\x00\x00" + "\x06\x11\x00\x00\x00\x02\x00\x00\x00" + "\x08\x03\x00\x00\x00\x05\x01x" + "\x08\x00\x00\x00\x00",
		"e":           "\x08\x21\x00\x00\x00" + "\x06\x1c\x00\x00\x00\x02\x00\x00\x00" + "\x07\x0a\x00\x00\x00\x01\x00\x00\x00\x02id\x05\x01x" + "\x07\x04\x00\x00\x00\x00\x00\x00\x00",
		"f":           "\x08\x12\x00\x00\x00" + "\x07\x0d\x00\x00\x00\x02\x00\x00\x00" + "\x01a\x05\x00" + "\x01k\x05\x01v",
		"f(zz,k)":     "\x08\x09\x00\x00\x00" + "\x08\x04\x00\x00\x00" + "\x00\x05\x01v",
		"nothing,a,b": "\x08\x08\x00\x00\x00" + "\x00\x05\x02ab\x03\x8b\x01",
	} {
		if got := encode(t, fields, obj); string(got) != want {
			t.Errorf("%s:\ngot  %q\nwant %q", fields, got, want)
		}
	}
}

// TestSameAsJSON: a record says what the JSON says.
func TestSameAsJSON(t *testing.T) {
	trees := []any{full(), &object{}, full().Items}
	for _, text := range []string{`{}`, `[]`, `null`, `true`, `"x"`, `-5`, `1.25`, `9007199254740993`, `1e300`, `{"a":{"b":[{"c":null},[],{}]}}`,
		`{"q":"a\"b\\c\u0001é\u2028"}`, `{"":{"":1}}`, `"` + strings.Repeat("x", 300) + `"`} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		trees = append(trees, v)
	}
	for _, v := range trees {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(t, "", v).AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		var want, have any
		if json.Unmarshal(text, &want) != nil || json.Unmarshal(got, &have) != nil {
			t.Fatalf("%s became %s", text, got)
		}
		if m, ok := want.(map[string]any); ok {
			delete(m, "managedFields")
		}
		if !reflect.DeepEqual(want, have) {
			t.Errorf("%s became %s", text, got)
		}
	}
}

// TestDecode: a type decodes what it would have decoded from JSON, from the
// fields that it declares and from all of the object.
func TestDecode(t *testing.T) {
	type part struct {
		Image string `json:"image"`
	}
	type name string
	type subset struct {
		Any    any               `json:"any"`
		Name   name              `json:"name"`
		Gone   string            `json:"gone"`
		Labels map[string]string `json:"labels"`
		Items  []*struct {
			Raw   json.RawMessage `json:"raw"`
			On    *bool           `json:"on"`
			Image string          `json:"image"`
		} `json:"items"`
		Count  int64           `json:"count"`
		Data   []byte          `json:"data"`
		Ratio  float32         `json:"ratio"`
		Sizes  map[name]part   `json:"sizes"`
		Tiny   int8            `json:"tiny"`
		Short  int16           `json:"short"`
		Plain  float64         `json:"plain"`
		U16    int32           `json:"u16"`
		Since  time.Time       `json:"since"`
		Pair   []int           `json:"pair"`
		Next   struct{ part }  `json:"next"`
		Empty  struct{}        `json:"when"`
		Number json.Number     `json:"u64"`
		Keys   map[string]bool `json:"nothing"`
	}
	obj := full()
	obj.When = time.Time{}
	var want subset
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	declared := record.FieldsOf(reflect.TypeFor[subset]())
	if !strings.HasPrefix(declared.String(), "any,name,gone,labels,items(raw,on,image),count,") {
		t.Errorf("declared %q", declared)
	}
	for _, fields := range []string{declared.String(), ""} {
		var got subset
		if err := record.Decode(encode(t, fields, obj), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("fields %q:\ngot  %+v\nwant %+v", fields, got, want)
		}
	}
	var all object
	if err := record.Decode(encode(t, "", obj), &all); err != nil {
		t.Fatal(err)
	}
	var back object
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	back.Managed = nil
	if !reflect.DeepEqual(back, all) {
		t.Errorf("all:\ngot  %+v\nwant %+v", all, back)
	}
}

func TestFieldsOf(t *testing.T) {
	type tree struct {
		Name string  `json:"name"`
		Kids []*tree `json:"kids"`
	}
	for name, c := range map[string]struct {
		of   any
		want string
	}{
		"not a struct":   {0, ""},
		"within itself":  {tree{}, ""},
		"no name":        {struct{ Name string }{}, ""},
		"no fields":      {struct{}{}, ""},
		"decodes itself": {json.RawMessage{}, ""},
		"quoted": {struct {
			A int `json:"a,string"`
		}{}, ""},
		"embedded": {struct{ inner }{}, "deep"},
		"left out": {struct {
			A, B int `json:"-"`
		}{}, ""},
		"list and map": {struct {
			A []map[string]item `json:"a"`
			B [][]item          `json:"b"`
		}{}, "a,b(image,on,raw)"},
		"text": {struct {
			A time.Time `json:"a"`
		}{}, "a"},
		"too many fields": {many(), ""},
	} {
		if got := record.FieldsOf(reflect.TypeOf(c.of)).String(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// many is a struct of too many fields.
func many() any {
	var fields []reflect.StructField
	for i := range 100 {
		name := strings.Repeat("x", 10) + string(rune('a'+i%26)) + string(rune('a'+i/26))
		fields = append(fields, reflect.StructField{Name: strings.ToUpper(name), Type: reflect.TypeFor[int](), Tag: reflect.StructTag(`json:"` + name + `"`)})
	}
	return reflect.New(reflect.StructOf(fields)).Elem().Interface()
}

func TestFieldsOfPaths(t *testing.T) {
	for want, paths := range map[string][]string{
		"":                                  nil,
		"metadata(name,labels(a.b/c)),spec": {"metadata.name", "spec", "metadata.labels[a.b/c]", "spec.containers"},
		"spec(containers(image,name))":      {"spec.containers[0].image", "spec.containers.name"},
	} {
		f, err := record.FieldsOfPaths(paths...)
		if err != nil || f.String() != want {
			t.Errorf("%q: %q, %v, want %q", paths, f, err, want)
		}
	}
	for _, paths := range [][]string{{""}, {"[0]"}, {"a."}, {"a[b(c]"}, {strings.Repeat("a.", 40) + "a"}, {strings.Repeat("a", 5000)}} {
		if f, err := record.FieldsOfPaths(paths...); err == nil {
			t.Errorf("%.20q: declared %q", paths, f)
		}
	}
}

func TestParseFieldsErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a,":                     "without a name",
		",":                      "without a name",
		"a,a":                    "named twice",
		"a(b":                    "not closed",
		"a)":                     "not opened",
		"a()":                    "without a name",
		"a(b)c":                  "not opened",
		strings.Repeat("a(", 99): "nested deeper",
		strings.Repeat("a", 1e4): "at most",
	} {
		if _, err := record.ParseFields(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
}

func TestValue(t *testing.T) {
	for _, fields := range []string{"", "name,labels,items(image,on,raw(k)),count,ratio,data,nothing,any", "labels(app.kubernetes.io/name,0),items,name,count,ratio,data"} {
		v := parse(t, fields, full())
		for path, want := range map[string]string{
			"name": "näme \"x\"", "labels[app.kubernetes.io/name]": "web", "labels[0]": "zero", "items[0].image": "a:1", "items[1].image": "b:2",
			"data": "aGVsbG8=", "name.x": "", "items[7].image": "", "items.image": "", "..": "", "items[": "", "items[]": "", "": "", "items[1].raw.k[4]": "é",
		} {
			if got := v.Get(path).String(); got != want {
				t.Errorf("%s: %q = %q, want %q", fields, path, got, want)
			}
		}
		if v.Get("count").Int() != 5 || v.Get("ratio").Float() != 0.5 || v.Get("ratio").Int() != 0 || v.Get("count").Float() != 5 {
			t.Errorf("%s: numbers are wrong", fields)
		}
		if !v.Get("items[1].on").Bool() || v.Get("items[0].on").Exists() || v.Get("items").Len() != 2 || v.Get("labels").Len() != 2 || v.Get("name").Len() != 9 {
			t.Errorf("%s: items are wrong", fields)
		}
		raw := v.Get("items[1].raw.k")
		if raw.Len() != 5 || raw.Index(0).Int() != 1 || raw.Index(1).Float() != 2.5 || raw.Index(2).Kind() != record.KindNull || raw.Index(3).Int() != -70000 {
			t.Errorf("%s: raw JSON is wrong", fields)
		}
		var names []string
		for k := range v.Get("labels").Fields() {
			names = append(names, k)
		}
		if len(names) != 2 {
			t.Errorf("%s: labels %q", fields, names)
		}
		var i item
		if err := v.Get("items[1]").Decode(&i); err != nil || i.Image != "b:2" || !i.On || len(i.Raw) == 0 {
			t.Errorf("%s: decoded %+v, %v", fields, i, err)
		}
		if err := v.Get("items[9]").Decode(&i); err == nil {
			t.Errorf("%s: nothing was decoded", fields)
		}
		if got := v.Undeclared(); got != "" {
			t.Errorf("%s: %q is not declared", fields, got)
		}
		if v.Get("deep").Exists() != (fields == "") || v.Undeclared() != map[bool]string{false: "deep"}[fields == ""] {
			t.Errorf("%s: deep, undeclared %q", fields, v.Undeclared())
		}
	}
	if v, err := record.Parse(nil, nil); err != nil || v.Exists() || v.Get("a.b").Exists() || v.Len() != 0 || v.Undeclared() != "" {
		t.Errorf("an empty body is %v, %v", v, err)
	}
}

// TestUnstructured: trees are written as types are.
func TestUnstructured(t *testing.T) {
	obj := full()
	obj.When, obj.Since, obj.Any, obj.Quoted, obj.U64 = time.Time{}, nil, nil, 0, 0
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	fields := "name,labels,items(image,on,raw),count,data,sizes(a(image),q),next(items(image),name),nothing"
	if a, b := encode(t, fields, obj), encode(t, fields, unstructured(tree)); string(a) != string(b) {
		t.Errorf("\ntyped %q\ntree  %q", a, b)
	}
	v := parse(t, "", unstructured{"metadata": map[string]any{"name": "a", "managedFields": []any{}}, "spec": map[string]any{"managedFields": "mine"}})
	if v.Get("metadata.managedFields").Exists() || v.Get("metadata").Len() != 1 || v.Get("spec.managedFields").String() != "mine" {
		t.Error("managedFields of metadata alone are left out")
	}
	for _, fields := range []string{"metadata(managedFields,name)", "metadata"} {
		v := parse(t, fields, unstructured{"metadata": map[string]any{"name": "a", "managedFields": []any{"x"}}})
		if v.Get("metadata.managedFields").Exists() || v.Get("metadata.name").String() != "a" {
			t.Errorf("managedFields are sent for %s", fields)
		}
	}
}

type unstructured map[string]any

func (u unstructured) UnstructuredContent() map[string]any { return u }

func TestEncodeErrors(t *testing.T) {
	deep := any("x")
	for range 2000 {
		deep = []any{deep}
	}
	type chain struct {
		Next *chain `json:"next"`
	}
	endless := &chain{}
	endless.Next = endless
	for name, v := range map[string]any{"channel": make(chan int), "function": map[string]any{"f": func() {}}, "deep": deep, "endless": endless,
		"NaN": math.NaN(), "infinite": &struct{ F float32 }{float32(math.Inf(1))}, "no number": json.Number("x"), "no JSON": &struct{ R json.RawMessage }{json.RawMessage("{")}} {
		if b, err := encoder.Plan(nil).Append([]byte("kept"), v); err == nil || string(b) != "kept" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	type thing struct {
		Name   string            `json:"name"`
		Count  int8              `json:"count"`
		Labels map[string]string `json:"labels"`
		Items  []item            `json:"items"`
		Any    any               `json:"any"`
	}
	st := func(body string) string { return "\x08" + size(len(body)) + body }
	for name, c := range map[string]struct{ body, want string }{
		"empty":               {"", "cut short"},
		"cut":                 {"\x08\x04\x00\x00\x00\x05\x02a", "cut short"},
		"long":                {st("\x00") + "x", "bytes behind"},
		"number too large":    {st("\x00\x03\x80\x04"), "does not fit"},
		"endless varint":      {st("\x00\x03" + strings.Repeat("\xff", 12)), "cut short"},
		"more than there are": {st("\x00\x00\x00\x06" + size(5) + "\xff\xff\xff\x03\x00"), "cut short"},
		"fewer than said":     {st("\x00\x00\x00\x06" + size(6) + size(1) + "\x00\x00"), "cut short"},
		"beyond its struct":   {"\x08\x01\x00\x00\x00\x05\x01a", "cut short"},
		"another type":        {st("\x00\x05\x01a"), "cannot unmarshal"},
		"no such tag":         {st("\x09"), "tag 9"},
		"struct as a string":  {st(st("")), "not declared here"},
		"struct as any":       {st("\x00\x00\x00\x00" + st("")), "not declared here"},
		"label of a number":   {st("\x00\x00\x07" + size(8) + size(1) + "\x01a\x03\x02"), "not a string"},
		"deep":                {st("\x00\x00\x00\x00" + nested(1500)), "too deeply"},
	} {
		var got thing
		if err := record.Decode([]byte(c.body), &got); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for _, v := range []any{nil, thing{}, (*thing)(nil), new(int)} {
		if err := record.Decode([]byte(st("")), v); err == nil {
			t.Errorf("decoded into %T", v)
		}
	}
	for _, body := range []string{"\x09", "\x05\x02a", "\x08\x01\x00\x00\x00", "\x00\x00"} {
		if _, err := record.Parse([]byte(body), nil); err == nil {
			t.Errorf("%q was parsed", body)
		}
	}
}

// TestShortStruct: a struct may hold fewer values than were declared, and more.
func TestShortStruct(t *testing.T) {
	var got struct {
		A string `json:"a"`
		B string `json:"b"`
	}
	got.B = "kept"
	if err := record.Decode([]byte("\x08\x03\x00\x00\x00\x05\x01x"), &got); err != nil || got.A != "x" || got.B != "kept" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := record.Decode([]byte("\x08\x09\x00\x00\x00\x05\x01x\x05\x01y\x05\x01z"), &got); err != nil || got.B != "y" {
		t.Errorf("%+v, %v", got, err)
	}
}

func size(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// nested is so many lists within one another.
func nested(depth int) string {
	s := "\x00"
	for range depth {
		s = "\x06" + size(len(s)+4) + size(1) + s
	}
	return s
}

func TestForms(t *testing.T) {
	forms := record.Forms{}
	record.AddForm(forms, func(b []byte, v *time.Time) ([]byte, error) { return record.AppendInt(b, v.Unix()), nil })
	record.AddForm(forms, func(b []byte, v *inner) ([]byte, error) {
		b, at := record.BeginMap(b, 1)
		b = record.AppendBool(record.AppendKey(b, "short"), len(v.Deep) < 3)
		record.End(b, at)
		return b, nil
	})
	b, err := record.NewEncoder(forms).Plan(nil).Append(nil, &struct {
		When  *time.Time `json:"when"`
		Inner inner      `json:"inner"`
	}{new(time.Time), inner{"d"}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := record.Parse(b, nil)
	if err != nil || v.Get("when").Int() != (time.Time{}).Unix() || !v.Get("inner.short").Bool() {
		t.Errorf("%v, when %d", err, v.Get("when").Int())
	}
}

// What a guest declares grows, and is asked for by path or by type.
func TestDeclarationsGrow(t *testing.T) {
	type toleration struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	at, err := record.At("spec.tolerations", record.FieldsOf(reflect.TypeFor[toleration]()))
	if err != nil || at.String() != "spec(tolerations(key,value))" {
		t.Fatalf("declared %q, %v", at, err)
	}
	if whole, err := record.At("metadata.labels[a.b/c]", nil); err != nil || whole.String() != "metadata(labels(a.b/c))" {
		t.Errorf("declared %q, %v", whole, err)
	}
	if _, err := record.At("", nil); err == nil {
		t.Error("no path")
	}
	for _, c := range []struct{ a, b, union string }{
		{"x", "y", "x,y"},
		{"b,a", "a,b", "b,a"},
		{"spec(x)", "spec(y(z))", "spec(x,y(z))"},
		{"spec(x),a", "spec", "spec,a"},
		{"spec", "spec(x),b", "spec,b"},
		{"", "x", ""},
	} {
		a, b := declare(c.a), declare(c.b)
		u := record.Union(a, b)
		if u.String() != c.union {
			t.Errorf("%q and %q are %q, want %q", c.a, c.b, u, c.union)
		}
		if !u.Covers(a) || !u.Covers(b) || c.a != c.union && a.Covers(u) {
			t.Errorf("%q does not cover %q and %q, or is covered", u, a, b)
		}
		if again := declare(u.String()); !again.Covers(u) || !u.Covers(again) {
			t.Errorf("%q is not what its text says", u)
		}
	}
	f := declare("metadata(labels(a.b/c),name),spec(containers(image),affinity)")
	for path, want := range map[string]bool{
		"metadata.labels[a.b/c]": true, "metadata.labels[x]": false, "metadata.labels": false, "metadata": false, "spec.containers[0].image": true,
		"spec.containers.image": true, "spec.containers[3]": false, "spec.affinity.nodeAffinity": true, "": false, "spec..x": false,
	} {
		if got := f.Has(path); got != want {
			t.Errorf("has %q: %v, want %v", path, got, want)
		}
	}
	if !(*record.Fields)(nil).Has("a.b") {
		t.Error("all of the object has no a.b")
	}
	if n := f.Names(1); n.String() != "metadata,spec" || !n.Covers(f) {
		t.Errorf("first names %q", n)
	}
	if n := f.Names(2); n.String() != "metadata(labels,name),spec(containers,affinity)" || !n.Covers(f) {
		t.Errorf("second names %q", n)
	}
}

// A part of a record decodes into a Go type whatever was declared of it: in the
// type's order, in another, more, less, or all.
func TestDecodeOfDeclared(t *testing.T) {
	type small struct {
		Image string `json:"image"`
		On    bool   `json:"on"`
	}
	want := []small{{Image: "a:1"}, {Image: "b:2", On: true}}
	for _, fields := range []string{"items(image,on)", "items(on,image)", "items(raw,on,nosuch,image)", "items", "name,items(image,on)", ""} {
		var got []small
		if err := parse(t, fields, full()).Get("items").Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", fields, got, err, want)
		}
	}
	var less []small
	if err := parse(t, "items(on)", full()).Get("items").Decode(&less); err != nil || less[0].Image != "" || !less[1].On {
		t.Errorf("less: %+v, %v", less, err)
	}
	var labels map[string]string
	if err := parse(t, "labels(0)", full()).Get("labels").Decode(&labels); err != nil || !reflect.DeepEqual(labels, map[string]string{"0": "zero"}) {
		t.Errorf("one key of a map: %v, %v", labels, err)
	}
	var loose any
	if err := parse(t, "items(on,image)", full()).Get("items").Decode(&loose); err != nil ||
		!reflect.DeepEqual(loose, []any{map[string]any{"image": "a:1"}, map[string]any{"on": true, "image": "b:2"}}) {
		t.Errorf("any: %v, %v", loose, err)
	}
	if err := parse(t, "items(image)", full()).Get("name").Decode(&labels); err == nil {
		t.Error("what is not there was decoded")
	}
	if err := parse(t, "name", full()).Get("name").Decode(&labels); err == nil {
		t.Error("a string was decoded into a map")
	}
	if err := parse(t, "name", full()).Get("name").Decode(labels); err == nil {
		t.Error("decoded into what is no pointer")
	}
}

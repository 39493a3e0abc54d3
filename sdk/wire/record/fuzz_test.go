package record_test

import (
	"encoding/json"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// FuzzDecode: any bytes are an error or an object that JSON can express, read
// into a type and in place.
func FuzzDecode(f *testing.F) {
	const fields = "name,count,labels,items(image,on,raw),any,sizes"
	for _, text := range []string{"", fields} {
		b, err := encoder.Plan(declare(text)).Append(nil, full())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(nested(50)))
	f.Add([]byte("\x08\x0a\x00\x00\x00\x06\xff\xff\xff\xff\xff\xff\xff\xff\x00"))
	type thing struct {
		Name   string            `json:"name"`
		Count  *int8             `json:"count"`
		Labels map[string]string `json:"labels"`
		Items  []item            `json:"items"`
		Any    any               `json:"any"`
		Sizes  map[string]item   `json:"sizes"`
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got thing
		if record.Decode(b, &got) == nil {
			if _, err := json.Marshal(&got); err != nil {
				t.Fatalf("%q: %v", b, err)
			}
		}
		for _, text := range []string{"", fields} {
			v, err := record.Parse(b, declare(text))
			if err != nil {
				continue
			}
			for _, path := range []string{"name", "items[1].image", "items[0].raw.k[2]", "labels[a]", "any.x"} {
				x := v.Get(path)
				_, _, _, _ = x.String(), x.Int(), x.Float(), x.Len()
			}
			if out, err := v.AppendJSON(nil); err == nil && !json.Valid(out) {
				t.Fatalf("%q became %q", b, out)
			}
			_ = v.Decode(new(thing))
		}
	})
}

// FuzzFields: whatever a guest declares, the answer is an error or an object
// that it can read.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"name,labels(a),items(image)", "a(b(c)),d", "a,,b", "labels(\"x\")", "items(image(x))", "any\x00", "next(next(items)),sizes(a,z(raw(k)))", "pair(x),data(y),when(z)"} {
		f.Add(s)
	}
	obj := full()
	text, err := json.Marshal(obj)
	if err != nil {
		f.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fields, err := record.ParseFields(text)
		if err != nil {
			return
		}
		if again, err := record.ParseFields(fields.String()); err != nil || again.String() != text {
			t.Fatalf("%q became %q, %v", text, again, err)
		}
		for _, obj := range []any{obj, unstructured(tree)} {
			b, err := encoder.Plan(fields).Append(nil, obj)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			v, err := record.Parse(b, fields)
			if err != nil {
				t.Fatalf("%q: %v in %q", text, err, b)
			}
			out, err := v.AppendJSON(nil)
			if err != nil || !json.Valid(out) {
				t.Fatalf("%q: %s, %v", text, out, err)
			}
		}
	})
}

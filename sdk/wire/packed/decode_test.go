package packed_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/api/intstr"
	"github.com/pintle-io/pintle/sdk/wire/packed"
)

type thing struct {
	Name   string             `json:"name"`
	Count  int8               `json:"count"`
	On     *bool              `json:"on"`
	Labels map[string]string  `json:"labels"`
	Sizes  map[string]int32   `json:"sizes"`
	Parts  []part             `json:"parts"`
	Port   intstr.IntOrString `json:"port"`
	Any    any                `json:"any"`
	Bytes  []byte             `json:"bytes"`
	Ratio  float64            `json:"ratio"`
}

type part struct {
	ID string `json:"id"`
}

// body is a thing with one field set and the others not there.
func body(field int, value string) string {
	n := reflect.TypeFor[thing]().NumField()
	return "\x06" + strings.Repeat("\x00", field) + value + strings.Repeat("\x00", n-field-1)
}

func TestDecode(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		body string
		want thing
	}{
		"JSON":             {`{"name":"a","parts":[{"id":"b"}]}`, thing{Name: "a", Parts: []part{{"b"}}}},
		"nothing":          {body(0, "\x00"), thing{}},
		"string":           {body(0, "\x01\x02ab"), thing{Name: "ab"}},
		"negative":         {body(1, "\x02\x03"), thing{Count: -2}},
		"pointer":          {body(2, "\x03"), thing{On: &yes}},
		"labels":           {body(3, "\x07\x02\x01a\x01\x01b\x01c\x00"), thing{Labels: map[string]string{"a": "b", "c": ""}}},
		"map":              {body(4, "\x07\x01\x01a\x02\x02"), thing{Sizes: map[string]int32{"a": 1}}},
		"list":             {body(5, "\x05\x02\x06\x01\x01x\x00"), thing{Parts: []part{{"x"}, {}}}},
		"list as JSON":     {body(5, "\x08\x0c"+`[{"id":"x"}]`), thing{Parts: []part{{"x"}}}},
		"decodes itself":   {body(6, "\x01\x04http"), thing{Port: intstr.IntOrString{IsString: true, StrVal: "http"}}},
		"decodes a number": {body(6, "\x02\x10"), thing{Port: intstr.IntOrString{IntVal: 8}}},
		"any":              {body(7, "\x07\x01\x01a\x05\x02\x02\x02\x03"), thing{Any: map[string]any{"a": []any{1.0, true}}}},
		"bytes":            {body(8, "\x01\x04AAEC"), thing{Bytes: []byte{0, 1, 2}}},
		"float":            {body(9, "\x08\x031.5"), thing{Ratio: 1.5}},
	} {
		var got thing
		if err := packed.Decode([]byte(c.body), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"empty":               {"", "cut short"},
		"cut":                 {"\x06\x01\x02a", "cut short"},
		"long":                {body(0, "\x00") + "x", "bytes behind"},
		"number too large":    {body(1, "\x02\x80\x04"), "does not fit"},
		"more than there are": {body(5, "\x05\xff\xff\x03"), "cut short"},
		"another type":        {body(1, "\x01\x01a"), "cannot unmarshal"},
		"no such tag":         {body(0, "\x09"), "tag 9"},
		"struct as a string":  {body(0, "\x06"), "tag 6"},
		"label of a number":   {body(3, "\x07\x01\x01a\x02\x02"), "not a string"},
		"deep":                {body(7, strings.Repeat("\x05\x01", 100)+"\x00"), "too deeply"},
		"not JSON":            {body(7, "\x08\x01}"), "invalid character"},
	} {
		var got thing
		if err := packed.Decode([]byte(c.body), &got); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for _, v := range []any{nil, thing{}, (*thing)(nil), new(int)} {
		if err := packed.Decode([]byte(body(0, "\x00")), v); err == nil {
			t.Errorf("decoded into %T", v)
		}
	}
}

// FuzzDecode: any bytes are an error or an object that JSON can express.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(body(5, "\x05\x02\x06\x01\x01x\x00")))
	f.Add([]byte(body(7, "\x07\x01\x01a\x05\x02\x02\x02\x03")))
	f.Add([]byte(body(6, "\x01\x04http")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got thing
		if packed.Decode(b, &got) != nil {
			return
		}
		if _, err := json.Marshal(&got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
	})
}

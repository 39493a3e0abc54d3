package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// A quantity is a decimal of any size: ten bytes, "1e20000000", keep a
// processor busy for minutes wherever they are compared, or as soon as they are
// read. The largest that Kubernetes tells from others is 2^63-1, the smallest
// 1n; these bounds are far beyond both.
const (
	maxExponentDigits = 3
	maxQuantityDigits = 256
)

// CheckQuantities refuses a body with a quantity that is absurdly large, small
// or precise, before anything reads it. gvk is the kind of a body that does not
// name its own. What is not decided here (a body that cannot be read, a kind
// that is not known) is left to who decodes it.
func CheckQuantities(s *runtime.Scheme, body []byte, mediaType string, gvk *schema.GroupVersionKind) error {
	if !suspicious(body, mediaType) {
		return nil // nearly always
	}
	if mediaType == Protobuf {
		kind, raw, err := openEnvelope(body)
		if err != nil {
			return nil
		}
		t := goType(s, kind, gvk)
		return protoQuantities(raw, t, "")
	}
	doc := body
	if !json.Valid(body) { // YAML takes a hundred times as long to read
		var err error
		if doc, err = yaml.YAMLToJSON(body); err != nil {
			return nil
		}
	}
	var kind struct{ APIVersion, Kind string }
	if json.Unmarshal(doc, &kind) != nil {
		return nil
	}
	return jsonQuantities(doc, goType(s, schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind), gvk))
}

// Suspicious tells that there may be such a quantity in a JSON text, in one pass.
func Suspicious(doc []byte) bool {
	return absurd(doc, standsAlone) || bytes.Contains(doc, []byte(`\u`))
}

func suspicious(body []byte, mediaType string) bool {
	switch mediaType {
	case JSON:
		return Suspicious(body)
	case YAML:
		return absurd(body, anywhere) || bytes.IndexByte(body, '\\') >= 0
	}
	return absurd(body, anywhere)
}

// CheckQuantitiesOf is CheckQuantities of a JSON document of a known kind.
func CheckQuantitiesOf(s *runtime.Scheme, doc []byte, gvk schema.GroupVersionKind) error {
	if !Suspicious(doc) {
		return nil
	}
	return jsonQuantities(doc, goType(s, gvk, nil))
}

func goType(s *runtime.Scheme, gvk schema.GroupVersionKind, otherwise *schema.GroupVersionKind) reflect.Type {
	all := s.AllKnownTypes()
	if t, ok := all[gvk]; ok {
		return t
	}
	if otherwise != nil {
		return all[*otherwise]
	}
	return nil
}

// absurd tells whether bytes have a number in them that no quantity may be, where
// counts says so of its place: one pass, for bodies that have none.
func absurd(data []byte, counts func(data []byte, from, to int) bool) bool {
	digits, from := 0, 0
	for i, c := range data {
		switch {
		case c >= '0' && c <= '9':
			if digits == 0 {
				from = i
			}
			if digits++; digits > maxQuantityDigits {
				return true
			}
		case c == '.' && digits > 0:
		case (c == 'e' || c == 'E') && digits > 0:
			if n, length := exponent(data[i+1:]); n > maxExponentDigits && counts(data, from, i+1+length) {
				return true
			}
			digits = 0
		default:
			digits = 0
		}
	}
	return false
}

func anywhere([]byte, int, int) bool { return true }

// standsAlone tells that a number in a JSON text may be all of a value. Every third
// UID has one in its middle ("...-14e1234c2a3d"), which is none. White space is taken from
// a quantity, that beyond ASCII, too.
func standsAlone(doc []byte, from, to int) bool {
	for from > 0 && strings.IndexByte("+-.", doc[from-1]) >= 0 {
		from--
	}
	edge := func(c byte, others string) bool { return c >= utf8.RuneSelf || strings.IndexByte(others, c) >= 0 }
	escaped := from > 1 && doc[from-2] == '\\'
	return (from == 0 || escaped || edge(doc[from-1], "\":,[ \t\r\n\v\f")) &&
		(to == len(doc) || edge(doc[to], "\",]} \t\r\n\v\f\\"))
}

// exponent counts the digits of an exponent that begins a text, zeros in front of them
// not, and the bytes that it takes.
func exponent(s []byte) (digits, length int) {
	i := 0
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		i++
	}
	for i < len(s) && s[i] == '0' {
		i++
	}
	n := 0
	for i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '9' {
		n++
	}
	return n, i + n
}

func checkQuantity(text, path string) error {
	if !absurd([]byte(text), anywhere) {
		return nil
	}
	if len(text) > 40 {
		text = text[:40] + "..."
	}
	return fmt.Errorf("%s: quantity %q is out of range: at most %d digits and an exponent of %d", strings.TrimPrefix(path, "."), text, maxQuantityDigits, maxExponentDigits)
}

var (
	quantityType    = reflect.TypeFor[resource.Quantity]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

func jsonQuantities(doc []byte, t reflect.Type) error {
	if t == nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber() // a number stays the text that it is
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return valueQuantities(v, t, "")
}

func valueQuantities(v any, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == quantityType {
		switch v := v.(type) {
		case string:
			return checkQuantity(v, path)
		case json.Number:
			return checkQuantity(v.String(), path)
		}
		return nil
	}
	if reflect.PointerTo(t).Implements(unmarshalerType) {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		return mapQuantities(v, t, path)
	case []any:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for i, e := range v {
			if err := valueQuantities(e, t.Elem(), path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	}
	return nil
}

func mapQuantities(v map[string]any, t reflect.Type, path string) error {
	switch t.Kind() {
	case reflect.Map:
		for k, e := range v {
			if err := valueQuantities(e, t.Elem(), path+"["+k+"]"); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for f := range fieldsOf(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && name == "" {
				if err := valueQuantities(v, f.Type, path); err != nil {
					return err
				}
			} else if e, ok := v[name]; ok {
				if err := valueQuantities(e, f.Type, path+"."+name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func fieldsOf(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// protoQuantities walks a message by the tags of its generated Go type.
func protoQuantities(data []byte, t reflect.Type, path string) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil
		}
		data = data[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, data); n < 0 {
				return nil
			}
			data = data[n:]
			continue
		}
		inner, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return nil
		}
		data = data[n:]
		if t == quantityType {
			if err := checkQuantity(string(inner), path); err != nil {
				return err
			}
			continue
		}
		if err := protoField(inner, t, num, path); err != nil {
			return err
		}
	}
	return nil
}

func protoField(data []byte, t reflect.Type, num protowire.Number, path string) error {
	for f := range fieldsOf(t) {
		parts := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(parts) < 2 || parts[1] != strconv.Itoa(int(num)) {
			continue
		}
		ft := f.Type
		path += "." + strings.ToLower(f.Name[:1]) + f.Name[1:]
		switch ft.Kind() {
		case reflect.Slice:
			ft = ft.Elem()
		case reflect.Map: // a message of key and value
			return protoEntry(data, ft.Elem(), path)
		}
		return protoQuantities(data, ft, path)
	}
	return nil
}

func protoEntry(data []byte, value reflect.Type, path string) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 || typ != protowire.BytesType {
			return nil
		}
		inner, m := protowire.ConsumeBytes(data[n:])
		if m < 0 {
			return nil
		}
		data = data[n+m:]
		if num == 2 {
			if err := protoQuantities(inner, value, path); err != nil {
				return err
			}
		}
	}
	return nil
}

package fieldmanager

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// updateKey is the key of an update's template: what the field manager's answer depends
// on when an object's old state becomes a new one. These are the keys of
// both, and for what both have whether it changed. Items of lists are found
// again by their keys, which may stand at another index, so unless all keys
// stand where they stood, every item is compared with every other.
//
// A list of one item that has nothing but its key (a Pod's podIPs) would give
// each object a template of its own. Such keys are left out of it, since
// the field manager only ever asks whether two are equal; see loneKey.
type updateKey struct {
	b     []byte
	lone  []loneKey
	named bool // lone keys are written by value, too
	moved bool // a scalar that may be a key differs within the current item
}

// maxListPairs bounds how many pairs of list items are compared.
const maxListPairs = 64

// Tags of what is there: in the old state, in the new one, or in both.
const (
	onlyOld = iota + 1
	onlyNew
	inBoth
)

// keyOfUpdate appends the key of the update from x to y, of type t, to b. ok is
// false for values without a key and lists that are too long to compare.
func keyOfUpdate(b []byte, t *walkType, x, y reflect.Value) (p updateKey, ok bool) {
	p.b = b
	if !p.walk(t, x, y, false, nil) {
		return p, false
	}
	for _, k := range p.lone {
		if bytes.Contains(p.b, []byte(k.value)) { // stands elsewhere, too
			p = updateKey{b: b, named: true}
			return p, p.walk(t, x, y, false, nil)
		}
	}
	return p, true
}

// walk compares two values that are both there; see appendKey.
func (p *updateKey) walk(t *walkType, x, y reflect.Value, keyed bool, keys []bool) bool {
	switch t.as {
	case asScalar:
		return p.leaf(t, x, y, keyed, x.Equal(y))
	case asText:
		return p.leaf(t, x, y, false, sameScalar(x, y))
	case asBytes:
		return p.leaf(t, x, y, false, bytes.Equal(x.Bytes(), y.Bytes()))
	case asPointer:
		switch {
		case x.IsNil() && y.IsNil():
			p.b = append(p.b, 0)
			return true
		case y.IsNil():
			return p.one(onlyOld, t, x, keyed)
		case x.IsNil():
			return p.one(onlyNew, t, y, keyed)
		}
		p.b = append(p.b, inBoth)
		return p.walk(t.elem, x.Elem(), y.Elem(), keyed, keys)
	case asStruct:
		return p.structs(t, x, y, keys)
	case asList:
		return p.lists(t, x, y)
	case asMap:
		return p.maps(t, x, y)
	}
	return false
}

// one writes what only one of the states has.
func (p *updateKey) one(tag byte, t *walkType, v reflect.Value, keyed bool) (ok bool) {
	p.moved = p.moved || keyed
	p.b, ok = appendKey(append(p.b, tag), t, v, keyed, nil)
	return ok
}

// leaf writes the keys of both, and whether they are the same.
func (p *updateKey) leaf(t *walkType, x, y reflect.Value, keyed, same bool) bool {
	p.b, _ = appendKey(p.b, t, x, keyed, nil) // leaves have one
	p.b, _ = appendKey(p.b, t, y, keyed, nil)
	p.b = append(p.b, byte(boolBit(same)))
	p.moved = p.moved || (keyed && !same)
	return true
}

func (p *updateKey) structs(t *walkType, x, y reflect.Value, keys []bool) bool {
	for i := range t.fields {
		f := &t.fields[i]
		fx, fy, keyed := x.FieldByIndex(f.index), y.FieldByIndex(f.index), keys != nil && keys[i]
		zx, zy := fx.IsZero(), fy.IsZero()
		if zx && zy {
			continue
		}
		p.b = binary.AppendUvarint(p.b, uint64(i+1))
		ok := true
		switch {
		case p.loneKey(f.walkType, fx, fy):
		case f.as == asStruct: // an empty one is there, too
			p.b = append(p.b, inBoth)
			ok = p.structs(f.walkType, fx, fy, nil)
		case zy:
			ok = p.one(onlyOld, f.walkType, fx, keyed)
		case zx:
			ok = p.one(onlyNew, f.walkType, fy, keyed)
		default:
			p.b = append(p.b, inBoth)
			ok = p.walk(f.walkType, fx, fy, keyed, nil)
		}
		if !ok {
			return false
		}
	}
	p.b = append(p.b, 0)
	return true
}

func (p *updateKey) lists(t *walkType, x, y reflect.Value) (ok bool) {
	n, m := x.Len(), y.Len()
	p.b = binary.AppendUvarint(binary.AppendUvarint(p.b, uint64(n)), uint64(m))
	if n == 0 || m == 0 {
		if p.b, ok = appendList(p.b, t, x); ok {
			p.b, ok = appendList(p.b, t, y)
		}
		return ok
	}
	outer := p.moved
	defer func() { p.moved = outer }()
	p.moved = n != m && t.list != listAtomic
	for i := range min(n, m) {
		if !p.item(t, x.Index(i), y.Index(i)) {
			return false
		}
	}
	if n != m && t.list == listAtomic {
		return true // they differ, whatever else they hold
	}
	return !p.moved || p.crossed(t, x, y)
}

func (p *updateKey) item(t *walkType, x, y reflect.Value) bool {
	return p.walk(t.elem, x, y, t.list != listAtomic, t.keys)
}

// crossed compares the items of lists of which some may have moved.
func (p *updateKey) crossed(t *walkType, x, y reflect.Value) bool {
	n, m := x.Len(), y.Len()
	if n*m > maxListPairs {
		return false
	}
	for i := range n {
		for j := range m {
			if i != j && !p.item(t, x.Index(i), y.Index(j)) {
				return false
			}
		}
	}
	return true
}

func (p *updateKey) maps(t *walkType, x, y reflect.Value) bool {
	keys := x.MapKeys()
	for _, k := range y.MapKeys() {
		if !x.MapIndex(k).IsValid() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	p.b = binary.AppendUvarint(p.b, uint64(len(keys)))
	for _, k := range keys {
		p.b = appendText(p.b, k.String())
		if !p.mapValues(t.elem, x.MapIndex(k), y.MapIndex(k)) {
			return false
		}
	}
	return true
}

// mapValues compares what two maps have under one key; one may be absent.
func (p *updateKey) mapValues(t *walkType, x, y reflect.Value) bool {
	switch {
	case !y.IsValid():
		x = addressable(x)
		p.b = append(p.b, onlyOld, byte(boolBit(x.IsZero())))
		return p.one(onlyOld, t, x, false)
	case !x.IsValid():
		y = addressable(y)
		p.b = append(p.b, onlyNew, byte(boolBit(y.IsZero())))
		return p.one(onlyNew, t, y, false)
	}
	x, y = addressable(x), addressable(y)
	p.b = append(p.b, inBoth, byte(boolBit(x.IsZero())), byte(boolBit(y.IsZero())))
	return p.walk(t, x, y, false, nil)
}

// addressable is a copy of v whose address can be taken.
func addressable(v reflect.Value) reflect.Value {
	e := reflect.New(v.Type()).Elem()
	e.Set(v)
	return e
}

// sameScalar compares the types of scalarTypes by what their JSON shows.
func sameScalar(x, y reflect.Value) bool {
	switch a := x.Addr().Interface().(type) {
	case *metav1.Time:
		return a.Unix() == y.Addr().Interface().(*metav1.Time).Unix()
	case *metav1.MicroTime:
		return a.UnixMicro() == y.Addr().Interface().(*metav1.MicroTime).UnixMicro()
	case *resource.Quantity:
		// Copies: String keeps its answer in the value, which others may read.
		q, z := *a, *y.Addr().Interface().(*resource.Quantity)
		return q.String() == z.String()
	case *intstr.IntOrString:
		z := y.Addr().Interface().(*intstr.IntOrString)
		return a.Type == z.Type && a.String() == z.String()
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

// loneKey is the key of a list's only item, which has no other fields. Where
// managedFields name it, a mark stands in what is kept in a template: the answer
// for one value is that for any other, as long as the value stands nowhere
// else among keys.
type loneKey struct {
	field, value string
}

// maxLoneKeys is less than ten, so that a mark's number is one digit.
const maxLoneKeys = 4

// loneKey writes lists of at most one item that has only its key, and reports
// whether x and y are such lists.
func (p *updateKey) loneKey(t *walkType, x, y reflect.Value) bool {
	if p.named || t.list != listMap || !t.oneKey() {
		return false
	}
	kx, okx := loneKeyOf(t, x)
	ky, oky := loneKeyOf(t, y)
	var key loneKey
	var tag byte
	switch {
	case okx && oky && kx == ky:
		key, tag = kx, inBoth
	case okx && y.IsZero():
		key, tag = kx, onlyOld
	case oky && x.IsZero():
		key, tag = ky, onlyNew
	default:
		return false
	}
	i := slices.Index(p.lone, key)
	if i < 0 {
		if i = len(p.lone); i == maxLoneKeys {
			return false
		}
		p.lone = append(p.lone, key)
	}
	p.b = append(p.b, 0xff, tag, byte(i)) // no tag is 0xff
	return true
}

// oneKey reports that items have one key: then it is their whole path.
func (t *walkType) oneKey() bool {
	n := 0
	for _, is := range t.keys {
		n += boolBit(is)
	}
	return n == 1
}

func loneKeyOf(t *walkType, list reflect.Value) (k loneKey, ok bool) {
	if list.Len() != 1 {
		return k, false
	}
	item := list.Index(0)
	for i := range t.elem.fields {
		f := &t.elem.fields[i]
		v := item.FieldByIndex(f.index)
		if v.IsZero() {
			continue
		}
		if ok || !t.keys[i] || v.Kind() != reflect.String || !plainKey(v.String()) {
			return k, false
		}
		k, ok = loneKey{field: f.name, value: v.String()}, true
	}
	return k, ok
}

// plainKey tells values that JSON shows as they are, and that are not so short
// that they stand everywhere.
func plainKey(s string) bool {
	if len(s) < 4 || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '.' && c != ':' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// path is how managedFields write the item.
func (k loneKey) path(value string) string { return `"k:{\"` + k.field + `\":\"` + value + `\"}"` }

// mark stands for the value of lone key i; no JSON has such a byte.
func mark(i int) string { return "\x00" + strconv.Itoa(i) }

// masked puts marks where managedFields name lone keys; shown puts the names back.
func (p *updateKey) masked(fields string) string {
	for i, k := range p.lone {
		fields = strings.ReplaceAll(fields, k.path(k.value), k.path(mark(i)))
	}
	return fields
}

func (p *updateKey) shown(fields string) string {
	for i, k := range p.lone {
		fields = strings.ReplaceAll(fields, k.path(mark(i)), k.path(k.value))
	}
	return fields
}

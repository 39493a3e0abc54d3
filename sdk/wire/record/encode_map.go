package record

import (
	"cmp"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

func appendStrings(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, None)
	}
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b, at := BeginMap(b, len(keys))
	for _, k := range keys {
		b = AppendString(AppendKey(b, k), m[k])
	}
	End(b, at)
	return b
}

// mapScratch is what writing a map takes, kept between maps of a type.
type mapScratch struct {
	iter    reflect.MapIter
	key     reflect.Value
	values  reflect.Value // a slice of the map's values, where they have addresses
	entries []mapEntry
}

type mapEntry struct {
	key string
	at  int // in values
}

func (w writer) mapping(b []byte, pl *plan, p unsafe.Pointer, depth int) (_ []byte, err error) {
	m := reflect.NewAt(pl.typ, p).Elem()
	if m.IsNil() {
		return append(b, None), nil
	}
	x, _ := pl.scratch.Get().(*mapScratch)
	n := m.Len()
	if x == nil {
		x = &mapScratch{key: reflect.New(pl.typ.Key()).Elem()}
	}
	if !x.values.IsValid() || x.values.Len() < n {
		x.values = reflect.MakeSlice(reflect.SliceOf(pl.typ.Elem()), max(n, 4), max(n, 4))
	}
	defer x.release(&pl.scratch)
	x.iter.Reset(m)
	for i := 0; x.iter.Next(); i++ {
		x.key.SetIterKey(&x.iter)
		x.values.Index(i).SetIterValue(&x.iter)
		x.entries = append(x.entries, mapEntry{x.key.String(), i})
	}
	slices.SortFunc(x.entries, func(a, b mapEntry) int { return cmp.Compare(a.key, b.key) })
	b, at := BeginMap(b, n)
	data := x.values.UnsafePointer()
	for _, e := range x.entries {
		if b, err = w.append(AppendKey(b, e.key), pl.elem, unsafe.Add(data, uintptr(e.at)*pl.elem.size), depth+1); err != nil {
			return nil, err
		}
	}
	End(b, at)
	return b, nil
}

// release keeps nothing of the map alive.
func (x *mapScratch) release(to *sync.Pool) {
	x.values.Clear()
	x.key.SetZero()
	x.iter.Reset(reflect.Value{})
	clear(x.entries)
	x.entries = x.entries[:0]
	to.Put(x)
}

func (w writer) pick(b []byte, pl *plan, p unsafe.Pointer, depth int) (_ []byte, err error) {
	m := reflect.NewAt(pl.typ, p).Elem()
	if m.IsNil() {
		return append(b, None), nil
	}
	b, at := beginStruct(b)
	end := len(b)
	if pl.elem == nil { // of strings
		texts := *(*map[string]string)(p)
		for i := range pl.steps {
			if text, ok := texts[pl.steps[i].name]; ok {
				b = AppendString(b, text)
				end = len(b)
			} else {
				b = append(b, None)
			}
		}
		return endStruct(b, at, end), nil
	}
	for i := range pl.steps {
		s := &pl.steps[i]
		v := m.MapIndex(reflect.ValueOf(s.name).Convert(pl.typ.Key()))
		if !v.IsValid() {
			b = append(b, None)
			continue
		}
		x := reflect.New(pl.typ.Elem())
		x.Elem().Set(v)
		from := len(b)
		if b, err = w.append(b, s.plan, x.UnsafePointer(), depth+1); err != nil {
			return nil, err
		}
		if b[from] != None {
			end = len(b)
		}
	}
	return endStruct(b, at, end), nil
}

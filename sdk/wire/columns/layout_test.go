package columns_test

import (
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"unsafe"

	"github.com/pintle-io/pintle/sdk/wire/columns"
)

func TestLayout(t *testing.T) {
	want := columns.Plan(100, []columns.Column{
		{ID: columns.AllocCPU, Type: columns.Int64}, {ID: columns.Label, Type: columns.Uint32, Key: 7}, {ID: columns.ResultFeasible, Type: columns.Bits},
	})
	region := want.Region()
	if err := want.WriteHeader(region); err != nil {
		t.Fatal(err)
	}
	got, err := columns.Parse(region)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want.Size%columns.PageSize != 0 || uintptr(unsafe.Pointer(&region[0]))%columns.PageSize != 0 {
		t.Errorf("region of %d bytes is not in pages", want.Size)
	}
	if n := len(got.Int64s(region, columns.AllocCPU, 0)); n != 100 {
		t.Errorf("column of %d rows", n)
	}
	if got.Int64s(region, columns.Label, 7) != nil || got.Uint32s(region, columns.Label, 8) != nil {
		t.Error("a column of another type or key was found")
	}
	got.Uint32s(region, columns.Label, 7)[99] = 5
	got.Int64s(region, columns.AllocCPU, 0)[99] = -1
	if got.Uint32s(region, columns.Label, 7)[99] != 5 {
		t.Error("columns overlap")
	}
}

func TestParseRefuses(t *testing.T) {
	l := columns.Plan(64, []columns.Column{{ID: columns.AllocCPU, Type: columns.Int64}})
	for _, tt := range []struct {
		name  string
		word  int
		value uint32
		want  error
	}{
		{"magic", 0, 1, columns.ErrMalformed}, {"version", 1, 9 << 16, columns.ErrVersion}, {"size", 2, 1 << 30, columns.ErrMalformed},
		{"rows", 3, 1 << 30, columns.ErrMalformed}, {"more rows than fit", 3, 100000, columns.ErrMalformed}, {"columns", 4, 1 << 30, columns.ErrMalformed},
		{"offset", 8, 1 << 31, columns.ErrMalformed}, {"unaligned offset", 8, 65, columns.ErrMalformed}, {"stride", 9, 4, columns.ErrMalformed},
	} {
		region := l.Region()
		if err := l.WriteHeader(region); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(region[tt.word*4:], tt.value)
		if _, err := columns.Parse(region); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := columns.Parse(nil); !errors.Is(err, columns.ErrMalformed) {
		t.Errorf("empty region: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	l := columns.Plan(10, []columns.Column{{ID: columns.AllocCPU, Type: columns.Int64}, {ID: columns.Flags, Type: columns.Uint32}})
	region := l.Region()
	if err := l.WriteHeader(region); err != nil {
		f.Fatal(err)
	}
	f.Add(region[:200])
	f.Fuzz(func(t *testing.T, header []byte) {
		region := columns.Alloc(columns.PageSize)
		copy(region, header)
		l, err := columns.Parse(region)
		if err != nil {
			return
		}
		for _, c := range l.Columns {
			for _, v := range l.Int64s(region, c.ID, c.Key) {
				_ = v
			}
			clear(l.Uint32s(region, c.ID, c.Key))
			l.Mask(region, c.ID, c.Key).Zero()
		}
	})
}

package scheduler

import (
	"runtime"
	"slices"
	"testing"
	"weak"
)

// What was handed on is let go of, though more waits behind it and was added
// since.
func TestBacklogForgets(t *testing.T) {
	type item [64]int
	var b backlog[*item]
	var taken []weak.Pointer[item]
	for range 100 {
		b.add(new(item))
	}
	for range 40 {
		out := b.first(1)
		taken = append(taken, weak.Make(out[0]))
		b.drop(1)
	}
	runtime.GC()
	if alive := slices.ContainsFunc(taken, func(p weak.Pointer[item]) bool { return p.Value() != nil }); alive {
		t.Error("what was taken out is still held")
	}
	if got := b.first(100); b.len() != 60 || len(got) != 60 || slices.Contains(got, nil) {
		t.Errorf("%d are left, of them %d answered", b.len(), len(got))
	}
	b.drop(60)
	if b.items != nil {
		t.Error("an empty backlog keeps its array")
	}
	runtime.KeepAlive(&b)
}

// first is the receiver's: what is dropped afterwards is not cleared under it.
func TestBacklogCopies(t *testing.T) {
	var b backlog[int]
	for i := range 5 {
		b.add(i + 1)
	}
	got := b.first(3)
	b.drop(3)
	if !slices.Equal(got, []int{1, 2, 3}) || !slices.Equal(b.items, []int{4, 5}) {
		t.Errorf("taken %v, left %v", got, b.items)
	}
}

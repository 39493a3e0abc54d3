package primed

import (
	"fmt"
	"testing"
)

// An object is there from its deposit until its event has passed; one that
// comes too late is refused.
func TestSet(t *testing.T) {
	var s Set[*int]
	n := new(int)
	if !s.Put("a", 5, n) || s.Get("a", 5) != n {
		t.Error("a deposit is not there")
	}
	if s.Get("a", 4) != nil || s.Get("b", 5) != nil {
		t.Error("there is what nobody deposited")
	}
	s.Pass(3, 5)
	if s.Get("a", 5) != nil {
		t.Error("what has passed is there")
	}
	if s.Put("a", 5, n) {
		t.Error("a deposit behind its event is taken")
	}
	s.Put("a", 9, n)
	s.Reset(2)
	if s.Get("a", 9) != nil || !s.Put("a", 3, n) {
		t.Error("want a reset to forget everything and to go on behind its revision")
	}
}

// What nobody takes is bounded, and room comes back as events pass.
func TestBound(t *testing.T) {
	var s Set[*int]
	n := new(int)
	for i := range most + 1 {
		if !s.Put(fmt.Sprint(i), int64(i+1), n) {
			t.Fatal("refused")
		}
	}
	if s.Get(fmt.Sprint(most), most+1) != nil {
		t.Errorf("more than %d are kept", most)
	}
	s.Pass(0, 1)
	if s.Put("x", most+2, n); s.Get("x", most+2) != n {
		t.Error("there is no room although one has passed")
	}
}

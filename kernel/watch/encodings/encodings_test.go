package encodings

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// of asks for so many bytes and tells whether they had to be made.
func of(t *testing.T, p *Pool, s *Set, n int) (made bool) {
	t.Helper()
	b, err := s.Get(p, &metav1.Status{}, "v1", "json", func(runtime.Object) ([]byte, error) {
		made = true
		return make([]byte, n), nil
	})
	if err != nil || len(b) != n {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	return made
}

// What is asked for again and again stays; beyond the limit, the rest goes.
func TestPoolBounds(t *testing.T) {
	p := NewPool(1000)
	var hot Set
	of(t, p, &hot, 100)
	for range 100 {
		if of(t, p, &hot, 100) {
			t.Fatal("what is in use was given up")
		}
		if !of(t, p, new(Set), 100) {
			t.Fatal("what was never made is there")
		}
		if n := p.Size(); n > 1000 {
			t.Fatalf("%d bytes are kept", n)
		}
	}
}

// A retired set keeps its bytes for one tick and loses them by the next.
func TestRetire(t *testing.T) {
	p := NewPool(1000)
	var s Set
	of(t, p, &s, 100)
	p.Retire(&s)
	if p.Tick(); of(t, p, &s, 100) {
		t.Error("the bytes went at the first tick")
	}
	if p.Tick(); p.Size() != 0 || !of(t, p, &s, 100) {
		t.Errorf("after the second tick there are %d bytes", p.Size())
	}
}

// Sweeps take back what nobody has asked for, sooner what was asked for once.
func TestSweep(t *testing.T) {
	p := NewPool(1000)
	var once, twice Set
	of(t, p, &once, 100)
	of(t, p, &twice, 200)
	of(t, p, &twice, 200)
	for i, want := range []int{300, 200, 0} {
		if p.Sweep(); p.Size() != want {
			t.Errorf("after %d sweeps there are %d bytes, want %d", i+1, p.Size(), want)
		}
	}
}

// An encoding that fails is not kept, nor is anything bounded without a pool.
func TestGetFails(t *testing.T) {
	var s Set
	broken := errors.New("broken")
	if _, err := s.Get(nil, nil, "v1", "json", func(runtime.Object) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if !of(t, nil, &s, 10) || of(t, nil, &s, 10) {
		t.Error("want it to be made once")
	}
}

package listing_test

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/plugin/listing"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

type item struct {
	Name     string `json:"name"`
	Revision int64  `json:"revision"`
}

func (*item) APIResource() string { return "v1/items" }

// world is a set of objects that changes, and the client of one guest on it.
type world struct {
	session  *listing.Session
	objects  []*watch.Object
	encoded  int
	revision int64
	client   client.Client
}

// TestLimit: the first are listed, and how many more there are is told, as both change.
func TestLimit(t *testing.T) {
	w := newWorld()
	for _, step := range []struct {
		change func()
		limit  int
		want   string
	}{
		{func() {}, 2, "[] 0"},
		{func() { w.put("b"); w.put("c") }, 2, "[b c] 0"},
		{func() { w.put("a") }, 2, "[a b] 1"},
		{func() {}, 0, "[a b c] 0"},
		{func() { w.remove("b") }, 2, "[a c] 0"},
		{func() { w.put("d"); w.put("e") }, 1, "[a] 3"},
		{func() {}, 4, "[a c d e] 0"},
	} {
		step.change()
		var list []*item
		more := -1
		if err := w.client.List(&list, client.ListOptions{Limit: step.limit, Remaining: &more}); err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, x := range list {
			names = append(names, x.Name)
		}
		if got := fmt.Sprint(names, more); got != step.want {
			t.Errorf("limit %d: %s, want %s", step.limit, got, step.want)
		}
	}
}

func newWorld() *world {
	w := &world{session: &listing.Session{}}
	w.client = remote.NewClient(func(op wire.HostOp, req []byte) ([]byte, error) {
		r := wire.NewReader(req)
		q := r.ListRequest()
		if op != wire.HostList || r.Err() != nil {
			return nil, fmt.Errorf("op %d: %v", op, r.Err())
		}
		return w.session.Answer(nil, q, slices.Clone(w.objects), func(o *watch.Object) ([]byte, error) {
			w.encoded++
			return record.NewEncoder(nil).Plan(nil).Append(nil, item{o.Name, o.Revision})
		})
	})
	return w
}

func (w *world) put(name string) {
	w.revision++
	w.remove(name)
	w.objects = append(w.objects, &watch.Object{Key: "/items/" + name, Name: name, Revision: w.revision})
	slices.SortFunc(w.objects, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) })
}

func (w *world) remove(name string) {
	w.objects = slices.DeleteFunc(w.objects, func(o *watch.Object) bool { return o.Name == name })
}

func (w *world) check(t *testing.T) {
	t.Helper()
	var got []*item
	if err := w.client.List(&got, client.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []*item{}
	for _, o := range w.objects {
		want = append(want, &item{o.Name, o.Revision})
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("list differs (-want +got):\n%s", d)
	}
}

func TestOnlyChangesAreSent(t *testing.T) {
	w := newWorld()
	for i := range 5000 {
		w.put(fmt.Sprintf("i%04d", i))
	}
	w.check(t)
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"nothing", func() {}, 0},
		{"one changed", func() { w.put("i2500") }, 1},
		{"first and last changed", func() { w.put("i0000"); w.put("i4999") }, 2},
		{"one removed", func() { w.remove("i1000") }, 0},
		{"one added in the middle", func() { w.put("i1000x") }, 1},
		{"session forgotten", func() { w.session = &listing.Session{} }, 5000},
	} {
		w.encoded = 0
		step.do()
		w.check(t)
		if w.encoded != step.want {
			t.Errorf("%s: %d objects sent, want %d", step.name, w.encoded, step.want)
		}
	}
}

func TestRandomHistories(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	w := newWorld()
	for range 3000 {
		for range rnd.Intn(5) {
			name := fmt.Sprint("i", rnd.Intn(60))
			if rnd.Intn(3) == 0 {
				w.remove(name)
			} else {
				w.put(name)
			}
		}
		if rnd.Intn(50) == 0 {
			w.objects = nil
		}
		if rnd.Intn(50) == 0 {
			w.session = &listing.Session{}
		}
		w.check(t)
	}
}

package lb_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
)

// content is what the maps should say, by frontend.
type content map[lb.Frontend][]lb.Backend

func read(t *testing.T, b *lb.Balancer) content {
	t.Helper()
	all, err := b.Table.Services()
	if err != nil {
		t.Fatal(err)
	}
	out := content{}
	for _, s := range all {
		for _, f := range s.Frontends {
			out[f] = sorted(s.Backends)
		}
	}
	return out
}

func sorted(bs []lb.Backend) []lb.Backend {
	bs = slices.Clone(bs)
	slices.SortFunc(bs, func(x, y lb.Backend) int { return x.Addr.Compare(y.Addr) })
	return bs
}

// Random changes, restarts among them, and after each the maps must say what a
// plain Go map says.
func TestModel(t *testing.T) {
	testenv.RequireNetwork(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() { remove(t, dir) })
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { model(t, dir, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func model(t *testing.T, dir string, r *rand.Rand) {
	b, err := lb.Open(lb.Config{PinDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close() }()
	want := map[string]lb.Service{}
	if err := b.Table.Replace(nil); err != nil {
		t.Fatal(err)
	}
	for step := range 400 {
		key := fmt.Sprint(r.IntN(8))
		switch n := r.IntN(40); {
		case n == 0: // restart
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if b, err = lb.Open(lb.Config{PinDir: dir}); err != nil {
				t.Fatal(err)
			}
			fallthrough
		case n == 1:
			if err := b.Table.Replace(slices.Collect(maps.Values(want))); err != nil {
				t.Fatal(err)
			}
		case n < 8:
			delete(want, key)
			if err := b.Table.Delete(key); err != nil {
				t.Fatal(err)
			}
		default:
			want[key] = randomService(r, key)
			if err := b.Table.Upsert(want[key]); err != nil {
				t.Fatal(err)
			}
		}
		expect := content{}
		for _, s := range want {
			for _, f := range s.Frontends {
				expect[f] = sorted(s.Backends)
			}
		}
		if diff := cmp.Diff(expect, read(t, b), cmpopts.EquateComparable(netip.AddrPort{}, lb.Frontend{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("step %d (-want +got):\n%s", step, diff)
		}
	}
}

func randomService(r *rand.Rand, key string) lb.Service {
	s := lb.Service{Key: key, Maglev: r.IntN(4) == 0}
	for i := range 1 + r.IntN(3) {
		s.Frontends = append(s.Frontends, lb.Frontend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, key[0], byte(i)}), 80), Proto: lb.TCP, Scope: lb.Scope(r.IntN(2))})
	}
	for i := range 12 {
		if r.IntN(3) == 0 {
			s.Backends = append(s.Backends, lb.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}), 80), Local: i%2 == 0})
		}
	}
	r.Shuffle(len(s.Backends), func(i, j int) { s.Backends[i], s.Backends[j] = s.Backends[j], s.Backends[i] })
	return s
}

// One address goes from one service to another, in either order of events.
func TestAddressChangesHands(t *testing.T) {
	b := open(t, lb.Config{})
	one, two := serveTCP(t, "127.0.0.1:0", "one"), serveTCP(t, "127.0.0.1:0", "two")
	upsert(t, b, service("old", vip, lb.TCP, one))
	upsert(t, b, service("new", vip, lb.TCP, two))
	mustAsk(t, vip, "one")
	if err := b.Table.Delete("old"); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, vip, "two")
	upsert(t, b, service("late", vip, lb.TCP, one))
	if err := b.Table.Delete("late"); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, vip, "two")
}

// While backends come and go without pause, nobody is refused and nobody gets
// a backend that was never there.
func TestChangesUnderLoad(t *testing.T) {
	b := open(t, lb.Config{})
	var all []netip.AddrPort
	for i := range 6 {
		all = append(all, serveTCP(t, "127.0.0.1:0", fmt.Sprint(i)))
	}
	upsert(t, b, service("s", vip, lb.TCP, all...))
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		r := rand.New(rand.NewPCG(1, 1))
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			set := slices.Clone(all)
			r.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
			if err := b.Table.Upsert(service("s", vip, lb.TCP, set[:1+r.IntN(len(set))]...)); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range 3000 {
		if got, _, err := ask(vip); err != nil || len(got) != 1 {
			t.Errorf("connection %d: %q, %v", i, got, err)
			break
		}
	}
	close(stop)
	if n := <-done; n < 100 {
		t.Errorf("only %d changes happened meanwhile", n)
	}
}

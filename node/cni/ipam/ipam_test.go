package ipam_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/node/cni/ipam"
)

var (
	pods    = netip.MustParsePrefix("10.244.1.0/29") // 1 the gateway, 2 to 6 pods, 7 the last
	gateway = netip.MustParseAddr("10.244.1.1")
)

func at(name string) ipam.Attachment { return ipam.Attachment{Container: name, Interface: "eth0"} }

func open(t *testing.T, dir string) *ipam.Store {
	t.Helper()
	s, err := ipam.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// do runs f with the store of dir, as one process would.
func do(t *testing.T, dir string, f func(*ipam.Store) error) {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	if err := f(s); err != nil {
		t.Fatal(err)
	}
}

func give(t *testing.T, dir, name string) string {
	t.Helper()
	var a netip.Addr
	do(t, dir, func(s *ipam.Store) (err error) {
		a, err = s.Give(at(name), pods, gateway, ipam.Details{})
		return err
	})
	return a.String()
}

func TestGive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ipam")
	for i := range 5 {
		if got, want := give(t, dir, fmt.Sprint("c", i)), fmt.Sprintf("10.244.1.%d", i+2); got != want {
			t.Errorf("c%d got %s, want %s", i, got, want)
		}
	}
	if got := give(t, dir, "c3"); got != "10.244.1.5" {
		t.Errorf("c3 asks again and gets %s", got)
	}
	s := open(t, dir)
	if _, err := s.Give(at("c9"), pods, gateway, ipam.Details{}); !errors.Is(err, ipam.ErrExhausted) {
		t.Errorf("full: %v, want %v", err, ipam.ErrExhausted)
	}
	s.Close()
	// An address that came back rests until the others were given.
	do(t, dir, func(s *ipam.Store) error { return errors.Join(s.Take(at("c1")), s.Take(at("c4")), s.Take(at("c4"))) })
	if got := give(t, dir, "d0"); got != "10.244.1.3" {
		t.Errorf("d0 got %s, want 10.244.1.3", got)
	}
	do(t, dir, func(s *ipam.Store) error { return s.Take(at("c0")) })
	if got := give(t, dir, "d1"); got != "10.244.1.6" {
		t.Errorf("d1 got %s, want 10.244.1.6, which rested longer", got)
	}
}

// The node's range changes: who asks again gets an address of the new one.
func TestRangeChanges(t *testing.T) {
	dir := t.TempDir()
	give(t, dir, "a")
	give(t, dir, "b")
	do(t, dir, func(s *ipam.Store) error {
		a, err := s.Give(at("a"), netip.MustParsePrefix("10.244.9.0/24"), netip.MustParseAddr("10.244.9.1"), ipam.Details{})
		if want := netip.MustParseAddr("10.244.9.2"); a != want {
			t.Errorf("got %s, want %s", a, want)
		}
		if err != nil {
			return err
		}
		all, err := s.List()
		if len(all) != 2 {
			t.Errorf("records %v, want two", all)
		}
		return err
	})
}

func TestSmallestRange(t *testing.T) {
	dir := t.TempDir()
	p := netip.MustParsePrefix("10.0.0.0/30")
	s := open(t, dir)
	defer s.Close()
	if a, err := s.Give(at("a"), p, netip.MustParseAddr("10.0.0.1"), ipam.Details{}); err != nil || a != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("%s, %v", a, err)
	}
	for range 2 {
		if a, err := s.Give(at("b"), p, netip.MustParseAddr("10.0.0.1"), ipam.Details{}); !errors.Is(err, ipam.ErrExhausted) {
			t.Errorf("%s, %v", a, err)
		}
	}
}

// What a killed process may leave is no harm.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	give(t, dir, "a")
	for name, content := range map[string]string{".new": "{half", ".last": "nonsense", "README": "x", "10.244.1.3": "", "_x_y": "", "10.244.1.4_x": "", "10.244.1.4__eth0": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := give(t, dir, "b"); got != "10.244.1.3" {
		t.Errorf("got %s", got)
	}
	all, err := ipam.List(dir)
	if err != nil || len(all) != 2 {
		t.Errorf("records %v, %v; want two", all, err)
	}
}

func TestDetails(t *testing.T) {
	dir := t.TempDir()
	want := ipam.Details{Netns: "/run/netns/x", Ports: []ipam.Port{{HostPort: 80, ContainerPort: 8080, Protocol: "tcp", HostIP: "127.0.0.1"}}}
	// Container names have underscores; interfaces' do not.
	odd := ipam.Attachment{Container: "a_b_c", Interface: "eth0"}
	do(t, dir, func(s *ipam.Store) error {
		_, err := s.Give(odd, pods, gateway, want)
		return err
	})
	do(t, dir, func(s *ipam.Store) error {
		r, ok, err := s.Find(odd)
		if !ok || err != nil {
			t.Fatalf("find: %v, %v", ok, err)
		}
		got, err := ipam.ReadDetails(dir, r)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("details (-want +got):\n%s", diff)
		}
		return err
	})
	s := open(t, dir)
	defer s.Close()
	for _, bad := range []ipam.Attachment{{}, {Container: "a"}, {Container: "../x", Interface: "eth0"}, {Container: "a", Interface: "e_0"}} {
		if _, err := s.Give(bad, pods, gateway, ipam.Details{}); err == nil {
			t.Errorf("%+v: accepted", bad)
		}
	}
}

func TestNewBoot(t *testing.T) {
	dir := t.TempDir()
	give(t, dir, "before anybody says when")
	for _, step := range []struct {
		boot    string
		emptied bool
		left    int
	}{{"one", false, 1}, {"one", false, 1}, {"two", true, 0}} {
		do(t, dir, func(s *ipam.Store) error {
			emptied, err := s.NewBoot(step.boot)
			all, _ := s.List()
			if emptied != step.emptied || len(all) != step.left {
				t.Errorf("boot %s: emptied %v, %d left; want %v, %d", step.boot, emptied, len(all), step.emptied, step.left)
			}
			return err
		})
	}
}

// Many at once: nobody gets what another has.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	big := netip.MustParsePrefix("10.244.0.0/24")
	var (
		mu   sync.Mutex
		seen = map[netip.Addr]int{}
		wg   sync.WaitGroup
	)
	for i := range 8 {
		wg.Go(func() {
			for j := range 25 {
				s, err := ipam.Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				a, err := s.Give(at(fmt.Sprintf("c%d-%d", i, j)), big, big.Addr().Next(), ipam.Details{})
				if j%5 == 0 && err == nil {
					err = s.Take(at(fmt.Sprintf("c%d-%d", i, j)))
				} else {
					mu.Lock()
					seen[a]++
					mu.Unlock()
				}
				if err := errors.Join(err, s.Close()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for a, n := range seen {
		if n > 1 {
			t.Errorf("%s was given %d times", a, n)
		}
	}
	all, err := ipam.List(dir)
	if err != nil || len(all) != 160 || len(seen) != 160 {
		t.Errorf("%d records, %d given, %v; want 160", len(all), len(seen), err)
	}
}

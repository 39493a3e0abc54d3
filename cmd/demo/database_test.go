package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// faulty is a member that fails at times: before it does something, or after it.
type faulty struct {
	member
	down   bool
	random *rand.Rand
}

var errDown = errors.New("down")

func (f *faulty) read(ctx context.Context, key string) (entry, error) {
	if f.down {
		return entry{}, errDown
	}
	return f.member.read(ctx, key)
}

func (f *faulty) write(ctx context.Context, key string, e entry) error {
	if f.down {
		return errDown
	}
	if err := f.member.write(ctx, key, e); err != nil {
		return err
	}
	if f.random.IntN(4) == 0 {
		return errDown // nobody hears that it did
	}
	return nil
}

// Members fail and come back, some with their process killed: what was
// acknowledged is read from then on, or what was tried after it, and who has
// read a value never reads an older one.
func TestDatabaseLosesNothing(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		dirs, d, members := []string{}, &database{name: "m"}, []*faulty{}
		for range 3 {
			dirs = append(dirs, t.TempDir())
			own := mustOpen(t, dirs[len(dirs)-1])
			members = append(members, &faulty{member: own, random: rand.New(rand.NewPCG(seed, uint64(len(dirs)+1)))})
			d.members = append(d.members, members[len(dirs)-1])
		}
		atLeast := 0
		for i := 1; i <= 60; i++ {
			for k, m := range members {
				m.down = random.IntN(4) == 0
				if random.IntN(8) == 0 {
					if err := m.member.(*store).close(); err != nil {
						t.Fatal(err)
					}
					m.member = mustOpen(t, dirs[k])
				}
			}
			if d.set(t.Context(), "k", fmt.Sprint(i)) == nil {
				atLeast = i
			}
			e, err := d.get(t.Context(), "k")
			if err != nil {
				continue
			}
			got := 0
			if e.N > 0 {
				if _, err := fmt.Sscan(e.Value, &got); err != nil {
					t.Fatal(err)
				}
			}
			if got < atLeast || got > i {
				t.Fatalf("seed %d: after %d writes, of which %d was acknowledged or seen, there is %d", seed, i, atLeast, got)
			}
			atLeast = got
		}
		if atLeast < 10 {
			t.Errorf("seed %d: %d was the last value of 60", seed, atLeast)
		}
	}
}

func mustOpen(t *testing.T, dir string) *store {
	t.Helper()
	s, err := openStore(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() }) // some are closed already
	return s
}

// Three members speak to one another over the network.
func TestMembersOverHTTP(t *testing.T) {
	var urls []string
	var at []*httptest.Server
	for range 3 {
		srv := httptest.NewUnstartedServer(nil)
		t.Cleanup(srv.Close)
		at = append(at, srv)
		urls = append(urls, "http://"+srv.Listener.Addr().String())
	}
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for i, srv := range at {
		s := newServer(slog.New(slog.DiscardHandler))
		others := append(append([]string{}, urls[:i]...), urls[i+1:]...)
		end, err := s.serveDatabase(t.Context(), dirs[i], strings.Join(others, ","))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = end() })
		srv.Config.Handler = s
		srv.Start()
	}
	long := strings.Repeat("x", maxKey+1)
	for _, step := range []struct {
		member       int
		method, path string
		code         int
		body         string
	}{
		{0, "GET", "/kv/color", 404, "no such key"},
		{0, "POST", "/kv/color?value=blue", 200, "blue"},
		{1, "GET", "/kv/color", 200, "blue"},
		{2, "POST", "/kv/color?value=green", 200, "green"},
		{0, "GET", "/kv/color", 200, "green"},
		{0, "POST", "/kv/color?value=", 200, ""},
		{1, "GET", "/kv/color", 200, ""},
		{0, "POST", "/kv/color", 400, "want /kv/KEY?value=VALUE"},
		{0, "POST", "/kv/color?value=" + strings.Repeat("x", maxValue+1), 400, "at most 4096"},
		{0, "GET", "/kv/" + long, 400, "128 are the most"},
		{0, "PUT", "/member/color", 400, "want an entry"},
		{2, "STOP", "", 0, ""},
		{0, "POST", "/kv/color?value=red%3D%2F", 200, "red=/"},
		{1, "GET", "/kv/color", 200, "red=/"},
		{1, "STOP", "", 0, ""},
		{0, "GET", "/kv/color", 503, "too few members answer: 1 of 3"},
		{0, "POST", "/kv/color?value=white", 503, "too few members answer"},
	} {
		if step.method == "STOP" {
			at[step.member].Close()
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), step.method, urls[step.member]+step.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != step.code || !strings.Contains(string(b), step.body) {
			t.Errorf("%s %.60s: %d %q, want %d with %q", step.method, step.path, resp.StatusCode, b, step.code, step.body)
		}
	}
}

// A directory is one process's, and what it cannot read is told.
func TestStoreOpens(t *testing.T) {
	dir := t.TempDir()
	first := mustOpen(t, dir)
	if err := first.write(t.Context(), "a", entry{Value: "1", N: 1, By: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := first.write(t.Context(), "a", entry{Value: "0", N: 1, By: "w"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := openStore(ctx, dir); err == nil || !strings.Contains(err.Error(), "another process has it") {
		t.Errorf("a second one: %v", err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	second := mustOpen(t, dir)
	if e, _ := second.read(t.Context(), "a"); e.Value != "1" {
		t.Errorf("the next one reads %+v", e)
	}
	for i := len(second.data); i < maxKeys; i++ {
		second.data[fmt.Sprint("k", i)] = entry{N: 1}
	}
	if err := second.write(t.Context(), "one more", entry{N: 1}); !errors.Is(err, errFull) {
		t.Errorf("a full one: %v", err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "data.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "data.json") {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := newServer(slog.New(slog.DiscardHandler)).serveDatabase(t.Context(), t.TempDir(), "http://a,nonsense"); err == nil || !strings.Contains(err.Error(), `"nonsense" is no URL`) {
		t.Errorf("members: %v", err)
	}
}

package embed_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// TestCluster forms a cluster of three members, loses one, and goes on.
func TestCluster(t *testing.T) {
	const n = 3
	var configs []embed.Config
	var members []string
	for i := range n {
		url := "http://" + freeAddress(t)
		name := fmt.Sprint("m", i)
		members = append(members, name+"="+url)
		configs = append(configs, embed.Config{Dir: filepath.Join(t.TempDir(), name), Name: name, PeerURLs: []string{url}, UnsafeNoFsync: true})
	}
	servers := make([]*embed.Server, n)
	var wg sync.WaitGroup
	for i := range n {
		configs[i].InitialCluster = strings.Join(members, ",")
		wg.Go(func() {
			var err error
			if servers[i], err = embed.Start(t.Context(), configs[i]); err != nil {
				t.Errorf("member %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	rev := write(t, servers[0].Store(), "one")
	for i, s := range servers {
		if now, err := s.Store().Revision(t.Context()); err != nil || now < rev {
			t.Errorf("member %d is at %d, want %d: %v", i, now, rev, err)
		}
	}
	if err := servers[0].Close(); err != nil {
		t.Error(err)
	}
	rev = write(t, servers[1].Store(), "two")
	// The lost member comes back and catches up.
	back, err := embed.Start(t.Context(), configs[0])
	if err != nil {
		t.Fatal(err)
	}
	if kv, _, now, err := back.Store().Get(t.Context(), "/a"); err != nil || now < rev || string(kv.Value) != "two" {
		t.Errorf("the member that was lost reads %q at %d: %v", kv.Value, now, err)
	}
	for _, s := range []*embed.Server{back, servers[1], servers[2]} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// write tries until the cluster has a leader.
func write(t *testing.T, s store.Store, value string) (rev int64) {
	t.Helper()
	var err error
	for range 20 {
		if rev, err = s.Commit(t.Context(), []store.Op{{Key: "/a", Value: []byte(value), Expect: store.Any}}); err == nil {
			return rev
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatal(err)
	return 0
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

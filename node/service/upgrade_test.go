package service_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/ebpf/lbtest"
	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/service"
)

// echo serves connections that stay, and sends back what comes.
func echo(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// An agent that takes the place of one whose maps had another layout: what is
// open goes on, no new connection fails from before its start until after its
// end, and what the API says is true afterwards.
func TestUpgrade(t *testing.T) {
	cgroup := testenv.RequireNetwork(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() {
		if err := lb.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	serve(t, "127.0.1.1:8080", "one")
	echo(t, "127.0.1.3:8080")
	old := lbtest.StartOld(t, dir, cgroup, false)
	for key, s := range map[string]struct{ front, back string }{
		"web":  {web, "127.0.1.1:8080"},
		"echo": {"10.96.0.21:80", "127.0.1.3:8080"},
		"gone": {"10.96.0.22:80", "127.0.1.1:8080"}, // deleted while no agent ran
	} {
		old.Serve(lb.Service{Key: key, Frontends: []lb.Frontend{{Addr: netip.MustParseAddrPort(s.front), Proto: lb.TCP}},
			Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(s.back), Local: true}}})
	}
	open, err := net.Dial("tcp4", "10.96.0.21:80")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	exchange := func(when string) {
		t.Helper()
		b := make([]byte, 4)
		_ = open.SetDeadline(time.Now().Add(20 * time.Second))
		_, err := open.Write([]byte("ping"))
		if _, read := io.ReadFull(open, b); errors.Join(err, read) != nil || string(b) != "ping" {
			t.Errorf("%s: %q, %v %v", when, b, err, read)
		}
	}
	exchange("before")
	var (
		stop  = make(chan struct{})
		asked atomic.Int64
		group sync.WaitGroup
	)
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := answers(web, "one")(); err != nil {
				t.Errorf("after %d: %v", asked.Load(), err)
				return
			}
			asked.Add(1)
		}
	})
	more := func() {
		t.Helper()
		n := asked.Load()
		eventually(t, func() error {
			if asked.Load() < n+20 {
				return errors.New("nobody asks")
			}
			return nil
		})
	}
	more()
	echoSvc, echoSlice := svc(func(s *corev1.Service) { s.Name, s.Spec.ClusterIP = "echo", "10.96.0.21" }), eps("127.0.1.3 here rs")
	echoSlice.Name, echoSlice.Labels = "echo", map[string]string{discoveryv1.LabelServiceName: "echo"}
	w := start(t, service.Config{}, lb.Config{PinDir: dir}, fake.NewClientset(svc(nil), eps("127.0.1.1 here rs"), echoSvc, echoSlice))
	more()
	exchange("while the new agent runs")
	if err := answers("10.96.0.22:80", "one")(); err == nil {
		t.Error("a service that the API does not have is still served")
	}
	if _, err := os.Stat(filepath.Join(dir, "maps")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old maps: %v", err)
	}
	w.stop()
	more()
	exchange("after the new agent")
	close(stop)
	group.Wait()
}

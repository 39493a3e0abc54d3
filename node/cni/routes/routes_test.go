package routes_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/cni/routes"
	"github.com/pintle-io/pintle/node/informer"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// ours lists our routes as the ip command shows them.
func ours(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, l := range strings.Split(strings.TrimSpace(ip(t, "route", "show", "proto", "80")), "\n") {
		if l != "" {
			out = append(out, strings.Join(strings.Fields(l), " "))
		}
	}
	slices.Sort(out)
	return out
}

func wire(t *testing.T) {
	t.Helper()
	testenv.RequireNetwork(t)
	peer := testenv.NewNetns(t, "peer")
	peer.Link("up0", netip.MustParsePrefix("192.0.2.1/24"), "eth0", netip.MustParsePrefix("192.0.2.2/24"))
	ip(t, "route", "add", "default", "via", "192.0.2.2")
	t.Cleanup(func() {
		if err := routes.Remove(); err != nil {
			t.Error(err)
		}
	})
}

// Without a guard, a packet to a service range leaves by the default route.
func TestGuard(t *testing.T) {
	wire(t)
	services, pods := netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16")
	for range 2 {
		if err := routes.Guard(services, pods); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []string{"10.96.0.1:80", "10.244.9.9:80"} {
		if _, err := net.Dial("udp4", a); !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("%s: %v, want %v", a, err, unix.EHOSTUNREACH)
		}
	}
	// A better route wins, whatever came first.
	ip(t, "route", "add", "10.244.0.0/16", "via", "192.0.2.2")
	if c, err := net.Dial("udp4", "10.244.9.9:80"); err != nil {
		t.Errorf("beside a better route: %v", err)
	} else {
		c.Close()
	}
	if err := routes.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := ours(t); len(got) > 0 {
		t.Errorf("left after Remove: %v", got)
	}
}

func peer(pods, via string) routes.Peer {
	return routes.Peer{Pods: netip.MustParsePrefix(pods), Via: netip.MustParseAddr(via)}
}

func TestSync(t *testing.T) {
	wire(t)
	if err := routes.Guard(netip.MustParsePrefix("10.244.0.0/16")); err != nil {
		t.Fatal(err)
	}
	guard := "unreachable 10.244.0.0/16 metric 1073741824"
	ip(t, "route", "add", "10.50.0.0/16", "via", "192.0.2.2") // somebody else's
	for _, tc := range []struct {
		name  string
		peers []routes.Peer
		want  []string
		err   error
	}{
		{"two nodes", []routes.Peer{peer("10.244.1.0/24", "192.0.2.11"), peer("10.244.2.0/24", "192.0.2.12")},
			[]string{"10.244.1.0/24 via 192.0.2.11 dev up0", "10.244.2.0/24 via 192.0.2.12 dev up0", guard}, nil},
		{"one moves, one goes", []routes.Peer{peer("10.244.1.0/24", "192.0.2.13")},
			[]string{"10.244.1.0/24 via 192.0.2.13 dev up0", guard}, nil},
		{"one behind a router", []routes.Peer{peer("10.244.1.0/24", "192.0.2.13"), peer("10.244.3.0/24", "203.0.113.1")},
			[]string{"10.244.1.0/24 via 192.0.2.13 dev up0", guard}, routes.ErrNotOnLink},
		{"none", nil, []string{guard}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := routes.Sync(tc.peers); !errors.Is(err, tc.err) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, ours(t)); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
		})
	}
	if out := ip(t, "route", "show", "10.50.0.0/16"); out == "" {
		t.Error("somebody else's route is gone")
	}
}

func node(name, pods, addr string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: pods}}
	if addr != "" {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: addr}}
	}
	return n
}

func TestFollow(t *testing.T) {
	wire(t)
	client := fake.NewClientset(node("self", "10.244.0.0/24", "192.0.2.1"), node("one", "10.244.1.0/24", "192.0.2.11"), node("bare", "", "192.0.2.12"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	set := informer.New(client, "self")
	followed := make(chan struct{})
	go func() { defer close(followed); _ = set.Run(ctx) }()
	defer func() { <-followed }()
	go func() { done <- routes.Follow(ctx, set.Nodes(), "self", slog.New(slog.DiscardHandler)) }()
	eventually(t, "10.244.1.0/24 via 192.0.2.11 dev up0")
	if _, err := client.CoreV1().Nodes().Update(ctx, node("bare", "10.244.2.0/24", "192.0.2.12"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "10.244.1.0/24 via 192.0.2.11 dev up0", "10.244.2.0/24 via 192.0.2.12 dev up0")
	if err := client.CoreV1().Nodes().Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "10.244.2.0/24 via 192.0.2.12 dev up0")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow: %v", err)
	}
}

func eventually(t *testing.T, want ...string) {
	t.Helper()
	diff := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if diff = cmp.Diff(want, ours(t)); diff == "" {
			return
		}
	}
	t.Fatalf("routes (-want +got):\n%s", diff)
}

func TestLocalAddress(t *testing.T) {
	testenv.RequireNetwork(t)
	a := netip.MustParseAddr("169.254.20.10")
	for range 2 {
		if err := routes.AddLocal(a); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp4", "169.254.20.10:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for range 2 {
		if err := routes.RemoveLocal(a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Listen("tcp4", "169.254.20.10:0"); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("listen after removal: %v", err)
	}
}

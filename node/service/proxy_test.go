package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/service"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

// world is a cluster of one fake API server and one real balancer.
type world struct {
	t      *testing.T
	client *fake.Clientset
	proxy  *service.Proxy
	lb     *lb.Balancer
	stop   func()
}

func start(t *testing.T, cfg service.Config, lbcfg lb.Config, client *fake.Clientset) *world {
	t.Helper()
	lbcfg.CgroupPath = testenv.RequireNetwork(t)
	b, err := lb.Open(lbcfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, client: client, lb: b}
	set := informer.New(client, "here")
	cat, err := service.NewCatalog(set)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Catalog, cfg.Node = cat, "here"
	if cfg.Table == nil {
		cfg.Table, cfg.Sockets = b.Table, b.Sockets
	}
	w.proxy = service.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{set.Run, cat.Run, w.proxy.Run} {
		wg.Go(func() {
			if err := run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		})
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	select {
	case <-w.proxy.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the proxy does not become ready")
	}
	return w
}

func serve(t *testing.T, addr, name string) {
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
			_, _ = io.WriteString(c, name)
			c.Close()
		}
	}()
}

func ask(addr string) (string, error) {
	c, err := net.DialTimeout("tcp4", addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// eventually waits until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func answers(addr, want string) func() error {
	return func() error {
		if got, err := ask(addr); err != nil || got != want {
			return fmt.Errorf("%s answers %q, %v; want %q", addr, got, err, want)
		}
		return nil
	}
}

func fails(addr string, want error) func() error {
	return func() error {
		if _, err := ask(addr); !errors.Is(err, want) {
			return fmt.Errorf("%s: %v, want %v", addr, err, want)
		}
		return nil
	}
}

const web = "10.96.0.20:80"

func (w *world) slice(s *discoveryv1.EndpointSlice) {
	w.t.Helper()
	if _, err := w.client.DiscoveryV1().EndpointSlices("default").Update(w.t.Context(), s, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// The life of a Service, through the API and real sockets.
func TestProxy(t *testing.T) {
	testenv.RequireNetwork(t)
	serve(t, "127.0.1.1:8080", "one")
	serve(t, "127.0.1.2:8080", "two")
	reg := prometheus.NewRegistry()
	w := start(t, service.Config{Metrics: reg}, lb.Config{}, fake.NewClientset(svc(nil)))
	ctx := t.Context()
	eventually(t, fails(web, unix.ECONNREFUSED))
	if _, err := w.client.DiscoveryV1().EndpointSlices("default").Create(ctx, eps("127.0.1.1 here rs"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, answers(web, "one"))
	w.slice(eps("127.0.1.1 here st", "127.0.1.2 there rs"))
	eventually(t, answers(web, "two"))

	if _, err := w.client.CoreV1().Services("default").Update(ctx, svc(func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 }), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, answers("10.96.0.20:81", "two"))
	eventually(t, fails(web, unix.ENETUNREACH))
	if err := w.client.CoreV1().Services("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, fails("10.96.0.20:81", unix.ENETUNREACH))
	if all, err := w.lb.Table.Services(); err != nil || len(all) > 0 {
		t.Errorf("left in the kernel: %v, %v", all, err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	if n := testutil.CollectAndCount(reg, "pintle_service_programming_duration_seconds"); n != 1 {
		t.Errorf("%d latency metrics", n)
	}
}

// A pod that ends is out before its processes hear of it: when Drain returns.
func TestDrain(t *testing.T) {
	testenv.RequireNetwork(t)
	serve(t, "127.0.1.1:8080", "one")
	serve(t, "127.0.1.2:8080", "two")
	both := eps("127.0.1.1 here rs", "127.0.1.2 here rs")
	w := start(t, service.Config{}, lb.Config{}, fake.NewClientset(svc(nil), both))
	one := netip.MustParseAddr("127.0.1.1")
	only := func(want string, n int) {
		t.Helper()
		for range n {
			if err := answers(web, want)(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.proxy.Drain(one); err != nil {
		t.Fatal(err)
	}
	only("two", 50)
	// An event that says the same as before does not bring it back.
	w.slice(eps("127.0.1.1 here rs", "127.0.1.2 here rs", "127.0.1.3 there -"))
	time.Sleep(50 * time.Millisecond)
	only("two", 50)
	// The API catches up; later the address is another pod's.
	w.slice(eps("127.0.1.1 here st", "127.0.1.2 here rs"))
	time.Sleep(50 * time.Millisecond)
	w.slice(eps("127.0.1.2 here -", "127.0.1.1 here rs"))
	eventually(t, answers(web, "one"))

	if err := w.proxy.Drain(netip.MustParseAddr("10.1.1.1")); err != nil {
		t.Errorf("drain a stranger: %v", err)
	}
}

// Static services stand without an API and are not taken over by it; a service
// that a predecessor left stays until the API says otherwise.
func TestStaticAndRestart(t *testing.T) {
	testenv.RequireNetwork(t)
	serve(t, "127.0.1.1:8080", "one")
	serve(t, "127.0.1.9:5353", "dns")
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() {
		if err := lb.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	dns := "10.96.0.10:53"
	static := []lb.Service{{
		Key:       "dns",
		Frontends: []lb.Frontend{{Addr: netip.MustParseAddrPort(dns), Proto: lb.TCP}},
		Backends:  []lb.Backend{{Addr: netip.MustParseAddrPort("127.0.1.9:5353"), Local: true}},
	}}
	kubeDNS := svc(func(s *corev1.Service) {
		s.Name, s.Spec.ClusterIP, s.Spec.Ports[0].Port = "kube-dns", "10.96.0.10", 53
	})
	client := fake.NewClientset(kubeDNS, svc(nil), eps("127.0.1.1 here rs"))
	for round := range 2 {
		w := start(t, service.Config{Static: static}, lb.Config{PinDir: dir}, client)
		for a, want := range map[string]string{web: "one", dns: "dns"} {
			if err := answers(a, want)(); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		w.stop()
		if err := answers(web, "one")(); err != nil {
			t.Errorf("round %d, stopped: %v", round, err)
		}
	}
}

func TestHostPorts(t *testing.T) {
	testenv.RequireNetwork(t)
	serve(t, "127.0.1.1:8080", "one")
	w := start(t, service.Config{}, lb.Config{}, fake.NewClientset())
	pod := netip.MustParseAddrPort("127.0.1.1:8080")
	if err := w.proxy.SetHostPorts("uid", []service.HostPort{{HostPort: 8000, Proto: lb.TCP, Pod: pod}, {Host: netip.MustParseAddr("127.0.0.7"), HostPort: 8001, Proto: lb.TCP, Pod: pod}}); err != nil {
		t.Fatal(err)
	}
	for _, ok := range []string{"127.0.0.1:8000", "127.0.0.7:8001"} {
		if err := answers(ok, "one")(); err != nil {
			t.Error(err)
		}
	}
	if err := fails("127.0.0.1:8001", unix.ECONNREFUSED)(); err != nil {
		t.Error(err)
	}
	if err := w.proxy.SetHostPorts("uid", nil); err != nil {
		t.Fatal(err)
	}
	if err := fails("127.0.0.1:8000", unix.ECONNREFUSED)(); err != nil {
		t.Error(err)
	}
}

// ill refuses to write until it is well.
type ill struct {
	service.Table
	mu    sync.Mutex
	fails int
}

func (b *ill) Upsert(s lb.Service) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails > 0 {
		b.fails--
		return errors.New("no room")
	}
	return b.Table.Upsert(s)
}

// A change that the balancer refused is made in the end.
func TestRefusedChange(t *testing.T) {
	dir := testenv.RequireNetwork(t)
	serve(t, "127.0.1.1:8080", "one")
	b, err := lb.Open(lb.Config{CgroupPath: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() }) // after the proxy has stopped
	sick := &ill{Table: b.Table}
	w := start(t, service.Config{Table: sick, Sockets: b.Sockets}, lb.Config{}, fake.NewClientset(svc(nil)))
	sick.mu.Lock()
	sick.fails = 1
	sick.mu.Unlock()
	if _, err := w.client.DiscoveryV1().EndpointSlices("default").Create(t.Context(), eps("127.0.1.1 here rs"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, answers(web, "one"))
}

// A node port from another machine, with devices found by FollowDevices.
func TestFollowDevices(t *testing.T) {
	testenv.RequireNetwork(t)
	client := testenv.NewNetns(t, "client")
	client.Link("up0", netip.MustParsePrefix("192.0.2.1/24"), "eth0", netip.MustParsePrefix("192.0.2.9/24"))
	serve(t, "192.0.2.1:9000", "host")
	node := fake.NewClientset(svc(func(s *corev1.Service) { s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30080 }), eps("192.0.2.1 here rs"))
	s := eps("192.0.2.1 here rs")
	s.Ports[0].Port = ptr.To(int32(9000))
	w := start(t, service.Config{}, lb.Config{}, node)
	w.slice(s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- service.FollowDevices(ctx, w.lb.Addresses, w.lb.Packets, service.DeviceConfig{NodeIP: netip.MustParseAddr("192.0.2.1"), Uplinks: []string{"up1"}, Bridge: "br9"})
	}()
	// The process' own sockets see the new address in the same way.
	eventually(t, answers("192.0.2.1:30080", "host"))
	if devs := devices(t, w.lb); devs != 1 {
		t.Errorf("%d devices, want 1", devs)
	}
	other := testenv.NewNetns(t, "other")
	other.Link("up1", netip.MustParsePrefix("198.51.100.1/24"), "eth0", netip.MustParsePrefix("198.51.100.9/24"))
	eventually(t, func() error {
		if n := devices(t, w.lb); n != 2 {
			return fmt.Errorf("%d devices, want 2", n)
		}
		return nil
	})
	eventually(t, answers("198.51.100.1:30080", "host"))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("FollowDevices: %v", err)
	}
}

func devices(t *testing.T, b *lb.Balancer) int {
	t.Helper()
	d, err := b.Packets.Devices()
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

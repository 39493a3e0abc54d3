package cni_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/cni"
	"github.com/pintle-io/pintle/node/cni/plugin"
	"github.com/pintle-io/pintle/node/cni/routes"
	"github.com/pintle-io/pintle/node/dns"
	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/service"
)

const asPlugin = "PINTLE_TEST_AS_CNI_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		skel.PluginMainFuncs(plugin.Funcs(os.Stdout), plugin.Versions, "test")
		return
	}
	if what := os.Getenv(asProcess); what != "" {
		processMain(what)
		return
	}
	testenv.IsolateNetwork(m)
}

// asProcess makes the test binary be a process of the node: one whose sockets
// are translated. It asks an address ten times, or cluster DNS for a name.
const asProcess = "PINTLE_TEST_AS_PROCESS"

func processMain(what string) {
	answer := func(got string, err error) {
		if errno := unix.Errno(0); errors.As(err, &errno) {
			got = errno.Error()
		} else if err != nil {
			got = err.Error()
		}
		fmt.Println(got)
	}
	if _, err := netip.ParseAddrPort(what); err == nil {
		for range 10 {
			answer(ask(what))
		}
		return
	}
	for _, network := range []string{"udp", "tcp"} {
		c := mdns.Client{Net: network, Timeout: 5 * time.Second}
		m, _, err := c.Exchange(new(mdns.Msg).SetQuestion(what, mdns.TypeA), kubeDNS.String())
		got := ""
		if err == nil {
			for _, rr := range m.Answer {
				got += rr.(*mdns.A).A.String()
			}
		}
		answer(got, err)
	}
}

// asked runs such a process in a namespace (nil: the node's) and the cgroup, and
// returns its distinct answers.
func asked(t *testing.T, cgroup string, ns *testenv.Netns, what string) string {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asProcess+"="+what)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	var out []byte
	start := func() (err error) {
		out, err = cmd.Output()
		return err
	}
	if ns == nil {
		err = start()
	} else {
		err = ns.Try(start)
	}
	if err != nil {
		t.Fatalf("process: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), ", ")
}

// eventually waits until f returns want.
func eventually(t *testing.T, what, want string, f func() string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = f(); got == want {
			return
		}
	}
	t.Fatalf("%s: %q, want %q", what, got, want)
}

var (
	nodeIP    = netip.MustParseAddr("192.0.2.1")
	pods      = netip.MustParsePrefix("10.244.1.0/24")
	podRange  = netip.MustParsePrefix("10.244.0.0/16")
	svcRange  = netip.MustParsePrefix("10.96.0.0/16")
	localDNS  = netip.MustParseAddrPort("169.254.20.10:10053")
	kubeDNS   = netip.MustParseAddrPort("10.96.0.10:53")
	webVIP    = "10.96.0.20:80"
	outsideIP = "198.51.100.9"
)

func config(t *testing.T) cni.Config {
	t.Helper()
	testenv.RequireNetwork(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return cni.Config{
		Node: "here", DataDir: filepath.Join(dir, "data"), ConfDir: filepath.Join(dir, "net.d"), BinDir: filepath.Join(dir, "bin"),
		Executable: self, Bridge: "br-cni", NodeIP: nodeIP, PodRange: podRange, ServiceRange: svcRange,
	}
}

// uplink gives the node its address and a way to a machine outside.
func uplink(t *testing.T) *testenv.Netns {
	t.Helper()
	out := testenv.NewNetns(t, "outside")
	out.Link("up0", netip.PrefixFrom(nodeIP, 24), "eth0", netip.MustParsePrefix("192.0.2.9/24"))
	ip(t, "route", "add", "default", "via", "192.0.2.9")
	out.Do(func() error {
		lo, err := exec.Command("ip", "addr", "add", outsideIP+"/32", "dev", "lo").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, lo)
		}
		return nil
	})
	return out
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// runtime runs the plugin as a container runtime does, by what it finds in the
// two directories.
func runtime(t *testing.T, cfg cni.Config, verb, container, netns string, mappings ...map[string]any) *types100.Result {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(cfg.ConfDir, "05-pintle.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		CNIVersion, Name string
		Plugins          []map[string]any
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	conf := list.Plugins[0]
	conf["cniVersion"], conf["name"] = list.CNIVersion, list.Name
	delete(conf, "capabilities")
	conf["runtimeConfig"] = map[string]any{"portMappings": mappings}
	stdin, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(cfg.BinDir, conf["type"].(string)))
	cmd.Env = append(os.Environ(), asPlugin+"=1", "CNI_COMMAND="+verb, "CNI_CONTAINERID="+container, "CNI_NETNS="+netns, "CNI_IFNAME=eth0", "CNI_PATH="+cfg.BinDir)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", verb, container, err, out)
	}
	if verb != "ADD" {
		return nil
	}
	r := new(types100.Result)
	if err := json.Unmarshal(out, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func podAddr(r *types100.Result) netip.Addr {
	a, _ := netip.AddrFromSlice(r.IPs[0].Address.IP)
	return a.Unmap()
}

// Configure, a restart, another range, and Cleanup, which leaves nothing.
func TestConfigure(t *testing.T) {
	uplink(t)
	before := ip(t, "-o", "link") + ip(t, "route")
	cfg := config(t)
	n := cni.New(cfg)
	if n.Ready() {
		t.Error("ready before Configure")
	}
	for _, bad := range []string{"fd00::/64", "10.0.0.0/31"} {
		if err := n.Configure(t.Context(), netip.MustParsePrefix(bad)); err == nil || n.Ready() {
			t.Errorf("range %s: %v, ready %v", bad, err, n.Ready())
		}
	}
	for range 2 {
		if err := n.Configure(t.Context(), pods); err != nil || !n.Ready() {
			t.Fatalf("Configure: %v, ready %v", err, n.Ready())
		}
	}
	ns := testenv.NewNetns(t, "pod")
	runtime(t, cfg, "ADD", "aaa", ns.Path())
	// A new agent, and a node that got another range: the pod keeps its network.
	n = cni.New(cfg)
	if err := n.Configure(t.Context(), netip.MustParsePrefix("10.244.7.0/24")); err != nil {
		t.Fatal(err)
	}
	other := testenv.NewNetns(t, "other")
	if a := podAddr(runtime(t, cfg, "ADD", "bbb", other.Path())); a != netip.MustParseAddr("10.244.7.2") {
		t.Errorf("pod of the new range has %s", a)
	}
	// Somebody deletes the bridge; a pod's namespace goes without DEL.
	ip(t, "link", "del", "br-cni")
	if err := n.Sweep(); err != nil {
		t.Fatal(err)
	}
	serve(t, other, "10.244.7.2:80", "other")
	if got, err := ask("10.244.7.2:80"); err != nil || got != "other 10.244.7.1" {
		t.Errorf("a pod after its bridge was made again: %q, %v", got, err)
	}

	for range 2 {
		if err := n.Cleanup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := ip(t, "-o", "link") + ip(t, "route"); after != before {
		t.Errorf("before:\n%s\nafter Cleanup:\n%s", before, after)
	}
	for _, dir := range []string{cfg.DataDir, filepath.Join(cfg.ConfDir, "05-pintle.conflist"), filepath.Join(cfg.BinDir, "loopback"), filepath.Join(cfg.BinDir, plugin.Type)} {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

// Addresses of pods whose namespace is gone come back.
func TestSweep(t *testing.T) {
	cfg := config(t)
	n := cni.New(cfg)
	if err := n.Configure(t.Context(), pods); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Cleanup(context.Background()); err != nil {
			t.Error(err)
		}
	})
	// A namespace by a path that goes away, as the runtime's do.
	ns, gone := testenv.NewNetns(t, "pod"), filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(gone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(ns.Path(), gone, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	first := podAddr(runtime(t, cfg, "ADD", "aaa", gone))
	kept := testenv.NewNetns(t, "kept")
	runtime(t, cfg, "ADD", "bbb", kept.Path())
	if err := errors.Join(unix.Unmount(gone, 0), os.Remove(gone), n.Sweep()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			left = append(left, e.Name())
		}
	}
	if len(left) != 1 || strings.HasPrefix(left[0], first.String()+"_") {
		t.Errorf("records %v, want that of bbb", left)
	}
}

// Pods reach the outside by the node's address, and each other by their own.
func TestMasquerade(t *testing.T) {
	for _, tool := range []string{"nft", "iptables"} {
		t.Run(tool, func(t *testing.T) {
			path, err := exec.LookPath(tool)
			if err != nil {
				t.Fatalf("%s is needed: %v", tool, err)
			}
			bin := t.TempDir()
			if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
				t.Fatal(err)
			}
			if tool == "iptables" {
				// A firewall that refuses to forward.
				run(t, path, "-P", "FORWARD", "DROP")
				t.Cleanup(func() { run(t, path, "-P", "FORWARD", "ACCEPT") })
			}
			out := uplink(t)
			cfg := config(t)
			cfg.Masquerade = true
			n := cni.New(cfg)
			full := os.Getenv("PATH")
			t.Setenv("PATH", bin) // Configure finds this tool only
			for range 2 {
				if err := n.Configure(t.Context(), pods); err != nil {
					t.Fatal(err)
				}
			}
			pod, peer := testenv.NewNetns(t, "pod"), testenv.NewNetns(t, "peer")
			t.Setenv("PATH", full)
			addr := podAddr(runtime(t, cfg, "ADD", "aaa", pod.Path()))
			peerAddr := podAddr(runtime(t, cfg, "ADD", "bbb", peer.Path()))
			serve(t, out, outsideIP+":80", "outside")
			serve(t, peer, peerAddr.String()+":80", "peer")
			expect(t, pod, outsideIP+":80", "outside "+nodeIP.String())
			expect(t, pod, peerAddr.String()+":80", "peer "+addr.String())
			// Switched off, pods keep their own address, and still pass the firewall.
			t.Setenv("PATH", bin)
			cfg.Masquerade = false
			if err := cni.New(cfg).Configure(t.Context(), pods); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", full)
			out.Route(pods, nodeIP)
			expect(t, pod, outsideIP+":80", "outside "+addr.String())
			t.Setenv("PATH", bin)
			for range 2 {
				if err := n.Cleanup(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", full)
			for _, list := range [][]string{{"nft", "list", "ruleset"}, {"iptables-save"}} {
				b, err := exec.Command(list[0], list[1:]...).CombinedOutput()
				if err != nil || strings.Contains(string(b), "pintle") {
					t.Errorf("%v after Cleanup: %v\n%s", list, err, b)
				}
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

// serve answers at addr in ns with a name and the client's address.
func serve(t *testing.T, ns *testenv.Netns, addr, name string) {
	t.Helper()
	var l net.Listener
	ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprint(c, name, " ", host)
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

// expect asks addr from ns, until the answer is as wanted.
func expect(t *testing.T, ns *testenv.Netns, addr, want string) {
	t.Helper()
	var (
		got string
		err error
	)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		err = ns.Try(func() (err error) {
			got, err = ask(addr)
			return err
		})
		if err == nil && got == want {
			return
		}
	}
	t.Fatalf("%s: %q, %v; want %q", addr, got, err, want)
}

// The whole of a node's network: two pods made by the plugin, a Service and its
// name, cluster DNS served by this node, a host port and a node port asked from
// outside, and a pod that is drained.
func TestNode(t *testing.T) {
	out := uplink(t)
	cfg := config(t)
	cgroup := testenv.NewCgroup(t)
	balancer, err := lb.Open(lb.Config{CgroupPath: cgroup})
	if err != nil {
		t.Fatal(err)
	}
	defer balancer.Close()
	if err := balancer.Addresses.SetServiceRanges([]netip.Prefix{svcRange}); err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(web())
	set := informer.New(client, "here")
	catalog, err := service.NewCatalog(set)
	if err != nil {
		t.Fatal(err)
	}
	proxy := service.New(service.Config{
		Catalog: catalog, Table: balancer.Table, Sockets: balancer.Sockets, Node: "here",
		Static: []lb.Service{dnsService(lb.UDP), dnsService(lb.TCP)},
	})
	cfg.HostPorts = proxy
	network := cni.New(cfg)
	if err := routes.AddLocal(localDNS.Addr()); err != nil {
		t.Fatal(err)
	}
	server, err := dns.Listen(dns.Config{Source: catalog, Listen: []netip.AddrPort{localDNS}, Ranges: []netip.Prefix{podRange, svcRange}})
	if err != nil {
		t.Fatal(err)
	}
	if err := network.Configure(t.Context(), pods); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := errors.Join(network.Cleanup(context.Background()), routes.RemoveLocal(localDNS.Addr())); err != nil {
			t.Error(err)
		}
	})
	for _, f := range []func(context.Context) error{set.Run, catalog.Run, proxy.Run, server.Run, network.Run, func(ctx context.Context) error {
		return service.FollowDevices(ctx, balancer.Addresses, balancer.Packets, service.DeviceConfig{NodeIP: nodeIP, Bridge: cfg.Bridge})
	}} {
		wg.Go(func() {
			if err := f(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}

	one, two := testenv.NewNetns(t, "one"), testenv.NewNetns(t, "two")
	addrOne := podAddr(runtime(t, cfg, "ADD", "one", one.Path()))
	addrTwo := podAddr(runtime(t, cfg, "ADD", "two", two.Path(), map[string]any{"hostPort": 8000, "containerPort": 8080, "protocol": "tcp"}))
	serve(t, one, addrOne.String()+":8080", "one")
	serve(t, two, addrTwo.String()+":8080", "two")
	slice := endpoints(addrTwo)
	if _, err := client.DiscoveryV1().EndpointSlices("default").Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	from := func(ns *testenv.Netns, what, want string) {
		t.Helper()
		eventually(t, what, want, func() string { return asked(t, cgroup, ns, what) })
	}
	from(one, webVIP, "two "+addrOne.String())
	from(two, webVIP, "two "+addrTwo.String()) // itself
	from(nil, webVIP, "two 10.244.1.1")
	from(one, "192.0.2.1:30080", "two "+addrOne.String())
	from(nil, "127.0.0.1:30080", "two 10.244.1.1")
	from(nil, "127.0.0.1:8000", "two 10.244.1.1")
	from(one, "web.default.svc.cluster.local.", "10.96.0.20")
	from(nil, "web.default.svc.cluster.local.", "10.96.0.20")
	// A cluster IP or a port of one that nobody has is refused: by the socket, and
	// by the bridge where the socket is out of sight, as this test's own are.
	for _, unknown := range []string{"10.96.9.9:80", "10.96.0.20:81"} {
		from(nil, unknown, unix.ECONNREFUSED.Error())
		from(one, unknown, unix.ECONNREFUSED.Error())
		if err := one.Try(func() error { _, err := ask(unknown); return err }); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s by packets of a pod: %v, want %v", unknown, err, unix.ECONNREFUSED)
		}
	}
	expect(t, out, "192.0.2.1:8000", "two 192.0.2.9")
	expect(t, out, "192.0.2.1:30080", "two 192.0.2.9")

	both := endpoints(addrOne, addrTwo)
	if _, err := client.DiscoveryV1().EndpointSlices("default").Update(ctx, both, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "192.0.2.1:30080", "one 192.0.2.9")
	if err := proxy.Drain(addrOne); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if got, want := asked(t, cgroup, two, webVIP), "two "+addrTwo.String(); got != want {
			t.Errorf("after the drain of pod one: %s, want %s", got, want)
		}
	}
	// The host port goes with its pod.
	runtime(t, cfg, "DEL", "two", two.Path())
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := out.Try(func() error { _, err := ask("192.0.2.1:8000"); return err })
		if errors.Is(err, unix.ECONNREFUSED) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("host port after its pod: %v, want %v", err, unix.ECONNREFUSED)
		}
	}
}

func web() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, ClusterIP: "10.96.0.20",
			Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}},
		},
	}
}

func endpoints(addrs ...netip.Addr) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.String()}, NodeName: ptr.To("here")})
	}
	return s
}

func dnsService(p lb.Protocol) lb.Service {
	return lb.Service{
		Key:       "cluster DNS " + p.String(),
		Frontends: []lb.Frontend{{Addr: kubeDNS, Proto: p}},
		Backends:  []lb.Backend{{Addr: localDNS, Local: true}},
	}
}

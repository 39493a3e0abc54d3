package plugin_test

import (
	"bytes"
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
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/cni/bridge"
	"github.com/pintle-io/pintle/node/cni/ipam"
	"github.com/pintle-io/pintle/node/cni/plugin"
)

// asPlugin makes the test binary be the plugin, which is a process of its own.
const asPlugin = "PINTLE_TEST_AS_CNI_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		skel.PluginMainFuncs(plugin.Funcs(os.Stdout), plugin.Versions, "test")
		return
	}
	testenv.IsolateNetwork(m)
}

// world is a node's side of the plugin.
type world struct {
	t    testing.TB
	exe  string
	conf map[string]any
	dir  string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	testenv.RequireNetwork(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "ipam")
	t.Cleanup(func() {
		if err := bridge.Remove("br-test"); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, exe: self, dir: dir, conf: map[string]any{
		"cniVersion": "1.0.0", "name": "pintle", "type": plugin.Type,
		"bridge": "br-test", "podCIDR": "10.244.1.0/24", "mtu": 1400, "dataDir": dir,
	}}
}

type cniError struct {
	Code uint   `json:"code"`
	Msg  string `json:"msg"`
}

func (e *cniError) Error() string { return fmt.Sprintf("code %d: %s", e.Code, e.Msg) }

// call runs the plugin as a runtime does.
func (w *world) call(verb, container, netns string) ([]byte, error) {
	conf, err := json.Marshal(w.conf)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(w.exe)
	cmd.Env = append(os.Environ(), asPlugin+"=1", "CNI_COMMAND="+verb, "CNI_CONTAINERID="+container, "CNI_NETNS="+netns, "CNI_IFNAME=eth0", "CNI_PATH=/")
	cmd.Stdin = bytes.NewReader(conf)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		e := new(cniError)
		if json.Unmarshal(out, e) != nil {
			w.t.Fatalf("%s: %v, out %q, err %q", verb, err, out, &stderr)
		}
		return nil, e
	}
	return out, err
}

func (w *world) add(container string, ns *testenv.Netns) *types100.Result {
	w.t.Helper()
	out, err := w.call("ADD", container, ns.Path())
	if err != nil {
		w.t.Fatalf("ADD %s: %v", container, err)
	}
	r := new(types100.Result)
	if err := json.Unmarshal(out, r); err != nil {
		w.t.Fatalf("result %s: %v", out, err)
	}
	return r
}

func (w *world) must(verb, container, netns string) {
	w.t.Helper()
	if out, err := w.call(verb, container, netns); err != nil || len(out) > 0 {
		w.t.Fatalf("%s %s: %q, %v", verb, container, out, err)
	}
}

func ports(t testing.TB) int {
	t.Helper()
	br, err := netlink.LinkByName("br-test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := bridge.Ports(br)
	if err != nil {
		t.Fatal(err)
	}
	return len(p)
}

func records(t testing.TB, dir string) int {
	t.Helper()
	all, err := ipam.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Two pods and the node talk to each other; then nothing is left.
func TestLife(t *testing.T) {
	w := newWorld(t)
	a, b := testenv.NewNetns(t, "a"), testenv.NewNetns(t, "b")
	ra, rb := w.add("aaa", a), w.add("bbb", b)
	if got := ra.IPs[0].Address.String(); got != "10.244.1.2/24" {
		t.Errorf("first pod has %s, want 10.244.1.2/24", got)
	}
	if ra.CNIVersion != "1.0.0" || len(ra.Interfaces) != 3 || ra.Interfaces[2].Sandbox != a.Path() || *ra.IPs[0].Interface != 2 || ra.IPs[0].Gateway.String() != "10.244.1.1" {
		t.Errorf("result %+v", ra)
	}
	addrB := netip.MustParsePrefix(rb.IPs[0].Address.String()).Addr()
	for _, c := range []struct {
		from func(func() error)
		to   string
	}{
		{a.Do, addrB.String()},
		{b.Do, "10.244.1.1"},
		{func(f func() error) {
			if err := f(); err != nil {
				t.Error(err)
			}
		}, addrB.String()},
	} {
		c.from(func() error { return reach(b, c.to) })
	}
	a.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil && l.Attrs().MTU != 1400 {
			err = fmt.Errorf("MTU %d, want 1400", l.Attrs().MTU)
		}
		return err
	})
	w.must("CHECK", "aaa", a.Path())
	w.must("DEL", "aaa", a.Path())
	if _, err := w.call("CHECK", "aaa", a.Path()); err == nil {
		t.Error("CHECK after DEL passes")
	}
	w.must("DEL", "aaa", a.Path()) // twice
	w.must("DEL", "bbb", "")       // the runtime may not know the namespace any more
	w.must("DEL", "ccc", "")       // never added
	if p, r := ports(t), records(t, w.dir); p != 0 || r != 0 {
		t.Errorf("left: %d ports, %d records", p, r)
	}
}

// reach connects from this thread to a listener that it starts in ns, or here
// if the address is the bridge's.
func reach(ns *testenv.Netns, addr string) error {
	var l net.Listener
	listen := func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(addr, "0"))
		return err
	}
	var err error
	if addr == "10.244.1.1" {
		done := make(chan error)
		go func() { done <- listen() }() // another thread is in the node's namespace
		err = <-done
	} else {
		err = ns.Try(listen)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := net.DialTimeout("tcp4", l.Addr().String(), 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

// ADD that was cut off, at whatever point, can be repeated and deleted.
func TestRepeatedAdd(t *testing.T) {
	w := newWorld(t)
	ns := testenv.NewNetns(t, "a")
	first := w.add("aaa", ns)
	second := w.add("aaa", ns)
	if a, b := first.IPs[0].Address.String(), second.IPs[0].Address.String(); a != b {
		t.Errorf("address %s, then %s", a, b)
	}
	if p, r := ports(t), records(t, w.dir); p != 1 || r != 1 {
		t.Errorf("%d ports, %d records; want one each", p, r)
	}
}

// ADD that fails leaves nothing.
func TestFailedAdd(t *testing.T) {
	w := newWorld(t)
	ns := testenv.NewNetns(t, "a")
	ns.Link("taken0", netip.Prefix{}, "eth0", netip.MustParsePrefix("192.0.2.1/24"))
	for name, netns := range map[string]string{"no namespace": "/run/netns/none", "not a namespace": "/etc/hostname", "interface is there": ns.Path()} {
		if _, err := w.call("ADD", "aaa", netns); err == nil {
			t.Errorf("%s: ADD passes", name)
		}
		if p, r := ports(t), records(t, w.dir); p != 0 || r != 0 {
			t.Errorf("%s: left %d ports, %d records", name, p, r)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"no bridge":           func(c map[string]any) { delete(c, "bridge") },
		"no range":            func(c map[string]any) { delete(c, "podCIDR") },
		"range of IPv6":       func(c map[string]any) { c["podCIDR"] = "fd00::/64" },
		"range too tiny":      func(c map[string]any) { c["podCIDR"] = "10.0.0.0/31" },
		"range is none":       func(c map[string]any) { c["podCIDR"] = "x" },
		"no directory":        func(c map[string]any) { delete(c, "dataDir") },
		"odd MTU":             func(c map[string]any) { c["mtu"] = -1 },
		"other version":       func(c map[string]any) { c["cniVersion"] = "9.0.0" },
		"bridge is no bridge": func(c map[string]any) { c["bridge"] = "lo" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(w.conf)
			if _, err := w.call("ADD", "aaa", testenv.NewNetns(t, "a").Path()); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestGCAndStatus(t *testing.T) {
	w := newWorld(t)
	w.conf["cniVersion"] = "1.1.0"
	a, b := testenv.NewNetns(t, "a"), testenv.NewNetns(t, "b")
	w.must("STATUS", "", "")
	w.add("aaa", a)
	w.add("bbb", b)
	w.conf["cni.dev/valid-attachments"] = []map[string]string{{"containerID": "bbb", "ifname": "eth0"}}
	w.must("GC", "", "")
	if p, r := ports(t), records(t, w.dir); p != 1 || r != 1 {
		t.Errorf("%d ports, %d records; want one each", p, r)
	}
	w.must("CHECK", "bbb", b.Path())
	w.conf["bridge"] = "lo"
	var e *cniError
	if _, err := w.call("STATUS", "", ""); !errors.As(err, &e) || e.Code != 50 {
		t.Errorf("STATUS without a bridge: %v, want code 50", err)
	}
	out, err := w.call("VERSION", "", "")
	if err != nil || !strings.Contains(string(out), `"1.1.0"`) {
		t.Errorf("VERSION: %s, %v", out, err)
	}
}

func TestLoopback(t *testing.T) {
	w := newWorld(t)
	w.conf = map[string]any{"cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback"}
	ns := testenv.NewNetns(t, "a")
	ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(lo)
	})
	w.add("aaa", ns)
	ns.Do(func() error {
		c, err := net.Dial("udp4", "127.0.0.1:9")
		if err == nil {
			c.Close()
		}
		return err
	})
	w.must("DEL", "aaa", ns.Path())
}

// Host ports are written down for the agent.
func TestPortMappings(t *testing.T) {
	w := newWorld(t)
	w.conf["runtimeConfig"] = map[string]any{"portMappings": []map[string]any{{"hostPort": 8000, "containerPort": 80, "protocol": "tcp"}}}
	ns := testenv.NewNetns(t, "a")
	w.add("aaa", ns)
	all, err := ipam.List(w.dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("records %v, %v", all, err)
	}
	d, err := ipam.ReadDetails(w.dir, all[0])
	if err != nil || !slices.Equal(d.Ports, []ipam.Port{{HostPort: 8000, ContainerPort: 80, Protocol: "tcp"}}) || d.Netns != ns.Path() {
		t.Errorf("details %+v, %v", d, err)
	}
}

// A runtime starts many pods at once.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	var (
		mu   sync.Mutex
		seen = map[string]bool{}
		wg   sync.WaitGroup
	)
	var spaces []*testenv.Netns
	for range 12 {
		spaces = append(spaces, testenv.NewNetns(t, "p"))
	}
	for i, ns := range spaces {
		wg.Go(func() {
			out, err := w.call("ADD", fmt.Sprint("c", i), ns.Path())
			r := new(types100.Result)
			if err == nil {
				err = json.Unmarshal(out, r)
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if a := r.IPs[0].Address.String(); seen[a] {
				t.Errorf("%s given twice", a)
			} else {
				seen[a] = true
			}
		})
	}
	wg.Wait()
	if p := ports(t); p != 12 {
		t.Errorf("%d ports, want 12", p)
	}
	for i := range spaces {
		wg.Go(func() {
			if _, err := w.call("DEL", fmt.Sprint("c", i), ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p, r := ports(t), records(t, w.dir); p != 0 || r != 0 {
		t.Errorf("left: %d ports, %d records", p, r)
	}
}

// BenchmarkAdd runs the real executable, as a runtime does: one ADD and one DEL,
// with the CPU time of the two processes.
func BenchmarkAdd(b *testing.B) {
	w := newWorld(b)
	w.exe = filepath.Join(b.TempDir(), plugin.Type)
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", w.exe, "github.com/pintle-io/pintle/cmd/pintle-cni")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	conf, err := json.Marshal(w.conf)
	if err != nil {
		b.Fatal(err)
	}
	ns := testenv.NewNetns(b, "a")
	cpu := map[string]time.Duration{}
	wall := map[string]time.Duration{}
	for b.Loop() {
		for _, verb := range []string{"ADD", "DEL"} {
			cmd := exec.Command(w.exe)
			cmd.Env = []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=aaa", "CNI_NETNS=" + ns.Path(), "CNI_IFNAME=eth0", "CNI_PATH=/"}
			cmd.Stdin = bytes.NewReader(conf)
			start := time.Now()
			if out, err := cmd.Output(); err != nil {
				b.Fatalf("%s: %v\n%s", verb, err, out)
			}
			wall[verb] += time.Since(start)
			cpu[verb] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
	}
	for verb := range cpu {
		b.ReportMetric(float64(cpu[verb].Microseconds())/1000/float64(b.N), strings.ToLower(verb)+"-cpu-ms")
		b.ReportMetric(float64(wall[verb].Microseconds())/1000/float64(b.N), strings.ToLower(verb)+"-wall-ms")
	}
}

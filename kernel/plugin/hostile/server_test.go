package hostile_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/internal/simnodes"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/kinds"
	_ "github.com/pintle-io/pintle/plugins/scheduling"
)

// patience bounds every wait of the suite; nothing is expected to take it.
const patience = 60 * time.Second

var (
	podResource       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	namespaceResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	configMapResource = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	eventResource     = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

// server is a control plane as `pintle server` runs one, with the standard
// filters and scores linked in, the neighbour in WASM, and two nodes.
type server struct {
	*kernel.Kernel
	dir  string
	addr string          // of the API
	ctx  context.Context // of an administrator
	stop func()
	// configure, when set, changes the configuration of the next start, and
	// early is called beside it from before anything runs.
	configure func(*kernel.Config)
	early     func()
}

// slots bound how many control planes run side by side: what a test waits for is
// mostly a clock, and none should wait for the processors.
var slots = make(chan struct{}, 3)

// beside lets a test run beside others of its kind. Those that hold the process
// itself up or measure it do not.
func beside(t *testing.T) {
	t.Helper()
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

// start starts a control plane; a test has one for all its cases, which also
// shows that what a case did is gone after it.
func start(t testing.TB) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostile") // short, since sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{dir: dir}
	s.run(t)
	for _, name := range []string{guests.Namespace, "bystander"} {
		s.create(t, namespaceResource, "", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	nodes := simnodes.New(simnodes.Config{Registry: s.as(admin), Count: 2, LeaseInterval: -1, Prepare: func(i int, n *corev1.Node) {
		n.Status.Allocatable[corev1.ResourcePods], n.Status.Capacity[corev1.ResourcePods] = manyPods, manyPods
	}})
	if err := nodes.Create(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.load(t, "neighbour", s.neighbourPlugin(t))
	s.phase(t, "neighbour", v1alpha1.Ready)
	return s
}

var admin = &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}}

// as is the API as somebody sees it.
func (s *server) as(u user.Info) registry.Registry { return s.Access().As(u) }

// restart ends the control plane and starts it again on its data.
func (s *server) restart(t testing.TB) {
	t.Helper()
	s.stop()
	s.run(t)
}

func (s *server) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	host, err := wasm.New(ctx, wasm.Config{CacheDir: compiled(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	procs, err := process.New(process.Config{Dir: filepath.Join(s.dir, "plugins"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	c := kernel.Config{Dir: s.dir, Table: table, Listeners: []net.Listener{l}, UnsafeNoFsync: true, Log: log,
		Advertise: l.Addr().(*net.TCPAddr).AddrPort(), ServiceIP: netip.MustParseAddr("10.96.0.1"),
		Hosts:    map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostWASM: host, v1alpha1.HostProcess: procs, v1alpha1.HostNative: native.Host{}},
		Builtins: []plugin.Builtin{{Name: "scheduling", Spec: v1alpha1.PluginSpec{Plugin: "scheduling", Host: v1alpha1.HostNative}}},
	}
	if s.configure != nil {
		s.configure(&c)
	}
	if s.Kernel, err = kernel.New(ctx, c); err != nil {
		t.Fatal(err)
	}
	s.ctx = ctx
	if s.early != nil {
		s.early()
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the server: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server does not stop")
		}
		if err := host.Close(context.Background()); err != nil {
			t.Errorf("the WASM host: %v", err)
		}
	}
	t.Cleanup(func() { s.stop() })
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("the server ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the server does not get ready")
	}
	await(t, "plugins are loaded", func() bool {
		select {
		case <-s.PluginsSynced():
			return true
		default:
			return false
		}
	})
}

// testLog shows warnings with the test that they belong to.
type testLog struct{ t testing.TB }

func (w *testLog) Write(b []byte) (int, error) {
	w.t.Logf("server: %.600s", b)
	return len(b), nil
}

// waits polls until ok, or for as long as patience lasts.
func waits(ok func() bool) bool {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// await is waits for what must come.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !waits(ok) {
		t.Fatalf("in vain: %s", what)
	}
}

func target(r schema.GroupVersionResource, namespace, name string) registry.Target {
	return registry.Target{Resource: r, Namespace: namespace, Name: name}
}

package hostile_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// temp is the folder that all tests share; TestMain removes it.
var temp string

func TestMain(m *testing.M) {
	var err error
	if temp, err = os.MkdirTemp("", "hostile-build"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(temp)
	os.Exit(code)
}

// compiled is the cache of compiled modules.
func compiled() string { return filepath.Join(temp, "compiled") }

var (
	buildMu sync.Mutex
	built   = map[string][]byte{} // guarded by buildMu
)

// build compiles a main package below guests/cmd for a host, as an author
// would. The native host needs none: its guests are linked into the test.
func build(t testing.TB, host v1alpha1.HostKind, cmd string) []byte {
	t.Helper()
	args := []string{"build", "-ldflags=-s -w"}
	if host == v1alpha1.HostWASM {
		args = append(args, "-buildmode=c-shared")
	}
	return produce(t, string(host)+"/"+cmd, func(out string) *exec.Cmd {
		c := exec.Command("go", append(args, "-o", out, "./guests/cmd/"+cmd)...)
		if host == v1alpha1.HostWASM {
			c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		}
		return c
	})
}

// assemble translates testdata/NAME.wat. wabt is Debian's; hack/packages test
// installs it.
func assemble(t testing.TB, name string) []byte {
	t.Helper()
	return produce(t, "wat/"+name, func(out string) *exec.Cmd {
		return exec.Command("wat2wasm", "-o", out, filepath.Join("testdata", name+".wat"))
	})
}

func produce(t testing.TB, key string, command func(out string) *exec.Cmd) []byte {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	if b := built[key]; b != nil {
		return b
	}
	out := filepath.Join(temp, "out")
	if msg, err := command(out).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", key, err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	built[key] = b
	return b
}

// upload stores a module and returns its digest.
func (s *server) upload(t testing.TB, code []byte) string {
	t.Helper()
	digest, err := modules.New(s.as(admin)).Put(s.ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// hostilePlugin is the hostile plugin of package guests in a host.
func (s *server) hostilePlugin(t testing.TB, host v1alpha1.HostKind, at, do string) v1alpha1.PluginSpec {
	t.Helper()
	raw, err := json.Marshal(guests.Config{At: at, Do: do})
	if err != nil {
		t.Fatal(err)
	}
	spec := v1alpha1.PluginSpec{Plugin: "hostile", Host: host, Config: &runtime.RawExtension{Raw: raw},
		Permissions: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}}}}
	if host != v1alpha1.HostNative {
		spec.Digest = s.upload(t, build(t, host, "guests"))
	}
	return spec
}

// rawPlugin is a guest in text format.
func (s *server) rawPlugin(t testing.TB, name string) v1alpha1.PluginSpec {
	t.Helper()
	return v1alpha1.PluginSpec{Host: v1alpha1.HostWASM, Digest: s.upload(t, assemble(t, name))}
}

func (s *server) neighbourPlugin(t testing.TB) v1alpha1.PluginSpec {
	t.Helper()
	return v1alpha1.PluginSpec{Plugin: "neighbour", Host: v1alpha1.HostWASM, Digest: s.upload(t, build(t, v1alpha1.HostWASM, "guests")),
		Permissions: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "create"}}}}
}

package attach_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/internal/testenv"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

// verdict returns a program of a type that only says n.
func verdict(t *testing.T, typ ebpf.ProgramType, at ebpf.AttachType, n int32) *ebpf.Program {
	t.Helper()
	testenv.RequireNetwork(t)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: typ, AttachType: at, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, n), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func pins(t *testing.T) string {
	t.Helper()
	testenv.RequireNetwork(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	if err := attach.Mount(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(attach.RemoveLinks(filepath.Join(dir, "links")), attach.Unmount(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestMount(t *testing.T) {
	dir := pins(t)
	if err := attach.Mount(dir); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if ok, err := attach.Mounted(dir); !ok || err != nil {
		t.Errorf("mounted: %v, %v", ok, err)
	}
	if _, err := attach.Mounted(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such directory: %v", err)
	}
}

// refused tells whether a connect in the cgroup is answered by a program of it.
func refused(t *testing.T) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	return err != nil
}

// A link outlives its Links, gets another program in one step, and is dropped by
// name.
func TestCgroupLink(t *testing.T) {
	path := testenv.RequireNetwork(t)
	dir := filepath.Join(pins(t), "links")
	yes := verdict(t, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 1)
	no := verdict(t, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 0)
	hook, err := attach.NewCgroup(path, ebpf.AttachCGroupInet4Connect)
	if err != nil {
		t.Fatal(err)
	}
	first := attach.NewLinks(dir)
	if err := first.Attach("c", hook, no); err != nil {
		t.Fatal(err)
	}
	if !refused(t) || !first.Active() {
		t.Fatal("the program is not run")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if !refused(t) {
		t.Error("the link ended with its Links")
	}
	second := attach.NewLinks(dir)
	defer second.Close()
	if names, err := second.Names(); err != nil || len(names) != 1 || names[0] != "c" {
		t.Errorf("names: %v, %v", names, err)
	}
	if err := second.Attach("c", hook, yes); err != nil {
		t.Fatal(err)
	}
	if refused(t) {
		t.Error("the old program is still run")
	}
	if err := errors.Join(second.Attach("c", hook, no), second.Drop("c"), second.Drop("c")); err != nil {
		t.Fatal(err)
	}
	if refused(t) {
		t.Error("dropped, and still run")
	}
}

// A pinned link whose cgroup is another one now is replaced, and so is a pin
// that is none.
func TestStaleLink(t *testing.T) {
	parent := testenv.NewCgroup(t)
	dir := filepath.Join(pins(t), "links")
	p := verdict(t, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 1)
	for range 2 {
		path := filepath.Join(parent, "x")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		hook, err := attach.NewCgroup(path, ebpf.AttachCGroupInet4Connect)
		if err != nil {
			t.Fatal(err)
		}
		l := attach.NewLinks(dir)
		if err := errors.Join(l.Attach("c", hook, p), l.Close()); err != nil {
			t.Fatal(err)
		}
		if err := unix.Rmdir(path); err != nil {
			t.Fatal(err)
		}
	}
}

// device makes a pair of devices and returns the index of one.
func device(t *testing.T) int {
	t.Helper()
	testenv.RequireNetwork(t)
	if out, err := exec.Command("ip", "link", "add", "a0", "type", "veth", "peer", "name", "a1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "a0").Run() })
	l, err := netlink.LinkByName("a0")
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

// Links on one hook: one that comes later can be made to run before another, or
// before all.
func TestTCXOrder(t *testing.T) {
	index := device(t)
	dir := filepath.Join(pins(t), "links")
	at := attach.TCX{Index: index, Way: attach.Ingress}
	var programs []*ebpf.Program
	for range 4 {
		programs = append(programs, verdict(t, ebpf.SchedCLS, ebpf.AttachNone, -1))
	}
	l := attach.NewLinks(dir)
	defer l.Close()
	err := l.Attach("one", at, programs[0])
	if errors.Is(err, attach.ErrNotSupported) {
		return // a kernel without tcx: TestClassic is about it
	}
	if err != nil {
		t.Fatal(err)
	}
	if at.Before, err = link.LoadPinnedLink(filepath.Join(dir, "one"), nil); err != nil {
		t.Fatal(err)
	}
	defer at.Before.Close()
	// Others are another program's own, which knows nothing of the first; one of
	// them insists on being the first at all.
	head, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: programs[2], Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	if err != nil {
		t.Fatal(err)
	}
	defer head.Close()
	other := attach.NewLinks(filepath.Join(dir, "..", "others"))
	defer func() {
		if err := errors.Join(other.Drop("last"), other.Close(), os.Remove(filepath.Join(dir, "..", "others"))); err != nil {
			t.Error(err)
		}
	}()
	if err := errors.Join(l.Attach("before", at, programs[1]),
		other.Attach("last", attach.TCX{Index: index, Way: attach.Ingress}, programs[3]),
		l.Attach("one", attach.TCX{Index: index, Way: attach.Ingress}, programs[0])); err != nil { // again: it keeps its place
		t.Fatal(err)
	}
	got, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	if err != nil || len(got.Programs) != 4 {
		t.Fatalf("programs: %+v, %v", got, err)
	}
	for i, n := range []int{2, 1, 0, 3} {
		info, err := programs[n].Info()
		if err != nil {
			t.Fatal(err)
		}
		if id, _ := info.ID(); got.Programs[i].ID != id {
			t.Errorf("place %d: program %d, want number %d, which is %d", i, got.Programs[i].ID, n, id)
		}
	}
	if err := l.Attach("none", attach.TCX{Index: index + 1000, Way: attach.Egress}, programs[0]); err == nil {
		t.Error("attached to a device that is not there")
	}
}

// Filters are replaced by handle, and told from others' by name.
func TestClassic(t *testing.T) {
	index := device(t)
	p := verdict(t, ebpf.SchedCLS, ebpf.AttachNone, -1)
	count := func() int {
		t.Helper()
		l, err := netlink.LinkByIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			fs, err := netlink.FilterList(l, parent)
			if err != nil {
				t.Fatal(err)
			}
			n += len(fs)
		}
		return n
	}
	one, two, other := attach.Classic{Name: "ours", Handle: 1}, attach.Classic{Name: "ours", Handle: 2}, attach.Classic{Name: "theirs", Handle: 3}
	for i, step := range []struct {
		do   func() error
		want int
	}{
		{func() error { return one.Attach(index, p, p) }, 2},
		{func() error { return one.Attach(index, p, p) }, 2},
		{func() error { return two.Attach(index, p, p) }, 4},
		{func() error { return other.Attach(index, p, p) }, 6},
		{func() error { // a second program of another purpose does not take the first's place
			if err := (attach.Classic{Name: "theirs", Handle: 1}).Attach(index, p, p); !errors.Is(err, attach.ErrTaken) {
				return fmt.Errorf("the handle of another name: %w", err)
			}
			return nil
		}, 6},
		{func() error { return one.Detach(index) }, 4},
		{func() error { return attach.Classic{Name: "ours"}.DetachAll() }, 2},
		{func() error { return other.Detach(index + 1000) }, 2},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := count(); got != step.want {
			t.Errorf("step %s: %d filters, want %d", strconv.Itoa(i), got, step.want)
		}
	}
}

func TestCheck(t *testing.T) {
	testenv.RequireNetwork(t)
	good, bad := attach.MapType(ebpf.LRUHash), attach.Helper(ebpf.SchedCLS, asm.BuiltinFunc(100000))
	if err := attach.Check(good); err != nil {
		t.Error(err)
	}
	if err := attach.Check(good, bad); !errors.Is(err, attach.ErrNotSupported) {
		t.Errorf("a helper that no kernel has: %v", err)
	}
	if !attach.Have(good) || attach.Have(bad) {
		t.Error("Have says otherwise than Check")
	}
}

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Layouts of machines.
var (
	hybrid  = System{V1: map[string]string{"cpu": "/c/cpu", "cpuacct": "/c/cpu", "memory": "/c/memory", "pids": "/c/pids", "freezer": "/c/freezer", "name=systemd": "/c/systemd"}, V2: "/c/unified"}
	unified = System{V2: "/c"}
	// mixed has the CPU in v1 and the rest in cgroup2.
	mixed = System{V1: map[string]string{"cpu": "/c/cpu"}, V2: "/c/unified"}
	v1    = System{V1: map[string]string{"cpu": "/c/cpu", "memory": "/c/memory"}}
)

func TestSettings(t *testing.T) {
	all := Limits{PIDs: 100, Memory: 1 << 30, CPUShares: 1024, CPUQuota: 50000}
	every := []string{"cpuset", "cpu", "io", "memory", "pids"}
	for name, c := range map[string]struct {
		system  System
		limits  Limits
		offered []string
		want    []string // file=value; "?" before one that may be missing
	}{
		"hybrid": {hybrid, all, nil, []string{"/c/pids/g/pids.max=100", "/c/memory/g/memory.limit_in_bytes=1073741824",
			"/c/cpu/g/cpu.shares=1024", "/c/cpu/g/cpu.cfs_period_us=100000", "/c/cpu/g/cpu.cfs_quota_us=50000"}},
		"hybrid, limits lifted": {hybrid, Limits{CPUShares: 2}, []string{"hugetlb"}, []string{"?/c/pids/g/pids.max=max", "?/c/memory/g/memory.limit_in_bytes=-1",
			"/c/cpu/g/cpu.shares=2", "?/c/cpu/g/cpu.cfs_period_us=100000", "?/c/cpu/g/cpu.cfs_quota_us=-1"}},
		"unified":                           {unified, all, every, []string{"/c/g/pids.max=100", "/c/g/memory.max=1073741824", "/c/g/cpu.weight=39", "/c/g/cpu.max=50000 100000"}},
		"unified, limits lifted":            {unified, Limits{CPUShares: 2}, every, []string{"?/c/g/pids.max=max", "?/c/g/memory.max=max", "/c/g/cpu.weight=1", "?/c/g/cpu.max=max 100000"}},
		"unified, the weight stays":         {unified, Limits{Memory: 5}, []string{"memory", "cpu"}, []string{"/c/g/memory.max=5", "?/c/g/cpu.max=max 100000"}},
		"unified, without a CPU controller": {unified, all, []string{"memory", "pids"}, []string{"/c/g/pids.max=100", "/c/g/memory.max=1073741824"}},
		"mixed": {mixed, all, every, []string{"/c/unified/g/pids.max=100", "/c/unified/g/memory.max=1073741824",
			"/c/cpu/g/cpu.shares=1024", "/c/cpu/g/cpu.cfs_period_us=100000", "/c/cpu/g/cpu.cfs_quota_us=50000"}},
		"v1": {v1, all, nil, []string{"/c/memory/g/memory.limit_in_bytes=1073741824", "/c/cpu/g/cpu.shares=1024", "/c/cpu/g/cpu.cfs_period_us=100000", "/c/cpu/g/cpu.cfs_quota_us=50000"}},
	} {
		var got []string
		for _, s := range c.system.Settings("/g", c.limits, c.offered) {
			text := s.File + "=" + s.Value
			if s.Lifts {
				text = "?" + text
			}
			got = append(got, text)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestUnified(t *testing.T) {
	for name, c := range map[string]struct {
		s    System
		want bool
	}{
		"unified": {unified, true}, "hybrid": {hybrid, false}, "mixed": {mixed, false}, "v1": {v1, false},
		"a name beside it":       {System{V1: map[string]string{"name=systemd": "/x"}, V2: "/c"}, true},
		"a controller beside it": {System{V1: map[string]string{"net_cls": "/x"}, V2: "/c"}, true},
	} {
		if got := c.s.Unified(); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// tree makes the files of a machine.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestUsage(t *testing.T) {
	root := tree(t, map[string]string{
		"u/cpu.stat": "usage_usec 9000000\nuser_usec 1\n", "u/memory.stat": "anon 700\nfile 1\ninactive_file 1024\n", "u/cgroup.controllers": "cpu memory pids",
		"u/g/cpu.stat": "usage_usec 5\n", "u/g/memory.current": "5000\n", "u/g/memory.stat": "anon 3000\ninactive_file 1500\n", "u/g/pids.current": "3\n", "u/g/memory.max": "max\n",
		"u/small/memory.current": "10\n", "u/small/memory.stat": "inactive_file 20\n",
		"meminfo":                 "MemTotal:  100 kB\nMemFree:  60 kB\n",
		"cpuacct/g/cpuacct.usage": "77\n", "memory/g/memory.usage_in_bytes": "9000\n", "memory/g/memory.stat": "inactive_file 1\ntotal_inactive_file 4000\ntotal_rss 2000\n", "pids/g/pids.current": "4\n",
	})
	v2 := &System{V2: root + "/u", meminfo: root + "/meminfo"}
	both := &System{V1: map[string]string{"cpuacct": root + "/cpuacct", "memory": root + "/memory", "pids": root + "/pids"}, V2: root + "/u"}
	for name, c := range map[string]struct {
		s     *System
		group string
		want  Usage
	}{
		"unified":                {v2, "/g", Usage{CPU: 5000, Memory: 3500, RSS: 3000, PIDs: 3}},
		"unified, a small group": {v2, "/small", Usage{}},
		"unified, the machine":   {v2, "/", Usage{CPU: 9000000000, Memory: 40<<10 - 1024, RSS: 700}},
		"hybrid":                 {both, "/g", Usage{CPU: 77, Memory: 5000, RSS: 2000, PIDs: 4}},
	} {
		got, err := c.s.Usage(c.group)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v %v, want %+v", name, got, err, c.want)
		}
	}
	if _, err := v2.Usage("/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no group: got %v", err)
	}
}

// TestDelegate: on a unified machine each ancestor hands the controllers down
// that it has and has not handed down yet.
func TestDelegate(t *testing.T) {
	root := tree(t, map[string]string{
		"cgroup.controllers": "cpuset cpu io memory hugetlb pids", "cgroup.subtree_control": "cpuset cpu io memory pids",
		"a/cgroup.controllers": "memory", "a/cgroup.subtree_control": "", "a/b/cgroup.controllers": "memory", "a/b/cgroup.subtree_control": ""})
	s := &System{V2: root}
	if err := s.Create("/a/b"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cgroup.subtree_control": "cpuset cpu io memory pids", "a/cgroup.subtree_control": "+memory", "a/b/cgroup.subtree_control": ""} {
		if got := read(t, filepath.Join(root, file)); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}

func TestLimitFiles(t *testing.T) {
	root := tree(t, map[string]string{"g/cgroup.controllers": "cpu memory", "g/cpu.max": "max 100000", "g/memory.max": "max"})
	s := &System{V2: root}
	if err := s.Limit("/g", Limits{Memory: 4096, CPUQuota: 2000, PIDs: 5}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root+"/g/memory.max") + ", " + read(t, root+"/g/cpu.max"); got != "4096, 2000 100000" {
		t.Errorf("got %s", got)
	}
	if err := s.Limit("/g", Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root+"/g/memory.max") + ", " + read(t, root+"/g/cpu.max"); got != "max, max 100000" {
		t.Errorf("lifted: got %s", got)
	}
	if _, err := os.Stat(root + "/g/pids.max"); err == nil {
		t.Error("a controller that is not offered was written")
	}
	if err := s.Limit("/none", Limits{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no group: got %v", err)
	}
}

// TestKillFiles: what the kernel is asked for where it can do more than
// signals.
func TestKillFiles(t *testing.T) {
	root := tree(t, map[string]string{"u/g/cgroup.procs": "", "u/g/cgroup.kill": "0", "f/g/freezer.state": "FROZEN", "f/g/c/freezer.state": "FROZEN", "f/other/freezer.state": "FROZEN"})
	s := &System{V1: map[string]string{"freezer": root + "/f"}, V2: root + "/u"}
	if err := s.Kill(t.Context(), "/g"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root+"/u/g/cgroup.kill"); got != "1" {
		t.Errorf("cgroup.kill: got %q", got)
	}
	if err := s.thaw("/g"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"f/g/freezer.state": "THAWED", "f/g/c/freezer.state": "THAWED", "f/other/freezer.state": "FROZEN"} {
		if got := read(t, filepath.Join(root, file)); got != want {
			t.Errorf("%s: got %s, want %s", file, got, want)
		}
	}
	old := &System{V2: tree(t, map[string]string{"g/cgroup.procs": ""})}
	if err := old.Kill(t.Context(), "/g"); err != nil {
		t.Errorf("a kernel without cgroup.kill: %v", err)
	}
	for _, group := range []string{"", "/", "//"} {
		if err := old.Kill(t.Context(), group); err == nil {
			t.Errorf("%q: killed", group)
		}
	}
}

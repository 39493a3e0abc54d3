package cgroup

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		mounts  string
		v1      map[string]string
		v2      string
		unified bool
	}{
		"hybrid": {"tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
			map[string]string{"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "name=systemd": "/sys/fs/cgroup/systemd"}, "/sys/fs/cgroup/unified", false},
		"unified": {"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\ncgroup2 /elsewhere cgroup2 rw 0 0\n", nil, "/sys/fs/cgroup", true},
		"other options": {"cgroup /c/memory cgroup rw,seclabel,memory,cpuset_v2_mode,release_agent=/x 0 0\ncgroup2 /c/u cgroup2 rw,nsdelegate,memory_recursiveprot 0 0\n",
			map[string]string{"memory": "/c/memory"}, "/c/u", false},
		"a name beside unified": {"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\ncgroup /x cgroup rw,none,name=mine 0 0\n", map[string]string{"name=mine": "/x"}, "/sys/fs/cgroup", true},
		"v1 only":               {"cgroup /c/memory cgroup rw,memory 0 0\n", map[string]string{"memory": "/c/memory"}, "", false},
	} {
		s, err := parse(strings.NewReader(c.mounts))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.V1) != len(c.v1) || s.V2 != c.v2 || s.Unified() != c.unified {
			t.Errorf("%s: got %+v", name, s)
		}
		for k, v := range c.v1 {
			if s.V1[k] != v {
				t.Errorf("%s: %s: got %q, want %q", name, k, s.V1[k], v)
			}
		}
		if (s.RequireV2() == nil) != (c.v2 != "") || c.v2 == "" && !errors.Is(s.RequireV2(), ErrNoV2) {
			t.Errorf("%s: RequireV2: got %v", name, s.RequireV2())
		}
	}
	if _, err := parse(strings.NewReader("proc /proc proc rw 0 0\n")); err == nil {
		t.Error("no cgroups: no error")
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[int64]int64{0: 1, 2: 1, 1024: 39, 2048: 79, 262144: 10000, 300000: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d: got %d, want %d", shares, got, want)
		}
	}
}

package containerd

import (
	"strings"
	"testing"
)

func TestParseMajor(t *testing.T) {
	for out, want := range map[string]int{
		"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n": 1,
		"containerd github.com/containerd/containerd/v2 v2.4.2 abcdef\n":                2,
		"containerd containerd.io 1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182\n":    1,
	} {
		if got, err := parseMajor(out); err != nil || got != want {
			t.Errorf("%q: got %d %v, want %d", out, got, err, want)
		}
	}
	if _, err := parseMajor("something else"); err == nil {
		t.Error("no error")
	}
}

func TestRender(t *testing.T) {
	c := Config{Dir: "/d", Runc: "/bin/runc", Registry: "127.0.0.1:5000", SandboxImage: `pause"v1`, CNIBinDir: "/cni/bin", CNIConfDir: "/cni/conf", Snapshotter: "overlayfs"}
	for major, want := range map[int][]string{
		1: {"version = 2\n", `sandbox_image = "pause\"v1"`, `bin_dir = "/cni/bin"`},
		2: {"version = 3\n", `sandbox = "pause\"v1"`, `bin_dirs = ["/cni/bin"]`},
	} {
		b, err := c.render(major)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, `address = "/d/containerd.sock"`, "restrict_oom_score_adj = true", "netns_mounts_under_state_dir = true",
			"SystemdCgroup = false", `Root = "/d/runc"`, `config_path = "/d/hosts.d"`, "oom_score = 0") {
			if !strings.Contains(string(b), w) {
				t.Errorf("major %d lacks %s", major, w)
			}
		}
	}
	if got := string(c.hosts()); !strings.Contains(got, `[host."http://127.0.0.1:5000"]`) || !strings.HasPrefix(got, `server = "http://127.0.0.1:5000"`+"\n") {
		t.Errorf("hosts: got %s", got)
	}
}

func TestBadDirectories(t *testing.T) {
	for dir, want := range map[string]string{"relative": "not absolute", "/" + strings.Repeat("x", 100): "too long"} {
		if _, err := (Config{Dir: dir}).withDefaults(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", dir, err, want)
		}
	}
}

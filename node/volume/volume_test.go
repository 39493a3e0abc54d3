package volume_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume"
	"github.com/pintle-io/pintle/node/volume/localpath"
	"github.com/pintle-io/pintle/node/volume/projected"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) } // for its mount namespace

type world struct {
	t      *testing.T
	m      *volume.Manager
	root   string
	config map[string]map[string]string
	secret map[string]map[string][]byte
	clock  *testclock.FakeClock
	tokens int
	fail   error
	// renewed is added to what credentials say.
	renewed string

	bundles []*certificatesv1.ClusterTrustBundle
}

func (w *world) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if d, ok := w.config[name]; ok {
		return &corev1.ConfigMap{Data: d}, nil
	}
	return nil, nil
}

func (w *world) Secret(_, name string) (*corev1.Secret, error) {
	if d, ok := w.secret[name]; ok {
		return &corev1.Secret{Data: d}, nil
	}
	return nil, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.RequireNetwork(t)
	w := &world{t: t, root: filepath.Join(t.TempDir(), "pods"), clock: testclock.NewFakeClock(time.Now()),
		config: map[string]map[string]string{"cm": {"a": "1", "b": "2"}}, secret: map[string]map[string][]byte{"sec": {"k": []byte("s")}}}
	node := func() *podspec.Node { return &podspec.Node{IPs: []string{"10.0.0.1"}} }
	w.m = volume.New(volume.Config{Root: w.root, Node: node, Drivers: volume.Standard(localpath.Driver{Root: "/var/lib/none", Node: "n"}, projected.Config{Sources: w, Bundles: w, Clock: w.clock, Node: node,
		Credential: func(_ context.Context, _ *corev1.Pod, volume string, source int) (key, chain []byte, err error) {
			of := fmt.Sprintf("%s/%d%s\n", volume, source, w.renewed)
			return []byte("key " + of), []byte("chain " + of), w.fail
		},
		Token: func(_ context.Context, _ *corev1.Pod, audience string, seconds int64) (projected.Token, error) {
			w.tokens++
			return projected.Token{Value: audience + strings.Repeat("x", w.tokens), Expires: w.clock.Now().Add(time.Duration(seconds) * time.Second)}, w.fail
		}})})
	t.Cleanup(func() {
		if err := w.m.TearDown(context.Background(), "u"); err != nil {
			t.Error(err)
		}
		if left, err := mount.Below(w.root); err != nil || len(left) > 0 {
			t.Errorf("mounts left: %v %v", left, err)
		}
	})
	return w
}

func pod(volumes ...corev1.Volume) *corev1.Pod {
	p := &corev1.Pod{}
	p.Name, p.Namespace, p.UID, p.Labels = "web", "default", "u", map[string]string{"app": "web"}
	p.Spec.Volumes = volumes
	return p
}

func (w *world) prepare(p *corev1.Pod) time.Time {
	w.t.Helper()
	at, err := w.m.Prepare(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

func (w *world) read(volume, file string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, "u", "volumes", volume, file))
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

func vol(name string, s corev1.VolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: s}
}

func cmVolume(items ...corev1.KeyToPath) corev1.VolumeSource {
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Items: items}}
}

func TestConfigMapUpdate(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("all", cmVolume()), vol("some", cmVolume(corev1.KeyToPath{Key: "a", Path: "sub/dir/x", Mode: ptr.To[int32](0o400)})))
	w.prepare(p)
	if w.read("all", "a") != "1" || w.read("all", "b") != "2" || w.read("some", "sub/dir/x") != "1" {
		t.Errorf("got %q %q %q", w.read("all", "a"), w.read("all", "b"), w.read("some", "sub/dir/x"))
	}
	if fi, err := os.Stat(filepath.Join(w.root, "u/volumes/some/sub/dir/x")); err != nil || fi.Mode().Perm() != 0o400 {
		t.Errorf("mode: got %v %v", fi, err)
	}
	link := filepath.Join(w.root, "u/volumes/all/..data")
	before, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	w.prepare(p)
	if after, _ := os.Readlink(link); after != before {
		t.Error("unchanged content was written again")
	}
	// A reader that holds the old directory open keeps a consistent view.
	w.config["cm"] = map[string]string{"a": "10", "c": "3"}
	w.prepare(p)
	if w.read("all", "a") != "10" || w.read("all", "c") != "3" || !strings.Contains(w.read("all", "b"), "no such file") {
		t.Errorf("after the update: got %q %q %q", w.read("all", "a"), w.read("all", "b"), w.read("all", "c"))
	}
	entries, err := os.ReadDir(filepath.Join(w.root, "u/volumes/all"))
	if err != nil || len(entries) != 4 { // ..data, its directory, two links
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestMissing(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		v    corev1.VolumeSource
		want string
	}{
		"configmap": {corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}}}, `configmap "none" not found`},
		"key":       {cmVolume(corev1.KeyToPath{Key: "none", Path: "x"}), "references non-existent key: none"},
		"escape":    {cmVolume(corev1.KeyToPath{Key: "a", Path: "../x"}), "invalid path"},
		"escape 2":  {cmVolume(corev1.KeyToPath{Key: "a", Path: "x/../../y"}), "must not contain"},
		"unknown":   {corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}, "not supported"},
		"claim":     {corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}, "not available"},
		"medium":    {corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: "HugePages"}}, "not supported"},
	} {
		_, err := w.m.Prepare(t.Context(), pod(vol("v", c.v)))
		var e *volume.Error
		if !errors.As(err, &e) || e.Volume != "v" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	optional := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "none", Optional: ptr.To(true)}}
	w.prepare(pod(vol("v", optional)))
}

func TestToken(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("api", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: "a", ExpirationSeconds: ptr.To[int64](600)}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Items: []corev1.KeyToPath{{Key: "a", Path: "ca.crt"}}}},
	}}}))
	renew := w.prepare(p)
	if got := w.read("api", "token"); got != "ax" || w.read("api", "ca.crt") != "1" {
		t.Errorf("got %q", got)
	}
	if got := renew.Sub(w.clock.Now()); got != 480*time.Second {
		t.Errorf("renewal in %s", got)
	}
	if is, err := mount.IsMountPoint(filepath.Join(w.root, "u/volumes/api")); err != nil || !is {
		t.Errorf("a token on a disk: %v", err)
	}
	w.prepare(p)
	if w.tokens != 1 {
		t.Errorf("%d tokens", w.tokens)
	}
	w.clock.Step(500 * time.Second)
	w.fail = errors.New("no API")
	w.prepare(p) // the old one is good yet
	if got := w.read("api", "token"); got != "ax" {
		t.Errorf("got %q", got)
	}
	w.clock.Step(200 * time.Second)
	if _, err := w.m.Prepare(t.Context(), p); err == nil {
		t.Error("an expired token serves on")
	}
	w.fail = nil
	w.prepare(p)
	if got := w.read("api", "token"); got == "ax" {
		t.Error("not renewed")
	}
}

func TestHostPath(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		kind corev1.HostPathType
		want string
	}{
		{dir, corev1.HostPathDirectory, ""}, {file, corev1.HostPathFile, ""}, {file, corev1.HostPathDirectory, "is not a directory"},
		{dir, corev1.HostPathFile, "is not a file"}, {dir + "/new", corev1.HostPathDirectoryOrCreate, ""}, {dir + "/newfile", corev1.HostPathFileOrCreate, ""},
		{dir + "/none", corev1.HostPathDirectory, "is not a directory"}, {dir + "/none", corev1.HostPathSocket, "is not a socket file"},
		{"/dev/null", corev1.HostPathCharDev, ""}, {"/dev/null", corev1.HostPathBlockDev, "is not a block device"}, {"relative", corev1.HostPathUnset, "not absolute"},
	} {
		_, err := w.m.Prepare(t.Context(), pod(vol("v", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: c.path, Type: ptr.To(c.kind)}})))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s as %s: got %v, want %q", c.path, c.kind, err, c.want)
		}
	}
}

// TestSubPath: a part of a volume, which a container cannot exchange for a
// link that leads elsewhere.
func TestSubPath(t *testing.T) {
	w := newWorld(t)
	host := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(host, "evil")); err != nil {
		t.Fatal(err)
	}
	p := pod(vol("h", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: host}}), vol("cm", cmVolume()))
	w.prepare(p)
	mounts := func(sub string, v string) ([]*runtimeapi.Mount, error) {
		c := &corev1.Container{Name: "app", VolumeMounts: []corev1.VolumeMount{{Name: v, MountPath: "/m", SubPath: sub}}}
		env, err := podspec.Environment(p, c, &podspec.Node{}, nil, nil, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.m.Mounts(t.Context(), p, c, env, []string{"10.244.0.1"})
	}
	got, err := mounts("a", "cm")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(got[0].HostPath); err != nil || string(b) != "1" || !got[0].Readonly {
		t.Errorf("file of a configMap: got %q %v %v", b, err, got[0])
	}
	if got[1].ContainerPath != "/etc/hosts" {
		t.Errorf("hosts file: got %v", got)
	}
	if _, err := mounts("made/here", "h"); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(filepath.Join(host, "made/here")); err != nil || !fi.IsDir() {
		t.Errorf("directory not made: %v", err)
	}
	if _, err := mounts("made/here", "h"); err != nil { // again, for the next instance
		t.Error(err)
	}
	for _, sub := range []string{"evil", "evil/passwd", "../x"} {
		if got, err := mounts(sub, "h"); err == nil {
			t.Errorf("%s: got %v", sub, got)
		}
	}
}

// TestEarlierAgent: what an agent made before, of which this one knows no more
// than the disk shows, is taken over as it is, and removed when the pod goes.
func TestEarlierAgent(t *testing.T) {
	w := newWorld(t)
	dir, data := filepath.Join(w.root, "u"), t.TempDir()
	for _, d := range []string{"volumes/mem", "volumes/cm/..new-1", "volumes/e", "subpaths/e/app/0", "containers/app"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(mount.Tmpfs(filepath.Join(dir, "volumes/mem"), 0), mount.Bind(data, filepath.Join(dir, "subpaths/e/app/0")),
		os.Symlink("..new-1", filepath.Join(dir, "volumes/cm/..data")), os.Symlink("..data/a", filepath.Join(dir, "volumes/cm/a"))); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "etc-hosts"), "")
	write(filepath.Join(dir, "containers/app/0"), "")
	write(filepath.Join(dir, "volumes/cm/..new-1/a"), "1")
	write(filepath.Join(dir, "volumes/cm/..new-1/b"), "2")
	write(filepath.Join(dir, "volumes/mem/kept"), "x")
	write(filepath.Join(data, "precious"), "x")
	w.prepare(pod(vol("cm", cmVolume()), vol("e", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
		vol("mem", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}})))
	if link, err := os.Readlink(filepath.Join(dir, "volumes/cm/..data")); err != nil || link != "..new-1" || w.read("cm", "b") != "2" {
		t.Errorf("the configMap was written again: %q %q %v", link, w.read("cm", "b"), err)
	}
	if w.read("mem", "kept") != "x" {
		t.Error("the memory file system was made anew")
	}
	if err := w.m.TearDown(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "precious")); err != nil {
		t.Error(err)
	}
}

// TestTearDownKeepsData: what was mounted into the pod's directory survives.
func TestTearDownKeepsData(t *testing.T) {
	w := newWorld(t)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := pod(vol("e", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	w.prepare(p)
	at := filepath.Join(w.root, "u/volumes/e")
	if err := mount.Bind(data, at); err != nil {
		t.Fatal(err)
	}
	if err := w.m.TearDown(context.Background(), "u"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "precious")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(w.root, "u")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory left: %v", err)
	}
}

// TestSubPathMode: what is made has the volume's mode and group, whoever made
// its neighbours, and nothing but what is made is changed.
func TestSubPathMode(t *testing.T) {
	w := newWorld(t)
	const group = 4242
	p := pod(vol("open", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: ptr.To[int64](group)}
	w.prepare(p)
	dir := filepath.Join(w.root, "u/volumes/open")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "there"), 0o700), os.Chmod(filepath.Join(dir, "there"), 0o700), os.Symlink("there", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"a/b", "there/c", "link/d"} {
		c := &corev1.Container{Name: "app", VolumeMounts: []corev1.VolumeMount{{Name: "open", MountPath: "/m", SubPath: sub}}}
		if _, err := w.m.Mounts(t.Context(), p, c, nil, nil); err != nil {
			t.Fatalf("%s: %v", sub, err)
		}
	}
	for sub, want := range map[string]fs.FileMode{"a": 0o777 | fs.ModeSetgid, "a/b": 0o777 | fs.ModeSetgid, "there/d": 0o777 | fs.ModeSetgid, "there": 0o700} {
		fi, err := os.Stat(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		gid := fi.Sys().(*syscall.Stat_t).Gid
		if got := fi.Mode() &^ fs.ModeDir; got != want && sub != "there" || sub == "there" && got.Perm() != want || sub[:1] == "a" && gid != group {
			t.Errorf("%s: got %s, group %d", sub, got, gid)
		}
	}
}

func TestTokenOwner(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		user, group *int64
		uid         uint32
		mode        fs.FileMode
	}{
		"nobody known": {nil, nil, 0, 0o644},
		"one user":     {ptr.To[int64](1000), nil, 1000, 0o600},
		"a group":      {nil, ptr.To[int64](4242), 0, 0o640},
		"both":         {ptr.To[int64](1000), ptr.To[int64](4242), 1000, 0o640},
	} {
		p := pod(vol("api", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}))
		p.Spec.Containers = []corev1.Container{{Name: "app"}}
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: c.user, FSGroup: c.group}
		w.prepare(p)
		fi, err := os.Stat(filepath.Join(w.root, "u/volumes/api/token"))
		if err != nil {
			t.Fatal(err)
		}
		if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != c.uid || fi.Mode() != c.mode {
			t.Errorf("%s: got %s of %d, want %s of %d", name, fi.Mode(), uid, c.mode, c.uid)
		}
		if err := w.m.TearDown(context.Background(), "u"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnlyMounts(t *testing.T) {
	w := newWorld(t)
	host, able := t.TempDir(), false
	node := func() *podspec.Node { return &podspec.Node{} }
	m := volume.New(volume.Config{Root: w.root, Node: node, Drivers: volume.Standard(localpath.Driver{Root: "/var/lib/none", Node: "n"}, projected.Config{Sources: w, Node: node}),
		Claim: func(context.Context, *corev1.Pod, string, bool) (*corev1.PersistentVolume, error) {
			return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: host}}}}, nil
		},
		RecursiveReadOnly: func(context.Context, *corev1.Pod) (bool, error) { return able, nil }})
	p := pod(vol("h", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: host}}), vol("cm", cmVolume()),
		vol("claim", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c", ReadOnly: true}}))
	if _, err := m.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	const unable = `failed to resolve recursive read-only mode: volume "h" requested recursive read-only mode, but it is not `
	for name, c := range map[string]struct {
		volume    string
		readOnly  bool
		mode      corev1.RecursiveReadOnlyMode
		spread    corev1.MountPropagationMode
		able      bool
		want, all bool // read-only, and below it
		err       string
	}{
		"writable":                   {volume: "h"},
		"read-only":                  {volume: "h", readOnly: true, want: true},
		"written by the agent":       {volume: "cm", want: true},
		"a claim that is read-only":  {volume: "claim", want: true},
		"disabled":                   {volume: "h", readOnly: true, mode: corev1.RecursiveReadOnlyDisabled, able: true, want: true},
		"enabled":                    {volume: "h", readOnly: true, mode: corev1.RecursiveReadOnlyEnabled, able: true, want: true, all: true},
		"enabled, and cannot be":     {volume: "h", readOnly: true, mode: corev1.RecursiveReadOnlyEnabled, err: unable + "supported by the runtime"},
		"if possible":                {volume: "h", readOnly: true, mode: corev1.RecursiveReadOnlyIfPossible, able: true, want: true, all: true},
		"if possible, and cannot be": {volume: "h", readOnly: true, mode: corev1.RecursiveReadOnlyIfPossible, want: true},
		"not even read-only":         {volume: "h", mode: corev1.RecursiveReadOnlyEnabled, able: true, err: `but it is not read-only`},
		"propagated":                 {volume: "h", readOnly: true, mode: corev1.RecursiveReadOnlyEnabled, able: true, spread: corev1.MountPropagationHostToContainer, err: unable + `compatible with propagation "HostToContainer"`},
		"unknown":                    {volume: "h", readOnly: true, mode: "x", able: true, err: `unknown recursive read-only mode "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			able = c.able
			vm := corev1.VolumeMount{Name: c.volume, MountPath: "/m", ReadOnly: c.readOnly}
			if c.mode != "" {
				vm.RecursiveReadOnly = &c.mode
			}
			if c.spread != "" {
				vm.MountPropagation = &c.spread
			}
			got, err := m.Mounts(t.Context(), p, &corev1.Container{Name: "app", VolumeMounts: []corev1.VolumeMount{vm}}, nil, nil)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || got[0].Readonly != c.want || got[0].RecursiveReadOnly != c.all {
				t.Errorf("got %v %v", got, err)
			}
		})
	}
}

// TestReadFile: whatever a container put into the volume, nothing outside of
// it is read, and nobody waits.
func TestReadFile(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("e", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	w.prepare(p)
	dir := filepath.Join(w.root, "u/volumes/e")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "env"), []byte("A='1'"), 0o600), os.Symlink("env", filepath.Join(dir, "link")),
		os.Symlink("/etc/passwd", filepath.Join(dir, "evil")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		os.WriteFile(filepath.Join(dir, "huge"), nil, 0o600), os.Truncate(filepath.Join(dir, "huge"), 2<<20)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"env", "link"} {
		if b, err := w.m.ReadFile(p, "e", name); err != nil || string(b) != "A='1'" {
			t.Errorf("%s: got %q %v", name, b, err)
		}
	}
	for _, name := range []string{"evil", "../../../u/etc-hosts", "pipe", "huge", "none", "."} {
		if b, err := w.m.ReadFile(p, "e", name); err == nil {
			t.Errorf("%s: got %q", name, b)
		}
	}
	if _, err := w.m.ReadFile(p, "none", "env"); err == nil {
		t.Error("a volume that is not: no error")
	}
}

// TestBlockDevices: a container does not start without what it asks for.
func TestBlockDevices(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("raw", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	w.prepare(p)
	_, err := w.m.Mounts(t.Context(), p, &corev1.Container{Name: "app", VolumeDevices: []corev1.VolumeDevice{{Name: "raw", DevicePath: "/dev/x"}}}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), `volume "raw" of container "app"`) {
		t.Errorf("got %v", err)
	}
}

// A claim that says nothing of its volume yet is told of in upstream's words.
func TestClaimIsNotBound(t *testing.T) {
	w := newWorld(t)
	why := errors.New("error processing PVC default/p-tmp: PVC is not bound")
	ephemerals := map[string]bool{}
	m := volume.New(volume.Config{Root: w.root, Node: func() *podspec.Node { return &podspec.Node{} }, Drivers: volume.Standard(localpath.Driver{Root: "/var/lib/none", Node: "n"}, projected.Config{Sources: w}),
		Claim: func(_ context.Context, _ *corev1.Pod, name string, ephemeral bool) (*corev1.PersistentVolume, error) {
			ephemerals[name] = ephemeral
			return nil, why
		}})
	p := pod(vol("tmp", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}),
		vol("data", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}))
	_, err := m.Prepare(t.Context(), p)
	want := "Unable to attach or mount volumes: unmounted volumes=[tmp], unattached volumes=[], failed to process volumes=[tmp]: error processing PVC default/p-tmp: PVC is not bound"
	if err == nil || err.Error() != want || !errors.Is(err, why) {
		t.Errorf("got %v, want %s", err, want)
	}
	if !ephemerals[p.Name+"-tmp"] || ephemerals["c"] {
		t.Errorf("ephemeral claims %v", ephemerals)
	}
}

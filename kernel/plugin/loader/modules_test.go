package loader_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/kernel/registry"
)

func TestModules(t *testing.T) {
	r, _ := newRegistry(t)
	s := modules.New(r)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	module := make([]byte, 3<<20+17)
	if _, err := rand.Read(module); err != nil {
		t.Fatal(err)
	}
	digest := v1alpha1.DigestOf(module)
	url := server.URL + modules.Path + strings.TrimPrefix(digest, "sha256:")
	for _, c := range []struct {
		method, url string
		body        []byte
		code        int
		text        string
	}{
		{"GET", url, nil, http.StatusNotFound, "not stored"},
		{"PUT", url, module[:100], http.StatusBadRequest, "does not have this digest"},
		{"PUT", url, module, http.StatusCreated, ""},
		{"PUT", url, module, http.StatusCreated, ""},
		{"GET", url, nil, http.StatusOK, string(module)},
		{"POST", url, module, http.StatusMethodNotAllowed, ""},
		{"GET", server.URL + modules.Path + "short", nil, http.StatusNotFound, "sha256"},
		{"DELETE", url, nil, http.StatusOK, ""},
		{"DELETE", url, nil, http.StatusNotFound, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.code || !strings.Contains(b.String(), c.text) {
			t.Errorf("%s %s: %d, %d bytes, %v; want %d", c.method, c.url, resp.StatusCode, b.Len(), err, c.code)
		}
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after deletion: %q, %v", list, err)
	}
	if _, err := s.Put(t.Context(), make([]byte, modules.MaxSize+1)); !errors.Is(err, modules.ErrTooLarge) {
		t.Errorf("a module that is too large: %v", err)
	}
}

func TestUnusedModulesAreCollected(t *testing.T) {
	r, _ := newRegistry(t)
	s := modules.New(r)
	var digests []string
	for _, text := range []string{"used", "unused"} {
		d, err := s.Put(t.Context(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), d); err != nil { // now the cache has it
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	// Of a third only a piece came.
	half := &v1alpha1.PluginModule{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PieceName(v1alpha1.DigestOf(nil), 1)},
		Digest: v1alpha1.DigestOf(nil), Piece: 1, Pieces: 2, Data: []byte("x")}
	if _, err := r.Create(t.Context(), registry.Target{Resource: v1alpha1.Modules, Name: half.Name}, half, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(t.Context(), registry.Target{Resource: v1alpha1.Modules, Name: half.Name}, metav1.GetOptions{}); err != nil { // the cache has it
		t.Fatal(err)
	}
	for _, c := range []struct {
		before time.Time
		want   []string
	}{
		{time.Now().Add(-time.Minute), nil}, // stored since
		{time.Now().Add(time.Minute), []string{digests[1], half.Digest}},
		{time.Now().Add(time.Minute), nil},
	} {
		got, err := s.Collect(t.Context(), func(digest string, stored time.Time) bool { return digest == digests[0] || stored.After(c.before) })
		slices.Sort(got)
		slices.Sort(c.want)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("removed %q, %v; want %q", got, err, c.want)
		}
	}
	if l, err := r.List(t.Context(), registry.Target{Resource: v1alpha1.Modules}, metav1.ListOptions{}); err != nil || len(l.Items) != 1 {
		t.Errorf("%d pieces are left, %v", len(l.Items), err)
	}
	if b, err := s.Get(t.Context(), digests[0]); err != nil || string(b) != "used" {
		t.Errorf("the module in use: %q, %v", b, err)
	}
}

// TestModulesAreBounded: what is stored of modules has a bound in number and
// bytes, for any way in and for uploads at the same time; who is refused is told
// why, and leaves nothing behind.
func TestModulesAreBounded(t *testing.T) {
	r, chain := newRegistry(t)
	s, bounds := modules.New(r), modules.Bounds{Modules: 8, Bytes: 8 << 20}
	chain.Set("plugin-modules", 0, s.Quota(bounds).Rule())
	big := func(i int) []byte {
		b := make([]byte, 1<<20+1<<18)
		b[0] = byte(i)
		return b
	}
	var kept, refused atomic.Int64
	var group sync.WaitGroup
	for i := range 9 { // six of them fit
		group.Go(func() {
			switch _, err := s.Put(t.Context(), big(i)); {
			case err == nil:
				kept.Add(1)
			case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "of 8 MiB are kept; remove plugins"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	bytesStored := 0
	l, err := r.List(t.Context(), registry.Target{Resource: v1alpha1.Modules}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range l.Items {
		bytesStored += len(o.Obj.(*v1alpha1.PluginModule).Data)
	}
	if refused.Load() < 3 || bytesStored != int(kept.Load())*(1<<20+1<<18) || int64(bytesStored) > bounds.Bytes {
		t.Errorf("%d modules are kept, %d refused, %d MiB stored", kept.Load(), refused.Load(), bytesStored>>20)
	}
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range all {
		if err := s.Delete(t.Context(), digest); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "room", func() bool { _, err := s.Put(t.Context(), big(0)); return err == nil })
	var last error
	for i := range bounds.Modules {
		_, last = s.Put(t.Context(), fmt.Appendf(nil, "small %d", i))
	}
	if !apierrors.IsForbidden(last) || !strings.Contains(last.Error(), "9 modules") {
		t.Errorf("the module after the last: %v", last)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	req, err := http.NewRequestWithContext(t.Context(), "PUT", server.URL+modules.Path+strings.TrimPrefix(v1alpha1.DigestOf([]byte("one more")), "sha256:"), strings.NewReader("one more"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
		t.Errorf("through HTTP: %d", resp.StatusCode)
	}
}

// TestUploadedWASM: a Plugin waits for its module, then runs it; another
// server that starts later runs it too.
func TestUploadedWASM(t *testing.T) {
	out := filepath.Join(t.TempDir(), "suite.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "../hosttest/suite/cmd/suite")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	h, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	withWASM := func(c *loader.Config) { c.Hosts[v1alpha1.HostWASM] = h }
	c := newCluster(t, withWASM)
	c.create(t, "pinned", v1alpha1.PluginSpec{Digest: v1alpha1.DigestOf(module), Plugin: "suite"})
	if s := c.phase(t, "pinned", v1alpha1.Pending); !strings.Contains(s.Message, "has not been uploaded") {
		t.Errorf("message %q", s.Message)
	}
	if _, err := c.modules.Put(t.Context(), module); err != nil {
		t.Fatal(err)
	}
	c.phase(t, "pinned", v1alpha1.Ready)
	if _, _, err := c.pod(t, "bad", "web:latest"); !apierrors.IsForbidden(err) {
		t.Errorf("error %v, want Forbidden", err)
	}
	s := c.wait(t, "pinned", "measured", func(s v1alpha1.PluginStatus) bool { return s.Memory != nil })
	t.Logf("p50 %s, p99 %s, memory %s", s.P50.Duration, s.P99.Duration, s.Memory)
	c.stop()
	c.run(t, withWASM)
	if _, _, err := c.pod(t, "bad", "web:latest"); !apierrors.IsForbidden(err) {
		t.Errorf("after a restart: error %v, want Forbidden", err)
	}
	corrupt := append([]byte(nil), module[:len(module)/2]...)
	if _, err := c.modules.Put(t.Context(), corrupt); err != nil {
		t.Fatal(err)
	}
	c.create(t, "corrupt", v1alpha1.PluginSpec{Digest: v1alpha1.DigestOf(corrupt)})
	if s := c.phase(t, "corrupt", v1alpha1.Failed); !strings.Contains(s.Message, "not a valid WASM module") {
		t.Errorf("message %q", s.Message)
	}
}

// TestReplacedModulesGo: many versions, one after another, do not pile up until
// each is ten minutes old.
func TestReplacedModulesGo(t *testing.T) {
	clock := testclock.NewFakeClock(time.Now())
	c := newCluster(t, func(c *loader.Config) { c.Clock = clock })
	var digests []string
	for i := range 3 {
		d, err := c.modules.Put(t.Context(), fmt.Appendf(nil, "version %d", i))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	spec := nativeSpec
	spec.Digest = digests[0]
	c.create(t, "p", spec)
	look := func() {
		for range 61 {
			clock.Step(time.Second)
			time.Sleep(time.Millisecond) // lets the loader take the tick; nothing waits for it
		}
	}
	stored := func() []string {
		l, err := c.modules.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	waitFor(t, "load", func() bool { look(); return c.plugin(t, "p").Status.Phase == v1alpha1.Ready })
	look()
	c.update(t, "p", func(p *v1alpha1.Plugin) { p.Spec.Digest = digests[1] })
	waitFor(t, "end of the replaced module", func() bool { look(); return !slices.Contains(stored(), digests[0]) })
	if l := stored(); !slices.Contains(l, digests[1]) {
		t.Errorf("stored are %q: the module in use is gone", l)
	} else if !slices.Contains(l, digests[2]) {
		t.Errorf("stored are %q: the module whose Plugin is still to come is gone", l)
	}
}

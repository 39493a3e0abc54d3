package loader_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
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
	used := map[string]bool{digests[0]: true}
	for _, c := range []struct {
		before time.Time
		want   []string
	}{
		{time.Now().Add(-time.Minute), nil}, // stored since
		{time.Now().Add(time.Minute), digests[1:]},
		{time.Now().Add(time.Minute), nil},
	} {
		if got, err := s.Collect(t.Context(), used, c.before); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("removed %q, %v; want %q", got, err, c.want)
		}
	}
	if b, err := s.Get(t.Context(), digests[0]); err != nil || string(b) != "used" {
		t.Errorf("the module in use: %q, %v", b, err)
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

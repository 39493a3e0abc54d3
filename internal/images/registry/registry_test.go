package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pintle-io/pintle/internal/images/build"
	"github.com/pintle-io/pintle/internal/images/registry"
)

func image(t *testing.T, content string) v1.Image {
	t.Helper()
	img, err := build.Image(build.Spec{Files: []build.File{{Path: "/f", Content: []byte(content)}}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// token is what the registries of these tests take for pushing.
const token = "secret"

func mayPush(_ context.Context, t string) (bool, error) { return t == token, nil }

func serve(t *testing.T, dir string) (addr string, reg *registry.Registry) {
	t.Helper()
	return serveWith(t, registry.Config{Dir: dir})
}

func serveWith(t *testing.T, c registry.Config) (addr string, reg *registry.Registry) {
	t.Helper()
	if c.Push == nil {
		c.Push = mayPush
	}
	reg, err := registry.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, reg), reg
}

func pull(t *testing.T, ref string) (string, error) {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(r)
	if err != nil {
		return "", err
	}
	if _, err := mutate.Extract(img).Read(make([]byte, 1)); err != nil { // blobs, too
		return "", err
	}
	h, err := img.Digest()
	return h.String(), err
}

func TestSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	addr, _ := serve(t, dir)
	img := image(t, "one")
	want, err := build.Push(t.Context(), addr, "quay.io/team/web:v1", build.Named{Image: img}, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build.Push(t.Context(), addr, "debian:12", build.Named{Image: image(t, "deb")}, token); err != nil {
		t.Fatal(err)
	}
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	if _, err := build.Push(t.Context(), addr, "multi:v1", build.Named{Index: idx}, token); err != nil {
		t.Fatal(err)
	}
	again, reg := serve(t, dir)
	if d := cmp.Diff([]string{"debian:12", "multi:v1", "team/web:v1"}, reg.Names()); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	for _, ref := range []string{"/team/web:v1", "/team/web@" + want} {
		if got, err := pull(t, again+ref); err != nil || got != want {
			t.Errorf("%s: got %s %v, want %s", ref, got, err, want)
		}
	}
	if _, err := pull(t, again+"/library/multi:v1"); err != nil {
		t.Errorf("index: %v", err)
	}
	if _, err := pull(t, again+"/team/none:v1"); err == nil {
		t.Error("an image that was never pushed")
	}
}

func TestMovedTagAndDeletion(t *testing.T) {
	dir := t.TempDir()
	addr, _ := serve(t, dir)
	var last string
	for _, content := range []string{"one", "two"} {
		var err error
		if last, err = build.Push(t.Context(), addr, "web:v1", build.Named{Image: image(t, content)}, token); err != nil {
			t.Fatal(err)
		}
	}
	again, _ := serve(t, dir)
	if got, err := pull(t, again+"/library/web:v1"); err != nil || got != last {
		t.Errorf("got %s %v, want %s", got, err, last)
	}
	tag, err := build.Destination(again, "web:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(tag, remote.WithAuth(&authn.Bearer{Token: token})); err != nil {
		t.Fatal(err)
	}
	third, _ := serve(t, dir)
	if _, err := pull(t, third+"/library/web:v1"); err == nil {
		t.Error("a deleted tag came back")
	}
}

func TestDamage(t *testing.T) {
	dir := t.TempDir()
	addr, _ := serve(t, dir)
	if _, err := build.Push(t.Context(), addr, "good:v1", build.Named{Image: image(t, "good")}, token); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "refs", "0.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	manifests, _ := filepath.Glob(filepath.Join(dir, "manifests", "*"))
	good, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	again, _ := serve(t, dir)
	if _, err := pull(t, again+"/library/good:v1"); err != nil {
		t.Errorf("a damaged neighbour: %v", err)
	}
	if err := os.WriteFile(manifests[0], bytes.Replace(good, []byte("sha256"), []byte("sha255"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	third, _ := serve(t, dir)
	if _, err := pull(t, third+"/library/good:v1"); err == nil {
		t.Error("a damaged manifest was served")
	}
}

// What `image list` shows can be pulled by that name: a name without an owner is
// one image, whichever registry it is written with.
func TestOneNameForShortNames(t *testing.T) {
	dir := t.TempDir()
	addr, reg := serve(t, dir)
	want, err := build.Push(t.Context(), addr, "pintle.dev/pause:v1", build.Named{Image: image(t, "pause")}, token)
	if err != nil {
		t.Fatal(err)
	}
	check := func(addr string, reg *registry.Registry) {
		t.Helper()
		for _, ref := range []string{"/pause:v1", "/library/pause:v1", "/pause@" + want, "/library/pause@" + want, "/registry.k8s.io/pause:v1", "/quay.io/library/pause:v1", "/localhost/pause@" + want} {
			if got, err := pull(t, addr+ref); err != nil || got != want {
				t.Errorf("%s: got %s %v, want %s", ref, got, err, want)
			}
		}
		if diff := cmp.Diff([]string{"pause:v1"}, reg.Names()); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	}
	check(addr, reg)

	// A store from before: the reference lies under the name as it was pushed.
	old := func(repo string) {
		t.Helper()
		refs, _ := filepath.Glob(filepath.Join(dir, "refs", "*.json"))
		for _, f := range refs {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.Replace(b, []byte(`"library/pause"`), []byte(`"`+repo+`"`), 1)
			target := "v1"
			if bytes.Contains(b, []byte(`"target":"sha256`)) {
				target = want
			}
			sum := sha256.Sum256([]byte(repo + "\x00" + target))
			if err := os.WriteFile(filepath.Join(dir, "refs", hex.EncodeToString(sum[:])+".json"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, repo := range []string{"pause", "registry.k8s.io/pause", "localhost/library/pause"} {
		old(repo)
		check(serve(t, dir))
	}

	// What is pushed since counts, and a deletion is for both names.
	again, _ := serve(t, dir)
	if want, err = build.Push(t.Context(), again, "pause:v1", build.Named{Image: image(t, "newer")}, token); err != nil {
		t.Fatal(err)
	}
	check(serve(t, dir))
	tag, err := build.Destination(again, "x.example/pause:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(tag, remote.WithAuth(&authn.Bearer{Token: token})); err != nil {
		t.Fatal(err)
	}
	third, _ := serve(t, dir)
	for _, ref := range []string{"/pause:v1", "/library/pause:v1"} {
		if _, err := pull(t, third+ref); err == nil {
			t.Errorf("%s came back", ref)
		}
	}
}

// Words of the protocol may be in a repository's name.
func TestOddNames(t *testing.T) {
	addr, reg := serve(t, t.TempDir())
	for _, repo := range []string{"tags", "blobs/manifests", "x/tags"} {
		want, err := build.Push(t.Context(), addr, repo+":v1", build.Named{Image: image(t, repo)}, token)
		if err != nil {
			t.Fatal(err)
		}
		tag, err := build.Destination(addr, repo+":v1")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pull(t, tag.String()); err != nil || got != want {
			t.Errorf("%s: got %s %v, want %s", repo, got, err, want)
		}
		if tags, err := remote.List(tag.Repository); err != nil || len(tags) != 1 {
			t.Errorf("tags of %s: %v, %v", repo, tags, err)
		}
	}
	if diff := cmp.Diff([]string{"blobs/manifests:v1", "tags:v1", "x/tags:v1"}, reg.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func listen(t *testing.T, reg *registry.Registry) string {
	t.Helper()
	s := httptest.NewServer(reg)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

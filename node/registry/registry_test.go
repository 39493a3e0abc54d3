package registry_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pintle-io/pintle/node/image/build"
	"github.com/pintle-io/pintle/node/registry"
)

func image(t *testing.T, content string) v1.Image {
	t.Helper()
	img, err := build.Image(build.Spec{Files: []build.File{{Path: "/f", Content: []byte(content)}}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func serve(t *testing.T, dir string) (addr string, reg *registry.Registry) {
	t.Helper()
	reg, err := registry.New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(reg)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), reg
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
	want, err := build.Push(t.Context(), addr, "quay.io/team/web:v1", build.Named{Image: img}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build.Push(t.Context(), addr, "debian:12", build.Named{Image: image(t, "deb")}, nil); err != nil {
		t.Fatal(err)
	}
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	if _, err := build.Push(t.Context(), addr, "multi:v1", build.Named{Index: idx}, nil); err != nil {
		t.Fatal(err)
	}
	again, reg := serve(t, dir)
	names, err := reg.Names()
	if d := cmp.Diff([]string{"library/debian:12", "library/multi:v1", "team/web:v1"}, names); d != "" || err != nil {
		t.Errorf("names (-want +got):\n%s%v", d, err)
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
		if last, err = build.Push(t.Context(), addr, "web:v1", build.Named{Image: image(t, content)}, nil); err != nil {
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
	if err := remote.Delete(tag); err != nil {
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
	if _, err := build.Push(t.Context(), addr, "good:v1", build.Named{Image: image(t, "good")}, nil); err != nil {
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

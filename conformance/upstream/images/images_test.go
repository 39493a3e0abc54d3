package images

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/kubernetes/test/utils/image"
)

// list is what is in a tar file: name, type, mode and contents.
func list(t *testing.T, r io.Reader) []string {
	t.Helper()
	var files []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%s %c %04o %s%s", h.Name, h.Typeflag, h.Mode, h.Linkname, b))
	}
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestLayer(t *testing.T) {
	layer, err := layerOf(parents([]entry{
		{path: "tmp", dir: true, mode: fs.ModeSticky | 0o777},
		{path: "usr/local/bin/nnp", data: []byte("x"), mode: fs.ModeSetuid | 0o755},
		{path: "usr/sh", link: "/bin/sh"},
	})...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, list(t, r), []string{"usr/ 5 0755 ", "usr/local/ 5 0755 ", "usr/local/bin/ 5 0755 ",
		"tmp/ 5 1777 ", "usr/local/bin/nnp 0 4755 x", "usr/sh 2 0755 /bin/sh"})
	if _, err := layerOf(entry{path: "a", from: filepath.Join(t.TempDir(), "missing")}); err == nil {
		t.Error("a file that is not there makes a layer")
	}
}

func TestArchiveTree(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	for _, d := range []string{"etc", "proc/1", "usr/share/doc/x"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/hosts"), []byte("h"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tree.tar")
	if err := archiveTree(root, file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	equal(t, list(t, f), []string{"etc/ 5 0755 ", "etc/hosts 0 0640 h", "lib 2 0777 usr", "usr/ 5 0755 ", "usr/share/ 5 0755 "})

	if err := archiveTree(filepath.Join(root, "missing"), filepath.Join(dir, "b.tar")); err == nil {
		t.Error("a tree that is not there is archived")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".tree*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRecipes: every recipe is for an image that upstream's list has, so that a
// new list shows what must be made anew.
func TestRecipes(t *testing.T) {
	known := image.GetOriginalImageConfigs()
	for id := range recipes {
		if config := known[id]; config.GetE2EImage() == "" || strings.HasPrefix(config.GetE2EImage(), "/") {
			t.Errorf("image %d is not in upstream's list", id)
		}
	}
}

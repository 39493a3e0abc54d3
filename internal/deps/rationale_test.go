package deps

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRationaleIsLinked: what RATIONALE.md explains is named where it is done, its
// chapters in the packages that they are about, so that a reader of the code finds
// the reason, and no comment names a reason that is not there.
func TestRationaleIsLinked(t *testing.T) {
	root := "../.."
	b, err := os.ReadFile(filepath.Join(root, "RATIONALE.md"))
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^##+ (.+)$`).FindAllStringSubmatch(string(b), -1) {
		linked[m[1]] = false
	}
	if len(linked) == 0 {
		t.Fatal("RATIONALE.md has no headings")
	}
	comment := regexp.MustCompile(`\n[ \t]*(//|\*|#)?[ \t]*`)
	quoted := regexp.MustCompile(`RATIONALE(?:\.md)?[:,]? *\(?"([^"]+)"`)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "bin") {
			return filepath.SkipDir
		}
		switch ext := filepath.Ext(path); {
		case d.Name() == "rationale_test.go": // quotes no reason
			return nil
		case d.Name() == "Makefile", ext == ".go", ext == ".c", ext == ".h":
		default:
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := comment.ReplaceAllString(string(b), " ")
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if _, ok := linked[m[1]]; !ok {
				t.Errorf("%s names %q, which RATIONALE.md does not explain", path, m[1])
				continue
			}
			linked[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for heading, ok := range linked {
		if !ok {
			t.Errorf("nothing in the code names RATIONALE.md, %q", heading)
		}
	}
}

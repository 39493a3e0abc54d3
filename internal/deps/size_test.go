package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The size of a room: a type with more methods is several nouns, a package with
// more files is several rooms. Where one rightly is larger, its package comment
// says so, with the number ("27 methods", "18 files") and the reason.
const (
	maxMethods = 25
	maxFiles   = 15
)

func TestRoomsStaySmall(t *testing.T) {
	root := "../.."
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && path != root {
			return filepath.SkipDir
		}
		room, err := readRoom(path)
		if err != nil {
			return err
		}
		for _, complaint := range room.complaints() {
			t.Errorf("%s: %s", strings.TrimPrefix(path, root+"/"), complaint)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// room is a package without its tests and its generated files.
type room struct {
	doc     string
	files   int
	methods map[string]int // by type
}

func readRoom(dir string) (*room, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	r := &room{methods: map[string]int{}}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if ast.IsGenerated(f) {
			continue
		}
		r.add(f)
	}
	return r, nil
}

func (r *room) add(f *ast.File) {
	r.files++
	r.doc += f.Doc.Text()
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv == nil {
			continue
		}
		typ := fn.Recv.List[0].Type
		if p, ok := typ.(*ast.StarExpr); ok {
			typ = p.X
		}
		switch generic := typ.(type) {
		case *ast.IndexExpr:
			typ = generic.X
		case *ast.IndexListExpr:
			typ = generic.X
		}
		r.methods[typ.(*ast.Ident).Name]++
	}
}

func (r *room) complaints() []string {
	var out []string
	if r.files > maxFiles && !r.explains(r.files, "files") {
		out = append(out, fmt.Sprintf("%d files, and at most %d are one room: divide it, or say in the package comment why it has %[1]d files", r.files, maxFiles))
	}
	for typ, n := range r.methods {
		if n > maxMethods && !r.explains(n, "methods") {
			out = append(out, fmt.Sprintf("%s has %d methods, and at most %d are one noun: divide it, or say in the package comment why it has %[2]d methods", typ, n, maxMethods))
		}
	}
	return out
}

// explains looks for the number in the package comment: it is written anew when
// the room has grown.
func (r *room) explains(n int, what string) bool {
	return regexp.MustCompile(fmt.Sprintf(`\b%d\s+%s\b`, n, what)).MatchString(r.doc)
}

func TestRoomComplaints(t *testing.T) {
	big := map[string]int{"T": maxMethods + 1}
	for _, tc := range []struct {
		name string
		room room
		want int
	}{
		{"small", room{files: maxFiles, methods: map[string]int{"T": maxMethods}}, 0},
		{"both", room{files: maxFiles + 1, methods: big}, 2},
		{"explained", room{doc: "It has 16 files, one a verb,\nand 26\nmethods.", files: 16, methods: big}, 0},
		{"has grown since", room{doc: "It has 16 files.", files: 17}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.room.complaints(); len(got) != tc.want {
				t.Errorf("complaints %q, want %d", got, tc.want)
			}
		})
	}
}

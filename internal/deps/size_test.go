package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The size of a room: a type with more methods is several nouns, a package with
// more files is several rooms. Where one rightly is larger, its package comment
// says so, with the number ("27 methods", "18 files") and the reason.
// RATIONALE.md: "How large may a room be?"
const (
	maxMethods = 25
	maxFiles   = 15
)

func TestRoomsStaySmall(t *testing.T) {
	rooms, err := readRooms("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, room := range rooms {
		room.promote(rooms, path)
	}
	for path, room := range rooms {
		for _, complaint := range room.complaints() {
			t.Errorf("%s: %s", strings.TrimPrefix(path, ours), complaint)
		}
	}
}

// ours begins the import paths of what we wrote.
const ours = "github.com/pintle-io/pintle/"

// readRooms reads all packages below root, by import path.
func readRooms(root string) (map[string]*room, error) {
	rooms := map[string]*room{}
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
		rooms[ours+filepath.ToSlash(strings.TrimPrefix(path, root+"/"))] = room
		return nil
	})
	return rooms, err
}

// room is a package without its tests and its generated files.
type room struct {
	doc   string
	files int
	types map[string]*noun
}

// noun is a type with its method set: the methods of what it embeds, as far as
// we wrote that and they can be called here, are its own, for whoever holds it
// has them all.
type noun struct {
	methods  map[string]bool
	embedded []embedded
}

// embedded names a type: of the same package if path is empty.
type embedded struct{ path, name string }

func readRoom(dir string) (*room, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	r := &room{types: map[string]*noun{}}
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
	paths := importPaths(f)
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				r.noun(nameOf(d.Recv.List[0].Type, nil).name).methods[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					r.noun(s.Name.Name).define(s.Type, paths)
				}
			}
		}
	}
}

func (r *room) noun(name string) *noun {
	n := r.types[name]
	if n == nil {
		n = &noun{methods: map[string]bool{}}
		r.types[name] = n
	}
	return n
}

// define notes what a type embeds, and the methods of an interface.
func (n *noun) define(t ast.Expr, paths map[string]string) {
	switch t := t.(type) {
	case *ast.StructType:
		n.embed(t.Fields, paths)
	case *ast.InterfaceType:
		n.embed(t.Methods, paths)
		for _, f := range t.Methods.List {
			for _, name := range f.Names {
				n.methods[name.Name] = true
			}
		}
	}
}

func (n *noun) embed(fields *ast.FieldList, paths map[string]string) {
	for _, f := range fields.List {
		if len(f.Names) == 0 {
			n.embedded = append(n.embedded, nameOf(f.Type, paths))
		}
	}
}

// importPaths are the packages of ours that f imports, by the name they have there.
func importPaths(f *ast.File) map[string]string {
	paths := map[string]string{}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		paths[name] = path
	}
	return paths
}

// nameOf is the type's name without pointer and type arguments; none for what
// has no name (a union, a literal).
func nameOf(t ast.Expr, paths map[string]string) embedded {
	switch t := t.(type) {
	case *ast.StarExpr:
		return nameOf(t.X, paths)
	case *ast.IndexExpr:
		return nameOf(t.X, paths)
	case *ast.IndexListExpr:
		return nameOf(t.X, paths)
	case *ast.SelectorExpr:
		return embedded{paths[t.X.(*ast.Ident).Name], t.Sel.Name}
	case *ast.Ident:
		return embedded{name: t.Name}
	}
	return embedded{}
}

// promote gives each type of the room the methods of what it embeds.
func (r *room) promote(rooms map[string]*room, path string) {
	for name := range r.types {
		r.types[name].methods = methodSet(rooms, embedded{path, name}, map[embedded]bool{})
	}
}

func methodSet(rooms map[string]*room, e embedded, seen map[embedded]bool) map[string]bool {
	r := rooms[e.path]
	if r == nil || r.types[e.name] == nil || seen[e] {
		return nil
	}
	seen[e] = true
	n := r.types[e.name]
	set := maps.Clone(n.methods)
	for _, in := range n.embedded {
		if in.path == "" {
			in.path = e.path
		}
		for method := range methodSet(rooms, in, seen) {
			if in.path == e.path || ast.IsExported(method) {
				set[method] = true
			}
		}
	}
	return set
}

func (r *room) complaints() []string {
	var out []string
	if r.files > maxFiles && !r.explains(r.files, "files") {
		out = append(out, fmt.Sprintf("%d files, and at most %d are one room: divide it, or say in the package comment why it has %[1]d files", r.files, maxFiles))
	}
	for typ, noun := range r.types {
		if n := len(noun.methods); n > maxMethods && !r.explains(n, "methods") {
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
	big := map[string]*noun{"T": nounOf(maxMethods + 1)}
	for _, tc := range []struct {
		name string
		room room
		want int
	}{
		{"small", room{files: maxFiles, types: map[string]*noun{"T": nounOf(maxMethods)}}, 0},
		{"both", room{files: maxFiles + 1, types: big}, 2},
		{"explained", room{doc: "It has 16 files, one a verb,\nand 26\nmethods.", files: 16, types: big}, 0},
		{"has grown since", room{doc: "It has 16 files.", files: 17}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.room.complaints(); len(got) != tc.want {
				t.Errorf("complaints %q, want %d", got, tc.want)
			}
		})
	}
}

func nounOf(methods int) *noun {
	n := &noun{methods: map[string]bool{}}
	for i := range methods {
		n.methods[fmt.Sprint("m", i)] = true
	}
	return n
}

// What a type embeds counts, through packages, pointers and type arguments, and
// once each; a field does not, nor what another package hides.
func TestMethodsArePromoted(t *testing.T) {
	rooms := map[string]*room{}
	for path, src := range map[string]string{
		"a": `package a
			import ("x/b"; other "x/c")
			type T struct { *b.B[int]; other.I; local; field b.Far; error }
			func (t *T) Own() {}
			func (t T) Shadow() {}
			type local struct { *T }
			func (local) near() {}`,
		"b": `package b
			type B[K any] struct{ Far }
			func (b *B[K]) Shadow() {}
			func (b *B[K]) Put(k K) {}
			type Far struct{}
			func (Far) Deep() {}
			func (Far) hidden() {}`,
		"c": `package c
			type I interface { Get(); J }
			type J interface { List() }`,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), path, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := &room{types: map[string]*noun{}}
		r.add(f)
		rooms["x/"+path] = r
	}
	rooms["x/a"].promote(rooms, "x/a")
	got := slices.Sorted(maps.Keys(rooms["x/a"].types["T"].methods))
	if want := []string{"Deep", "Get", "List", "Own", "Put", "Shadow", "near"}; !slices.Equal(got, want) {
		t.Errorf("method set %v, want %v", got, want)
	}
}

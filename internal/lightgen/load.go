package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// pkg is what lightgen needs of an upstream package: its types and constants,
// in order of appearance.
type pkg struct {
	types   []*typeDecl
	byName  map[string]*typeDecl
	consts  []constDecl
	imports map[string]string // name → path, over all files
}

type typeDecl struct {
	name     string
	doc      string
	kind     bool   // has +genclient: an object of its own
	plural   string // +resourceName
	expr     ast.Expr
	isStruct bool
}

type constDecl struct {
	name, doc string
	typ       ast.Expr
	value     ast.Expr
}

// load parses the files of a folder that declare types and constants.
func load(dir string) (*pkg, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	p := &pkg{byName: map[string]*typeDecl{}, imports: map[string]string{}}
	for _, f := range files {
		base := filepath.Base(f)
		if base != "types.go" && !strings.HasPrefix(base, "well_known_") && base != "annotation_key_constants.go" && base != "group_version.go" {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		p.file(file)
	}
	if len(p.types) == 0 {
		return nil, fmt.Errorf("no types in %s", dir)
	}
	return p, nil
}

func (p *pkg) file(f *ast.File) {
	for _, im := range f.Imports {
		path := strings.Trim(im.Path.Value, `"`)
		name := filepath.Base(path)
		if im.Name != nil {
			name = im.Name.Name
		}
		p.imports[name] = path
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			switch x := s.(type) {
			case *ast.TypeSpec:
				p.addType(g, x, f)
			case *ast.ValueSpec:
				if g.Tok == token.CONST {
					p.addConst(x)
				}
			}
		}
	}
}

func (p *pkg) addType(g *ast.GenDecl, x *ast.TypeSpec, f *ast.File) {
	doc := x.Doc
	if doc == nil {
		doc = g.Doc
	}
	t := &typeDecl{name: x.Name.Name, doc: doc.Text(), expr: x.Type}
	_, t.isStruct = x.Type.(*ast.StructType)
	// Markers stand in the doc comment or in a comment block just above it.
	for _, c := range f.Comments {
		if c.End() > g.Pos() || c.End() < g.Pos()-2 && (doc == nil || c.End() < doc.Pos()-3) {
			continue
		}
		for _, l := range c.List {
			if strings.TrimSpace(strings.TrimPrefix(l.Text, "//")) == "+genclient" {
				t.kind = true
			}
			if _, name, ok := strings.Cut(l.Text, "+resourceName="); ok {
				t.plural = name
			}
		}
	}
	p.types = append(p.types, t)
	p.byName[t.name] = t
}

func (p *pkg) addConst(x *ast.ValueSpec) {
	for i, n := range x.Names {
		if n.Name == "_" || i >= len(x.Values) {
			continue
		}
		doc := x.Doc
		if doc == nil {
			doc = x.Comment
		}
		p.consts = append(p.consts, constDecl{name: n.Name, doc: doc.Text(), typ: x.Type, value: x.Values[i]})
	}
}

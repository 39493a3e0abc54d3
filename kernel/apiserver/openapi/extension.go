package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Extension is what another server says in its document of v2 of one group version.
type Extension struct {
	Path string // of the group version: "/apis/shop.example/v1"
	JSON []byte // the whole of its document; it must not change
	Hash string // of JSON
}

func (e Extension) same(x Extension) bool { return e.Path == x.Path && e.Hash == x.Hash }

// Extensions says which documents of v2 others have, in the order in which they are
// joined: their group versions stand in the document behind this server's. It is asked
// whenever the document is, and must be set before anything is served.
func (o *Documents) Extensions(f func(context.Context) []Extension) { o.extensions = f }

// extendedV2 is the document with those of others.
type extendedV2 struct {
	named
	of     *v2Document
	others []Extension
}

// extended is doc with what others have: it is made anew when either has changed.
func (o *Documents) extended(doc *v2Document, others []Extension) *named {
	if len(others) == 0 {
		return &doc.named
	}
	if x := o.v2with.Load(); x != nil && x.of == doc && slices.EqualFunc(x.others, others, Extension.same) {
		return &x.named
	}
	x := &extendedV2{of: doc, others: others}
	list := slices.Clone(doc.list)
	for _, e := range others {
		list = append(list, o.extensionPart(slices.Clone(list), e))
	}
	x.etag, x.get = joinedName(list), sync.OnceValues(func() (*document, error) { return joined(list) })
	o.v2with.Store(x)
	return &x.named
}

// extensionPart is the part of one group version of another server: of its document
// what is below the path, with its models under names that no part before has for
// another model.
func (o *Documents) extensionPart(before []*v2Part, e Extension) *v2Part {
	return &v2Part{hash([]byte(e.Path + " " + e.Hash)), sync.OnceValues(func() (*fragment, error) {
		f, err := extension(before, e)
		if err != nil {
			o.log.Warn("what an extension server says of a group version cannot be joined", "document", "/openapi/v2", "path", e.Path, "error", err)
		}
		return f, err
	})}
}

func extension(before []*v2Part, e Extension) (f *fragment, err error) {
	defer func() { // the document is an outsider's word, and so is what it does to the library
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("joining its document failed: %v", r)
		}
	}()
	theirs := &spec.Swagger{}
	if err := theirs.UnmarshalJSON(e.JSON); err != nil {
		return nil, fmt.Errorf("its document is no OpenAPI v2: %w", err)
	}
	if theirs.Paths == nil {
		return nil, errors.New("its document has no paths")
	}
	theirs = aggregator.FilterSpecByPathsWithoutSideEffects(theirs, []string{e.Path + "/"})
	all, err := modelsOf(before)
	if err != nil {
		return nil, err
	}
	ours, parameters := namesIn(all.Definitions), namesIn(all.Parameters)
	if err := aggregator.MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters(all, theirs); err != nil {
		return nil, err
	}
	maps.DeleteFunc(all.Definitions, func(name string, _ spec.Schema) bool { return ours[name] })
	maps.DeleteFunc(all.Parameters, func(name string, _ spec.Parameter) bool { return parameters[name] })
	return newFragment(all, &fragment{})
}

// modelsOf is a document without paths that has the models and parameters of all parts,
// and says of itself what the first says.
func modelsOf(parts []*v2Part) (*spec.Swagger, error) {
	all := &spec.Swagger{SwaggerProps: spec.SwaggerProps{Paths: &spec.Paths{Paths: map[string]spec.PathItem{}}, Definitions: spec.Definitions{}, Parameters: map[string]spec.Parameter{}}}
	for i, p := range parts {
		f, err := p.get()
		if err != nil {
			continue // it is left out of the document, too
		}
		if i == 0 {
			var head struct {
				Swagger string     `json:"swagger"`
				Info    *spec.Info `json:"info"`
			}
			if err := read(f.members, &head); err != nil {
				return nil, err
			}
			all.Swagger, all.Info = head.Swagger, head.Info
		}
		if err := errors.Join(read(f.sections[0], &all.Definitions), read(f.sections[1], &all.Parameters)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// read reads the inside of a JSON object, compressed as fragments have it.
func read(inside []byte, into any) error {
	if len(inside) == 0 {
		return nil
	}
	plain, err := decompress(inside)
	if err != nil {
		return err
	}
	return json.Unmarshal(slices.Concat([]byte("{"), plain, []byte("}")), into)
}

// ServeV2 answers /openapi/v2: the one document of everything.
func (o *Documents) ServeV2(w http.ResponseWriter, r *http.Request) {
	doc, err := o.currentV2()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	n := &doc.named
	if o.extensions != nil {
		n = o.extended(doc, o.extensions(r.Context()))
	}
	n.serve(w, r, mediaOpenAPIV2, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
}

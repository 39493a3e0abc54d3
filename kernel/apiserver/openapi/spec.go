package openapi

import (
	"fmt"
	"path"
	"reflect"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/resource"
)

// extensionKind names, on models and operations, the kind they are about;
// clients find their way by it.
const extensionKind = "x-kubernetes-group-version-kind"

// specBuilder makes OpenAPI documents from the table.
type specBuilder struct {
	table   *resource.Table
	catalog *endpoint.Catalog
	version string
}

func (b *specBuilder) groupVersions() []schema.GroupVersion {
	var out []schema.GroupVersion
	for _, g := range b.catalog.Groups() {
		for _, v := range g.Versions {
			out = append(out, schema.GroupVersion{Group: g.Name, Version: v})
		}
	}
	return out
}

// pathOf is a group version's path below the root: "api/v1", "apis/apps/v1".
func pathOf(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// v3 makes one document per group version.
func (b *specBuilder) v3() (map[string]*document, error) {
	names := b.modelNames()
	nameOf := func(n string) (string, spec.Extensions) { return friendly(n), names.extensions(n) }
	definitions := b.definitions(names, func(n string) spec.Ref {
		return spec.MustCreateRef("#/components/schemas/" + common.EscapeJsonPointer(friendly(n)))
	})
	out := map[string]*document{}
	for _, gv := range b.groupVersions() {
		s, err := builder3.BuildOpenAPISpecFromRoutes([]common.RouteContainer{b.routes(gv)}, &common.OpenAPIV3Config{
			Info:              &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: b.version}},
			Definitions:       definitions,
			GetDefinitionName: nameOf,
		})
		if err != nil {
			return nil, fmt.Errorf("openapi v3 of %s: %w", gv, err)
		}
		data, err := s.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("openapi v3 of %s: %w", gv, err)
		}
		if out[pathOf(gv)], err = newDocument(data, toProtoV3); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// v2 makes the one document of everything.
func (b *specBuilder) v2() (*document, error) {
	names := b.modelNames()
	var routes []common.RouteContainer
	for _, gv := range b.groupVersions() {
		routes = append(routes, b.routes(gv))
	}
	s, err := builder.BuildOpenAPISpecFromRoutes(routes, &common.Config{
		ProtocolList: []string{"https"},
		Info:         &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: b.version}},
		GetDefinitions: func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
			return b.definitions(names, ref)
		},
		GetDefinitionName: func(n string) (string, spec.Extensions) { return friendly(n), names.extensions(n) },
	})
	if err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	data, err := s.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	return newDocument(data, toProtoV2)
}

// friendly makes a model name of a Go type's name where the type has none.
func friendly(name string) string {
	if strings.Contains(name, "/") {
		return util.ToRESTFriendlyName(name)
	}
	return name
}

// modelNames are the kinds of each model, by the model's canonical name.
type modelNames map[string][]schema.GroupVersionKind

func (b *specBuilder) modelNames() modelNames {
	m := modelNames{}
	for gvk, t := range b.table.Scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		n := canonical(reflect.New(t).Interface())
		m[n] = append(m[n], gvk)
	}
	for _, kinds := range m {
		sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	}
	return m
}

func (m modelNames) extensions(name string) spec.Extensions {
	kinds := m[name]
	if len(kinds) == 0 {
		return nil
	}
	list := make([]any, len(kinds))
	for i, k := range kinds {
		list[i] = kindExtension(k)
	}
	return spec.Extensions{extensionKind: list}
}

func kindExtension(k schema.GroupVersionKind) map[string]any {
	return map[string]any{"group": k.Group, "version": k.Version, "kind": k.Kind}
}

func canonical(model any) string { return util.GetCanonicalTypeName(model) }

// definitions are the table's models, and an open object for each kind that
// the table does not describe.
func (b *specBuilder) definitions(names modelNames, ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	defs := map[string]common.OpenAPIDefinition{}
	if b.table.OpenAPI != nil {
		defs = b.table.OpenAPI(ref)
	}
	for n := range names {
		addOpen(defs, n)
	}
	addOpen(defs, canonical(&metav1.Patch{}))
	return defs
}

func addOpen(defs map[string]common.OpenAPIDefinition, name string) {
	if _, ok := defs[name]; ok {
		return
	}
	defs[name] = common.OpenAPIDefinition{Schema: spec.Schema{
		SchemaProps:      spec.SchemaProps{Type: []string{"object"}, Description: path.Base(name)},
		VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-preserve-unknown-fields": true}},
	}}
}

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
	builder2 "k8s.io/kube-openapi/pkg/builder"
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

// builder makes OpenAPI documents from a table. It is used once, by one
// goroutine.
type builder struct {
	table   *resource.Table
	version string
	names   modelNames
	models  map[string]common.OpenAPIDefinition // of v3; made when first asked for
}

func newBuilder(t *resource.Table, version string) *builder {
	return &builder{table: t, version: version}
}

func (b *builder) info() *spec.Info {
	return &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: b.version}}
}

func refV3(name string) spec.Ref {
	return spec.MustCreateRef("#/components/schemas/" + common.EscapeJsonPointer(friendly(name)))
}

// v3 makes the document of one group version.
func (b *builder) v3(gv *endpoint.GroupVersion) (*document, error) {
	if b.names == nil {
		b.names = namesOf(b.table.Scheme)
	}
	if b.models == nil {
		b.models = b.definitions(b.names, refV3)
	}
	models, names := b.with(gv, b.models, b.names, refV3, false)
	s, err := builder3.BuildOpenAPISpecFromRoutes([]common.RouteContainer{b.routes(gv)}, &common.OpenAPIV3Config{
		Info:              b.info(),
		Definitions:       models,
		GetDefinitionName: func(n string) (string, spec.Extensions) { return friendly(n), names.extensions(n) },
	})
	if err != nil {
		return nil, fmt.Errorf("openapi v3 of %s: %w", gv, err)
	}
	data, err := s.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("openapi v3 of %s: %w", gv, err)
	}
	return newDocument(data, toProtoV3)
}

// v2 makes one document of some group versions.
func (b *builder) v2(gvs []*endpoint.GroupVersion) (*document, error) {
	if b.names == nil {
		b.names = namesOf(b.table.Scheme)
	}
	names := b.names
	var routes []common.RouteContainer
	for _, gv := range gvs {
		routes = append(routes, b.routes(gv))
		_, names = b.with(gv, nil, names, nil, true)
	}
	s, err := builder2.BuildOpenAPISpecFromRoutes(routes, &common.Config{
		ProtocolList: []string{"https"},
		Info:         b.info(),
		GetDefinitions: func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
			models := b.definitions(b.names, ref)
			for _, gv := range gvs {
				models, _ = b.with(gv, models, nil, ref, true)
			}
			return models
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

func namesOf(scheme *runtime.Scheme) modelNames {
	m := modelNames{}
	for gvk, t := range scheme.AllKnownTypes() {
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
func (b *builder) definitions(names modelNames, ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	defs := map[string]common.OpenAPIDefinition{}
	if b.table.OpenAPI != nil {
		defs = b.table.OpenAPI(ref)
	}
	for n := range names {
		addOpen(defs, n)
	}
	for _, n := range []string{canonical(&metav1.Patch{}), objectMeta, listMeta} {
		addOpen(defs, n)
	}
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

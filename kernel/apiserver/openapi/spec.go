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

// builder makes OpenAPI documents. Of a table it takes what every table of a
// catalog has. It is used by one goroutine at a time.
type builder struct {
	scheme  *runtime.Scheme
	known   common.GetOpenAPIDefinitions // may be nil
	version string
	names   modelNames

	// The models of kinds that are Go types; made when first asked for.
	modelsV2, modelsV3 map[string]common.OpenAPIDefinition
}

func newBuilder(t *resource.Table, version string) *builder {
	return &builder{scheme: t.Scheme, known: t.OpenAPI, version: version, names: namesOf(t.Scheme)}
}

func (b *builder) info() *spec.Info {
	return &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: b.version}}
}

func refV3(name string) spec.Ref {
	return spec.MustCreateRef("#/components/schemas/" + common.EscapeJsonPointer(friendly(name)))
}

func refV2(name string) spec.Ref {
	return spec.MustCreateRef("#/definitions/" + common.EscapeJsonPointer(friendly(name)))
}

// v3 makes the document of one group version, as JSON.
func (b *builder) v3(gv *endpoint.GroupVersion) ([]byte, error) {
	if b.modelsV3 == nil {
		b.modelsV3 = b.definitions(refV3)
	}
	models, names := b.with(gv, b.modelsV3, b.names, refV3, false)
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
	return data, nil
}

// v2 makes one document of some group versions.
func (b *builder) v2(gvs []*endpoint.GroupVersion) (*spec.Swagger, error) {
	if b.modelsV2 == nil {
		b.modelsV2 = b.definitions(refV2)
	}
	models, names := b.modelsV2, b.names
	var routes []common.RouteContainer
	for _, gv := range gvs {
		routes = append(routes, b.routes(gv))
		models, names = b.with(gv, models, names, refV2, true)
	}
	s, err := builder2.BuildOpenAPISpecFromRoutes(routes, &common.Config{
		ProtocolList:      []string{"https"},
		Info:              b.info(),
		GetDefinitions:    func(common.ReferenceCallback) map[string]common.OpenAPIDefinition { return models },
		GetDefinitionName: func(n string) (string, spec.Extensions) { return friendly(n), names.extensions(n) },
	})
	if err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	return s, nil
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
func (b *builder) definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	defs := map[string]common.OpenAPIDefinition{}
	if b.known != nil {
		defs = b.known(ref)
	}
	for n := range b.names {
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

package openapi

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/resource"
)

// identity names what a document is made of, so that it need not be made to be
// named: equal names mean equal documents, on every server of a cluster. It is
// hashed as JSON.
//
// RATIONALE.md, "Why does the index of OpenAPI build nothing?"
type identity struct {
	Form       string // "v2" or "v3"
	Kubernetes string
	Program    string // brings the models of kinds that are Go types
	Versions   []versionIdentity
}

type versionIdentity struct {
	schema.GroupVersion
	Kinds []kindIdentity
}

// kindIdentity is what the paths of a resource follow from, and the name of its
// schema.
type kindIdentity struct {
	Resource, Kind, ListKind string
	Namespaced               bool
	Verbs                    []string
	Subresources             []subresourceIdentity
	SchemaID                 string
}

type subresourceIdentity struct {
	Name  string
	Style resource.Style
	Kind  schema.GroupVersionKind
	Verbs []string
}

// nameOf names the document of some group versions; false when a kind does not
// name its schema, so that the document must be made to find out.
func (o *Documents) nameOf(form string, gvs ...*endpoint.GroupVersion) (string, bool) {
	id := identity{Form: form, Kubernetes: o.version, Program: o.program}
	for _, gv := range gvs {
		v := versionIdentity{GroupVersion: gv.GroupVersion}
		for _, d := range gv.Definitions {
			if custom(d) && d.SchemaID == "" {
				return "", false
			}
			k := kindIdentity{Resource: d.Resource, Kind: d.Kind, ListKind: d.ListKind, Namespaced: d.Namespaced, Verbs: d.Verbs, SchemaID: d.SchemaID}
			for _, s := range d.Subresources {
				if !s.In(gv.Version) {
					continue
				}
				k.Subresources = append(k.Subresources, subresourceIdentity{s.Name, s.Style, s.Kind, s.Verbs})
			}
			v.Kinds = append(v.Kinds, k)
		}
		id.Versions = append(id.Versions, v)
	}
	data, err := json.Marshal(id)
	if err != nil {
		return "", false
	}
	return hash(data), true
}

func hash(data []byte) string { return fmt.Sprintf("%X", sha512.Sum512(data)) }

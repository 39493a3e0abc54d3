// Package api reads what a server serves: its resources, and the schemas of
// their objects. It is what requests are generated from, so that a kind that
// upstream gains is met without a change here.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/servers"
)

// Resource is a resource or subresource in one version.
type Resource struct {
	Group, Version string
	Name           string // plural, with "/subresource" if it is one
	Kind           string // of what it takes and gives
	KindGroup      string // the group and version of that kind, where it is another
	KindVersion    string
	Namespaced     bool
	Verbs          []string
	Schema         *Schema // of its objects; nil if the server tells none
}

// String names the resource in reports.
func (r *Resource) String() string {
	return strings.TrimPrefix(r.GroupVersion()+"/"+r.Name, "/")
}

// GroupVersion is as in apiVersion.
func (r *Resource) GroupVersion() string {
	if r.Group == "" {
		return r.Version
	}
	return r.Group + "/" + r.Version
}

// APIVersion is the apiVersion of its objects.
func (r *Resource) APIVersion() string {
	if r.KindVersion == "" {
		return r.GroupVersion()
	}
	if r.KindGroup == "" {
		return r.KindVersion
	}
	return r.KindGroup + "/" + r.KindVersion
}

// Has says whether it has a verb.
func (r *Resource) Has(verb string) bool { return slices.Contains(r.Verbs, verb) }

// Parent is the resource that a subresource is of, and the subresource's name;
// "" if it is none.
func (r *Resource) Parent() (parent, sub string) {
	parent, sub, _ = strings.Cut(r.Name, "/")
	return parent, sub
}

// Prefix is the path of the group and version.
func (r *Resource) Prefix() string {
	if r.Group == "" {
		return "/api/" + r.Version
	}
	return "/apis/" + r.GroupVersion()
}

// Path is where its objects are; namespace is left out if they have none.
func (r *Resource) Path(namespace string) string {
	parent, _ := r.Parent()
	if !r.Namespaced || namespace == "" {
		return r.Prefix() + "/" + parent
	}
	return r.Prefix() + "/namespaces/" + namespace + "/" + parent
}

// ObjectPath is where the object, or its subresource, is.
func (r *Resource) ObjectPath(namespace, name string) string {
	p := r.Path(namespace) + "/" + name
	if _, sub := r.Parent(); sub != "" {
		p += "/" + sub
	}
	return p
}

// API is what a server serves.
type API struct {
	Resources []*Resource
}

// Find returns the resource of that name in the same group and version as r, or
// nil.
func (a *API) Find(r *Resource, name string) *Resource {
	for _, x := range a.Resources {
		if x.Group == r.Group && x.Version == r.Version && x.Name == name {
			return x
		}
	}
	return nil
}

// Read asks a server for what it serves. Resources are in the order of their
// names.
func Read(ctx context.Context, s *servers.Server) (*API, error) {
	a := &API{}
	for _, path := range []string{"/api", "/apis"} {
		var found groupList
		err := get(ctx, s, path, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", &found)
		if err != nil {
			return nil, err
		}
		a.Resources = append(a.Resources, found.resources()...)
	}
	schemas := map[string]*document{}
	for _, r := range a.Resources {
		d, ok := schemas[r.Prefix()]
		if !ok {
			d = &document{}
			if err := get(ctx, s, "/openapi/v3"+strings.TrimSuffix(r.Prefix(), "/"), "application/json", d); err != nil {
				return nil, err
			}
			schemas[r.Prefix()] = d
		}
		r.Schema = d.schemaOf(r)
	}
	slices.SortFunc(a.Resources, func(x, y *Resource) int { return cmp.Compare(x.String(), y.String()) })
	return a, nil
}

func get(ctx context.Context, s *servers.Server, path, accept string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Authorization", "Bearer "+servers.Admin)
	resp, err := s.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", path, s.Name, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("%s of %s: %w", path, s.Name, err)
	}
	return nil
}

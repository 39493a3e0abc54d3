// Package discovery answers /api, /apis and below: which groups, versions and
// resources are served. Its documents follow from the catalog, and from what other
// servers were heard to have.
//
// https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
package discovery

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Discovery answers from a catalog, as it is at the moment. It is safe for
// concurrent use.
type Discovery struct {
	Catalog  *endpoint.Catalog
	Response response.Writer
	// Others are what other servers have, and how all is ordered: the same pointer while
	// nothing changes. Nil: there are none.
	Others func() *Registrations

	aggregate atomic.Pointer[aggregate] // the last that was made
}

// Serve answers /api, /apis and below; false when the path is none of
// discovery's.
func (s *Discovery) Serve(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] != "api" && parts[0] != "apis" || !strings.HasPrefix(r.URL.Path, "/"+parts[0]) {
		return false
	}
	var obj runtime.Object
	routed := true // upstream's router stands before the path
	now := s.Catalog.Snapshot()
	switch {
	case len(parts) == 1:
		s.serveRoot(w, r, parts[0])
		return true
	case parts[0] == "api" && len(parts) == 2:
		obj = resourceList(now, schema.GroupVersion{Version: parts[1]})
	case parts[0] == "apis" && len(parts) == 2:
		obj, routed = apiGroup(s.current().groups, parts[1]), false
	case parts[0] == "apis" && len(parts) == 3:
		gv := schema.GroupVersion{Group: parts[1], Version: parts[2]}
		obj = resourceList(now, gv)
		if served := now.Version(gv); served != nil {
			routed = !served.Custom()
		}
	}
	if obj == nil {
		if parts[0] != "api" && !now.BuiltIn(parts[1]) {
			return false
		}
		s.Response.Fail(w, r, response.NotFound())
		return true
	}
	a, err := negotiate(r, routed, nil)
	if err != nil {
		s.Response.Fail(w, r, err)
		return true
	}
	s.Response.MetaAs(w, r, http.StatusOK, a, obj)
	return true
}

// negotiate finds the form of an answer. What has no router answers any method.
func negotiate(r *http.Request, routed bool, transforms func(schema.GroupVersionKind, string) bool) (negotiation.Accepted, error) {
	o := negotiation.Offer{Media: negotiation.MediaTypes, Transforms: transforms}
	if routed {
		if err := response.Routed(r, negotiation.MediaTypes); err != nil {
			return negotiation.Accepted{}, err
		}
		o.Routed = negotiation.MediaTypes
	}
	return negotiation.Negotiate(r, o)
}

// serveRoot answers /api and /apis, aggregated for clients that ask for it.
func (s *Discovery) serveRoot(w http.ResponseWriter, r *http.Request, root string) {
	a, err := negotiate(r, root == "api", func(as schema.GroupVersionKind, _ string) bool { return as == aggregatedKind })
	if err != nil {
		s.Response.Fail(w, r, err)
		return
	}
	if a.As.Empty() {
		obj := runtime.Object(groupList(s.current().groups))
		if root == "api" {
			obj = &metav1.APIVersions{
				TypeMeta:                   metav1.TypeMeta{Kind: "APIVersions"},
				Versions:                   coreVersions(s.Catalog.Snapshot()),
				ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: serverAddress(r)}},
			}
		}
		s.Response.MetaAs(w, r, http.StatusOK, a, obj)
		return
	}
	doc, err := s.current().document(root == "api", a)
	if err != nil {
		s.Response.Fail(w, r, err)
		return
	}
	w.Header().Set("ETag", doc.etag)
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "public") // as upstream: it is kept with its tag
	if r.Header.Get("If-None-Match") == doc.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	response.Record(r, doc.list)
	response.WriteBytes(w, r, http.StatusOK, fmt.Sprintf("%s;g=%s;v=%s;as=%s", a.Media, a.As.Group, a.As.Version, a.As.Kind), doc.data)
}

// serverAddress is where the client reached this server.
func serverAddress(r *http.Request) string {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return r.Host
}

var aggregatedKind = schema.GroupVersionKind{Group: apidiscoveryv2.GroupName, Version: "v2", Kind: "APIGroupDiscoveryList"}

func coreVersions(c *endpoint.Snapshot) []string {
	if g := c.Group(""); g != nil {
		out := make([]string, len(g.Versions))
		for i, v := range g.Versions {
			out[i] = v.Version
		}
		return out
	}
	return []string{}
}

func groupList(groups []group) *metav1.APIGroupList {
	l := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range groups {
		if g.name != "" {
			l.Groups = append(l.Groups, describe(g))
		}
	}
	return l
}

func apiGroup(groups []group, name string) runtime.Object {
	i := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
	if i < 0 || name == "" {
		return nil
	}
	d := describe(groups[i])
	d.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
	return &d
}

func describe(g group) metav1.APIGroup {
	d := metav1.APIGroup{Name: g.name}
	for _, v := range g.versions {
		d.Versions = append(d.Versions, metav1.GroupVersionForDiscovery{GroupVersion: v.String(), Version: v.Version})
	}
	d.PreferredVersion = d.Versions[0]
	return d
}

func resourceList(c *endpoint.Snapshot, gv schema.GroupVersion) runtime.Object {
	served := c.Version(gv)
	if served == nil {
		return nil
	}
	l := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: gv.String(), APIResources: []metav1.APIResource{}}
	if gv.Group == "" {
		l.APIVersion = "" // as upstream, for clients of 1.1
	}
	for _, d := range served.Definitions {
		own := metav1.APIResource{
			Name: d.Resource, SingularName: d.Singular, Namespaced: d.Namespaced, Kind: d.Kind,
			Verbs: metav1.Verbs(d.Discovered()), ShortNames: d.ShortNames, Categories: d.Categories,
		}
		if !d.Virtual {
			own.StorageVersionHash = storageVersionHash(d.Hub())
		}
		l.APIResources = append(l.APIResources, own)
		for _, sub := range subresources(d, gv.Version) {
			kind := endpoint.SubresourceKind(d, &sub, gv)
			r := metav1.APIResource{Name: d.Resource + "/" + sub.Name, Namespaced: d.Namespaced, Kind: kind.Kind, Verbs: metav1.Verbs(sub.Verbs)}
			if kind.GroupVersion() != gv {
				r.Group, r.Version = kind.Group, kind.Version
			}
			l.APIResources = append(l.APIResources, r)
		}
	}
	return l
}

// subresources are those of a version in upstream's order: by name, and of a custom
// resource as it is defined.
func subresources(d *resource.Definition, version string) (out []resource.Subresource) {
	for _, sub := range d.Subresources {
		if sub.In(version) {
			out = append(out, sub)
		}
	}
	if !endpoint.IsCustom(d) {
		slices.SortFunc(out, func(a, b resource.Subresource) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// storageVersionHash tells a storage migration that the stored form changed.
func storageVersionHash(gvk schema.GroupVersionKind) string {
	sum := sha256.Sum256([]byte(gvk.Group + "/" + gvk.Version + "/" + gvk.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}

func discovered(d *resource.Definition, gv schema.GroupVersion) apidiscoveryv2.APIResourceDiscovery {
	scope := apidiscoveryv2.ScopeCluster
	if d.Namespaced {
		scope = apidiscoveryv2.ScopeNamespace
	}
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: d.Resource, ResponseKind: groupVersionKind(gv.WithKind(d.Kind)), Scope: scope,
		SingularResource: d.Singular, Verbs: d.Discovered(), ShortNames: d.ShortNames, Categories: d.Categories,
	}
	for _, sub := range subresources(d, gv.Version) {
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.Name, ResponseKind: groupVersionKind(endpoint.SubresourceKind(d, &sub, gv)), Verbs: sub.Verbs,
		})
	}
	return out
}

func groupVersionKind(k schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

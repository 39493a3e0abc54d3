package apiserver

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"sort"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// serveDiscovery answers /api, /apis and below; false when the path is none of
// discovery's.
func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] != "api" && parts[0] != "apis" {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.fail(w, r, methodNotAllowed())
		return true
	}
	var obj runtime.Object
	switch {
	case len(parts) == 1:
		s.serveRoot(w, r, parts[0])
		return true
	case parts[0] == "api" && len(parts) == 2:
		obj = s.catalog.resourceList(schema.GroupVersion{Version: parts[1]})
	case parts[0] == "apis" && len(parts) == 2:
		obj = s.catalog.apiGroup(parts[1])
	case parts[0] == "apis" && len(parts) == 3:
		obj = s.catalog.resourceList(schema.GroupVersion{Group: parts[1], Version: parts[2]})
	}
	if obj == nil {
		http.NotFound(w, r)
		return true
	}
	s.writeMeta(w, r, http.StatusOK, obj)
	return true
}

// serveRoot answers /api and /apis, aggregated for clients that ask for it.
func (s *Server) serveRoot(w http.ResponseWriter, r *http.Request, root string) {
	w.Header().Add("Vary", "Accept")
	a, err := negotiate(r, offer{media: mediaTypes, transforms: func(as schema.GroupVersionKind, _ string) bool {
		return as == aggregatedKind
	}})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if a.as.Empty() {
		obj := runtime.Object(s.catalog.groupList())
		if root == "api" {
			obj = &metav1.APIVersions{
				TypeMeta:                   metav1.TypeMeta{Kind: "APIVersions"},
				Versions:                   s.catalog.coreVersions(),
				ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: serverAddress(r)}},
			}
		}
		s.writeMetaAs(w, r, http.StatusOK, a, obj)
		return
	}
	data, err := encodeMeta(s.catalog.aggregated(root == "api"), a)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	etag := fmt.Sprintf("%X", sha512.Sum512(data))
	w.Header().Set("ETag", `"`+etag+`"`)
	if r.Header.Get("If-None-Match") == `"`+etag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeBytes(w, r, http.StatusOK, fmt.Sprintf("%s;g=%s;v=%s;as=%s", a.media, a.as.Group, a.as.Version, a.as.Kind), data)
}

// serverAddress is where the client reached this server.
func serverAddress(r *http.Request) string {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return r.Host
}

var aggregatedKind = schema.GroupVersionKind{Group: apidiscoveryv2.GroupName, Version: "v2", Kind: "APIGroupDiscoveryList"}

func (c *catalog) coreVersions() []string {
	if g := c.group(""); g != nil {
		return g.versions
	}
	return []string{}
}

func (c *catalog) groupList() *metav1.APIGroupList {
	l := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range c.groups {
		if g.name != "" {
			l.Groups = append(l.Groups, g.describe())
		}
	}
	return l
}

func (c *catalog) apiGroup(name string) runtime.Object {
	g := c.group(name)
	if g == nil || name == "" {
		return nil
	}
	d := g.describe()
	d.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
	return &d
}

func (g apiGroup) describe() metav1.APIGroup {
	d := metav1.APIGroup{Name: g.name}
	for _, v := range g.versions {
		d.Versions = append(d.Versions, metav1.GroupVersionForDiscovery{GroupVersion: g.name + "/" + v, Version: v})
	}
	d.PreferredVersion = d.Versions[0]
	return d
}

func (c *catalog) resourceList(gv schema.GroupVersion) runtime.Object {
	if c.resources[gv] == nil {
		return nil
	}
	l := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: gv.String(), APIResources: []metav1.APIResource{}}
	for _, d := range c.definitions(gv) {
		own := metav1.APIResource{
			Name: d.Resource, SingularName: d.Singular, Namespaced: d.Namespaced, Kind: d.Kind,
			Verbs: metav1.Verbs(d.Verbs), ShortNames: d.ShortNames, Categories: d.Categories,
		}
		if !d.Virtual {
			own.StorageVersionHash = storageVersionHash(d.Hub())
		}
		l.APIResources = append(l.APIResources, own)
		for _, sub := range d.Subresources {
			kind := subKind(d, sub, gv)
			r := metav1.APIResource{Name: d.Resource + "/" + sub.Name, Namespaced: d.Namespaced, Kind: kind.Kind, Verbs: metav1.Verbs(sub.Verbs)}
			if kind.GroupVersion() != gv {
				r.Group, r.Version = kind.Group, kind.Version
			}
			l.APIResources = append(l.APIResources, r)
		}
	}
	sort.SliceStable(l.APIResources, func(i, j int) bool { return l.APIResources[i].Name < l.APIResources[j].Name })
	return l
}

func subKind(d *resource.Definition, sub resource.Subresource, gv schema.GroupVersion) schema.GroupVersionKind {
	if sub.Kind.Empty() {
		return gv.WithKind(d.Kind)
	}
	return sub.Kind
}

// storageVersionHash tells a storage migration that the stored form changed.
func storageVersionHash(gvk schema.GroupVersionKind) string {
	sum := sha256.Sum256([]byte(gvk.Group + "/" + gvk.Version + "/" + gvk.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}

// aggregated is all of discovery in one document: the core group, or the rest.
func (c *catalog) aggregated(core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	l := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: aggregatedKind.Kind, APIVersion: aggregatedKind.GroupVersion().String()},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, g := range c.groups {
		if (g.name == "") != core {
			continue
		}
		d := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		for _, v := range g.versions {
			vd := apidiscoveryv2.APIVersionDiscovery{Version: v, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
			gv := schema.GroupVersion{Group: g.name, Version: v}
			for _, def := range c.definitions(gv) {
				vd.Resources = append(vd.Resources, discovered(def, gv))
			}
			d.Versions = append(d.Versions, vd)
		}
		l.Items = append(l.Items, d)
	}
	return l
}

func discovered(d *resource.Definition, gv schema.GroupVersion) apidiscoveryv2.APIResourceDiscovery {
	scope := apidiscoveryv2.ScopeCluster
	if d.Namespaced {
		scope = apidiscoveryv2.ScopeNamespace
	}
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: d.Resource, ResponseKind: groupVersionKind(gv.WithKind(d.Kind)), Scope: scope,
		SingularResource: d.Singular, Verbs: d.Verbs, ShortNames: d.ShortNames, Categories: d.Categories,
	}
	for _, sub := range d.Subresources {
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.Name, ResponseKind: groupVersionKind(subKind(d, sub, gv)), Verbs: sub.Verbs,
		})
	}
	sort.Slice(out.Subresources, func(i, j int) bool { return out.Subresources[i].Subresource < out.Subresources[j].Subresource })
	return out
}

func groupVersionKind(k schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

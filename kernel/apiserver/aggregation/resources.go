package aggregation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxResources bounds the resources of one group version, subresources included.
const maxResources = 2000

// parseResources reads what a group version has of the document in which every server
// tells it, in the form of aggregated discovery.
func parseResources(doc []byte, gv schema.GroupVersion) ([]apidiscoveryv2.APIResourceDiscovery, error) {
	if len(doc) == 0 {
		return nil, fmt.Errorf("there is none, or it is larger than %d MiB", maxDocument>>20)
	}
	var l metav1.APIResourceList
	if err := json.Unmarshal(doc, &l); err != nil {
		return nil, err
	}
	switch {
	case l.Kind != "APIResourceList":
		return nil, fmt.Errorf("it is a %.40q, not an APIResourceList", l.Kind)
	case l.GroupVersion != gv.String():
		return nil, fmt.Errorf("it is about %.80q", l.GroupVersion)
	case len(l.APIResources) > maxResources:
		return nil, fmt.Errorf("it has %d resources, at most %d are taken", len(l.APIResources), maxResources)
	}
	var out []apidiscoveryv2.APIResourceDiscovery
	at := map[string]int{}
	place := func(name string) *apidiscoveryv2.APIResourceDiscovery {
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name], out = i, append(out, apidiscoveryv2.APIResourceDiscovery{Resource: name})
		}
		return &out[i]
	}
	for i := range l.APIResources {
		r := &l.APIResources[i]
		name, sub, isSub := strings.Cut(r.Name, "/")
		if name == "" || isSub && sub == "" {
			return nil, errors.New("it has a resource without a name")
		}
		kind := kindOf(r, gv)
		d := place(name)
		if d.Scope == "" {
			d.Scope = scopeOf(r)
		}
		if isSub {
			d.Subresources = append(d.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: sub, ResponseKind: kind, Verbs: r.Verbs})
			continue
		}
		d.Scope, d.ResponseKind, d.SingularResource = scopeOf(r), kind, r.SingularName
		d.Verbs, d.ShortNames, d.Categories = r.Verbs, r.ShortNames, r.Categories
	}
	return out, nil
}

func scopeOf(r *metav1.APIResource) apidiscoveryv2.ResourceScope {
	if r.Namespaced {
		return apidiscoveryv2.ScopeNamespace
	}
	return apidiscoveryv2.ScopeCluster
}

func kindOf(r *metav1.APIResource, gv schema.GroupVersion) *metav1.GroupVersionKind {
	k := &metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: r.Kind}
	if r.Group != "" {
		k.Group = r.Group
	}
	if r.Version != "" {
		k.Version = r.Version
	}
	return k
}

// fresh takes in what the extension server serves.
func (b *backend) fresh(resources []apidiscoveryv2.APIResourceDiscovery) {
	b.tellDocuments(&apidiscoveryv2.APIVersionDiscovery{Version: b.gv.Version, Resources: resources, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent})
}

// stale says that what is known may be true no longer.
func (b *backend) stale() {
	b.tellDocuments(&apidiscoveryv2.APIVersionDiscovery{Version: b.gv.Version, Resources: b.discovered.Load().Resources, Freshness: apidiscoveryv2.DiscoveryFreshnessStale})
}

func (b *backend) tellDocuments(d *apidiscoveryv2.APIVersionDiscovery) {
	if equality.Semantic.DeepEqual(b.discovered.Load(), d) {
		return
	}
	b.discovered.Store(d)
	b.a.publish(nil)
}

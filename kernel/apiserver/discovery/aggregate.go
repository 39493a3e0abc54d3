package discovery

import (
	"crypto/sha512"
	"fmt"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// aggregate is all of discovery as one snapshot of the catalog has it: what was
// made of each group version, which the next one takes over where nothing has
// changed, and the documents that clients asked for.
type aggregate struct {
	of       *endpoint.Snapshot
	versions map[*endpoint.GroupVersion]apidiscoveryv2.APIVersionDiscovery

	mu   sync.Mutex
	docs map[docKey]*aggregated // guarded by mu
}

type docKey struct {
	core bool // the core group, or the rest
	form negotiation.Accepted
}

// aggregated is a document in the form that a client asked for.
type aggregated struct {
	data []byte
	etag string // quoted
}

func (s *Discovery) aggregated(core bool, form negotiation.Accepted) (*aggregated, error) {
	now, a := s.Catalog.Snapshot(), s.aggregate.Load()
	if a == nil || a.of != now {
		a = newAggregate(now, a)
		s.aggregate.Store(a) // whoever was quicker made the same
	}
	return a.document(core, form)
}

func newAggregate(of *endpoint.Snapshot, before *aggregate) *aggregate {
	a := &aggregate{of: of, versions: map[*endpoint.GroupVersion]apidiscoveryv2.APIVersionDiscovery{}, docs: map[docKey]*aggregated{}}
	for _, g := range of.Groups() {
		for _, v := range g.Versions {
			if before != nil {
				if d, ok := before.versions[v]; ok {
					a.versions[v] = d
					continue
				}
			}
			d := apidiscoveryv2.APIVersionDiscovery{Version: v.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
			for _, def := range v.Definitions {
				d.Resources = append(d.Resources, discovered(def, v.GroupVersion))
			}
			a.versions[v] = d
		}
	}
	return a
}

func (a *aggregate) document(core bool, form negotiation.Accepted) (*aggregated, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := docKey{core, form}
	if d := a.docs[key]; d != nil {
		return d, nil
	}
	data, err := response.EncodeMeta(a.list(core), form)
	if err != nil {
		return nil, err
	}
	d := &aggregated{data, fmt.Sprintf("\"%X\"", sha512.Sum512(data))}
	a.docs[key] = d
	return d, nil
}

// list is the core group, or the rest.
func (a *aggregate) list(core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	l := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: aggregatedKind.Kind, APIVersion: aggregatedKind.GroupVersion().String()},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, g := range a.of.Groups() {
		if (g.Name == "") != core {
			continue
		}
		d := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.Name}}
		for _, v := range g.Versions {
			d.Versions = append(d.Versions, a.versions[v])
		}
		l.Items = append(l.Items, d)
	}
	return l
}

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

// aggregate is all of discovery as one snapshot of the catalog, and one of what others
// serve, have it: what was made of each group version, which the next one takes over where nothing has
// changed, and the documents that clients asked for.
type aggregate struct {
	of       *endpoint.Snapshot
	others   *Registrations
	groups   []group
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
	list *apidiscoveryv2.APIGroupDiscoveryList // not to be modified
	data []byte
	etag string // quoted
}

// current is the newest.
func (s *Discovery) current() *aggregate {
	now, others, a := s.Catalog.Snapshot(), &noOthers, s.aggregate.Load()
	if s.Others != nil {
		others = s.Others()
	}
	if a == nil || a.of != now || a.others != others {
		a = newAggregate(now, others, a)
		s.aggregate.Store(a) // whoever was quicker made the same
	}
	return a
}

var noOthers Registrations

func newAggregate(of *endpoint.Snapshot, others *Registrations, before *aggregate) *aggregate {
	a := &aggregate{of: of, others: others, groups: merge(of, others), versions: map[*endpoint.GroupVersion]apidiscoveryv2.APIVersionDiscovery{}, docs: map[docKey]*aggregated{}}
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
	list := a.list(core)
	data, err := response.EncodeMeta(list, form)
	if err != nil {
		return nil, err
	}
	d := &aggregated{list, data, fmt.Sprintf("\"%X\"", sha512.Sum512(data))}
	a.docs[key] = d
	return d, nil
}

// list is the core group, or the rest.
func (a *aggregate) list(core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	l := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: aggregatedKind.Kind, APIVersion: aggregatedKind.GroupVersion().String()},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, g := range a.groups {
		if (g.name == "") != core {
			continue
		}
		d := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		for _, v := range g.versions {
			if v.remote != nil {
				d.Versions = append(d.Versions, *v.remote)
			} else {
				d.Versions = append(d.Versions, a.versions[v.local])
			}
		}
		l.Items = append(l.Items, d)
	}
	return l
}

package garbage

import (
	"fmt"
	"sync"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
)

// Looking for an owner elsewhere reads all objects of its kind, for an event and nothing
// else: so many times at once, and again so often.
const (
	searches    = 25
	searchEvery = 100 * time.Millisecond
)

// searchBudget says when there may be another search. The zero value may be used.
type searchBudget struct {
	mu   sync.Mutex
	free time.Time // when all that were spent are given back; guarded by mu
}

// take tells whether there may be a search now.
func (b *searchBudget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free.Before(now) {
		b.free = now
	}
	next := b.free.Add(searchEvery)
	if next.Sub(now) > searches*searchEvery {
		return false
	}
	b.free = next
	return true
}

// elsewhere tells whether the owner that is not in the namespace is in another: only
// what is in no namespace can be named from everywhere.
func elsewhere(c client.Client, s subject, namespace string) (bool, error) {
	var found []*object
	q := client.ListOptions{Resource: client.ByKind(s.apiVersion, s.kind), Fields: "metadata.name=" + s.name}
	if err := c.List(&found, q); err != nil {
		if client.IsUnsupported(err) || client.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("look for %s %s: %w", s.kind, s.name, err)
	}
	for _, o := range found {
		if o.UID == s.uid && o.Namespace != "" && o.Namespace != namespace {
			return true, nil
		}
	}
	return false, nil
}

// misplaced records upstream's event about each of the objects that name an owner of
// another namespace.
func misplaced(c client.Client, s subject, namespace string, deps []*object) {
	for _, o := range deps {
		for _, ref := range o.OwnerReferences {
			if ref.UID != s.uid || ref.Name != s.name || ref.Kind != s.kind || ref.APIVersion != s.apiVersion || o.Namespace != namespace {
				continue
			}
			c.Event(o, client.Note{Warning: true, Reason: "OwnerRefInvalidNamespace", Message: fmt.Sprintf(
				"ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace %q", s.apiVersion, s.kind, namespace, s.name, s.uid, namespace)})
			break
		}
	}
}

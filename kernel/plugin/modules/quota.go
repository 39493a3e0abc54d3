package modules

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// What a cluster keeps of modules. They are in every server's memory and in
// etcd. A module and the one that replaces it fit, even the largest.
const (
	MaxModules = 64
	MaxStored  = 256 << 20 // bytes, of all modules
)

// pendingFor is for how long a piece that was let through counts although the cache
// does not show it: it is being written, or was refused by others.
const pendingFor = 30 * time.Second

// Quota is the admission rule that bounds what is stored. It is asked about
// pieces, however they come.
type Quota struct {
	store  *Store
	bounds Bounds
	now    func() time.Time

	mu     sync.Mutex
	coming map[string]piece // by name; guarded by mu: let through a moment ago
}

type piece struct {
	digest string
	size   int64
	at     time.Time
}

// Bounds of what is stored.
type Bounds struct {
	Modules int
	Bytes   int64
}

// DefaultBounds are MaxModules and MaxStored.
var DefaultBounds = Bounds{MaxModules, MaxStored}

// Quota makes the rule.
func (s *Store) Quota(b Bounds) *Quota {
	return &Quota{store: s, bounds: b, now: time.Now, coming: map[string]piece{}}
}

// Rule is how the chain asks it.
func (q *Quota) Rule() admission.Rule {
	return admission.Rule{Validate: q, Match: admission.Match{Operations: []admission.Operation{admission.Create, admission.Update},
		Groups: []string{v1alpha1.Group}, Resources: []string{v1alpha1.Modules.Resource}}}
}

// Validate implements admission.Validator.
func (q *Quota) Validate(ctx context.Context, a *admission.Attributes) error {
	m, ok := a.Object.(*v1alpha1.PluginModule)
	if !ok {
		return fmt.Errorf("%w: a %T is no piece of a module", admission.ErrFailed, a.Object)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	stored, err := q.pieces(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", admission.ErrFailed, err)
	}
	mine := piece{m.Digest, sizeOf(m), q.now()}
	stored[m.Name] = mine
	digests, bytes := map[string]bool{}, int64(0)
	for _, p := range stored {
		digests[p.digest] = true
		bytes += p.size
	}
	if len(digests) > q.bounds.Modules || bytes > q.bounds.Bytes {
		return apierrors.NewForbidden(v1alpha1.Modules.GroupResource(), m.Name, fmt.Errorf(
			"exceeded what a cluster stores: with it there are %d modules of %d MiB, and %d of %d MiB are kept; remove plugins that are not needed (a module that no Plugin names goes after ten minutes at most)",
			len(digests), (bytes+1<<20-1)>>20, q.bounds.Modules, q.bounds.Bytes>>20))
	}
	if !a.DryRun {
		q.coming[m.Name] = mine
	}
	return nil
}

// pieces are all that is stored or about to be, by name; q.mu is held.
func (q *Quota) pieces(ctx context.Context) (map[string]piece, error) {
	l, err := q.store.registry.List(ctx, target(""), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	out := make(map[string]piece, len(l.Items)+len(q.coming))
	now := q.now()
	for name, p := range q.coming {
		if now.Sub(p.at) > pendingFor {
			delete(q.coming, name)
			continue
		}
		out[name] = p
	}
	for _, o := range l.Items {
		if m, ok := o.Obj.(*v1alpha1.PluginModule); ok {
			out[m.Name] = piece{digest: m.Digest, size: sizeOf(m)}
			delete(q.coming, m.Name)
		}
	}
	return out, nil
}

// sizeOf counts what a client may write into a piece.
func sizeOf(m *v1alpha1.PluginModule) int64 { return int64(len(m.Data)) + int64(m.ObjectMeta.Size()) }

var _ admission.Validator = (*Quota)(nil)

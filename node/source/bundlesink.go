package source

import (
	"maps"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// bundleSink receives what the reflector hears about bundles.
type bundleSink struct {
	bundles *bundles
	to      *following
}

// trimBundle drops what no volume shows.
func trimBundle(obj any) *certificatesv1.ClusterTrustBundle {
	b, ok := obj.(*certificatesv1.ClusterTrustBundle)
	if !ok {
		return nil
	}
	return &certificatesv1.ClusterTrustBundle{Spec: b.Spec, ObjectMeta: metav1.ObjectMeta{
		Name: b.Name, UID: b.UID, ResourceVersion: b.ResourceVersion, Labels: b.Labels}}
}

// has returns the bundle of a name as it is known.
func (s *bundleSink) has(name string) *certificatesv1.ClusterTrustBundle {
	obj, _, _ := s.to.objects.GetByKey(name) // the store has no errors of its own
	b, _ := obj.(*certificatesv1.ClusterTrustBundle)
	return b
}

// Add stores a new bundle.
func (s *bundleSink) Add(obj any) error { return s.Update(obj) }

// Update stores a changed bundle.
func (s *bundleSink) Update(obj any) error {
	b := trimBundle(obj)
	if b == nil {
		return nil
	}
	old := s.has(b.Name)
	if err := s.to.objects.Update(b); err != nil {
		return err
	}
	if !sameBundle(old, b) {
		s.tell(old, b)
	}
	return nil
}

// Delete notes that a bundle is gone.
func (s *bundleSink) Delete(obj any) error {
	b := trimBundle(obj)
	if b == nil {
		return nil
	}
	old := s.has(b.Name)
	if err := s.to.objects.Delete(b); err != nil {
		return err
	}
	s.tell(old)
	return nil
}

// Replace stores the answer of a list.
func (s *bundleSink) Replace(list []any, version string) error {
	now := make([]any, 0, len(list))
	var changed []*certificatesv1.ClusterTrustBundle
	left := map[string]bool{}
	for _, name := range s.to.objects.ListKeys() {
		left[name] = true
	}
	for _, obj := range list {
		b := trimBundle(obj)
		if b == nil {
			continue
		}
		now = append(now, b)
		delete(left, b.Name)
		if old := s.has(b.Name); !sameBundle(old, b) {
			changed = append(changed, old, b)
		}
	}
	for name := range left {
		changed = append(changed, s.has(name))
	}
	if err := s.to.objects.Replace(now, version); err != nil {
		return err
	}
	if s.first() {
		return nil
	}
	s.tell(changed...)
	return nil
}

// first reports whether nothing was known before, and tells the pods that
// could not wait for it.
func (s *bundleSink) first() bool {
	s.bundles.mu.Lock()
	select {
	case <-s.to.synced:
		s.bundles.mu.Unlock()
		return false
	default:
		close(s.to.synced)
	}
	var waited []types.UID
	for uid := range s.bundles.held {
		if s.to.bypassed {
			waited = append(waited, uid)
		}
	}
	s.bundles.mu.Unlock()
	for _, uid := range waited {
		s.bundles.changed(uid)
	}
	return true
}

// tell tells the pods that refer to one of the bundles, nil ones aside, by name
// or by signer.
func (s *bundleSink) tell(of ...*certificatesv1.ClusterTrustBundle) {
	var concerned []types.UID
	s.bundles.mu.Lock()
	for uid, refs := range s.bundles.held {
		for _, b := range of {
			if b != nil && (refs.names[b.Name] || refs.signers[b.Spec.SignerName]) {
				concerned = append(concerned, uid)
				break
			}
		}
	}
	s.bundles.mu.Unlock()
	for _, uid := range concerned {
		s.bundles.changed(uid)
	}
}

// sameBundle reports whether volumes show two bundles alike.
func sameBundle(a, b *certificatesv1.ClusterTrustBundle) bool {
	return a != nil && b != nil && a.Spec == b.Spec && maps.Equal(a.Labels, b.Labels)
}

// Resync has nothing to do: nothing is derived from the bundles here.
func (s *bundleSink) Resync() error { return nil }

var _ cache.ReflectorStore = (*bundleSink)(nil)

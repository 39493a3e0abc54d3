package membership

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/internal/backoff"
)

// keepLease renews the node's lease until ctx ends. A renewal that fails is
// tried again soon: the node counts as lost when the lease runs out.
func (m *Member) keepLease(ctx context.Context) {
	var have *coordinationv1.Lease
	interval := m.cfg.LeaseDuration / 4
	retry := backoff.New(min(interval, 500*time.Millisecond), min(interval, 5*time.Second))
	for {
		next, err := m.renew(ctx, have)
		wait := interval
		switch {
		case err == nil:
			have = next
			retry.Succeeded(m.cfg.Log, "node", m.cfg.Name)
		case ctx.Err() == nil:
			have, wait = nil, retry.Failed(m.cfg.Log, "node lease not renewed", err, "node", m.cfg.Name)
		}
		if !m.sleep(ctx, wait) {
			return
		}
	}
}

// renew writes the lease on top of have, or finds out what there is.
func (m *Member) renew(ctx context.Context, have *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, max(m.cfg.LeaseDuration/2, time.Second))
	defer cancel()
	leases := m.cfg.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	if have == nil {
		var err error
		have, err = leases.Get(ctx, m.cfg.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return leases.Create(ctx, m.renewed(&coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: m.cfg.Name, Namespace: corev1.NamespaceNodeLease}}), metav1.CreateOptions{})
		}
		if err != nil {
			return nil, err
		}
	}
	return leases.Update(ctx, m.renewed(have), metav1.UpdateOptions{})
}

func (m *Member) renewed(l *coordinationv1.Lease) *coordinationv1.Lease {
	l = l.DeepCopy()
	seconds := int32((m.cfg.LeaseDuration + time.Second - 1) / time.Second)
	now := metav1.NewMicroTime(m.cfg.Clock.Now())
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &m.cfg.Name, &seconds, &now
	m.mu.Lock()
	uid := m.uid
	m.mu.Unlock()
	if uid != "" { // the lease goes with the node
		l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: m.cfg.Name, UID: uid}}
	}
	return l
}

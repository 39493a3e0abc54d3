package projected

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Token is a service account's token, bound to a pod.
type Token struct {
	Value   string
	Expires time.Time
}

type tokenKey struct {
	pod      types.UID
	audience string
	seconds  int64
}

type heldToken struct {
	Token
	renew time.Time
}

// Forget drops the tokens of a pod.
func (d *Driver) Forget(pod types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.tokens {
		if k.pod == pod {
			delete(d.tokens, k)
		}
	}
}

// token returns a token for the pod, asking for a new one when most of the
// old one's life is over. While a new one cannot be had, a valid old one
// serves on.
func (d *Driver) token(ctx context.Context, pod *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (heldToken, error) {
	seconds := int64(3600)
	if t.ExpirationSeconds != nil {
		seconds = *t.ExpirationSeconds
	}
	key := tokenKey{pod.UID, t.Audience, seconds}
	d.mu.Lock()
	held, ok := d.tokens[key]
	d.mu.Unlock()
	now := d.cfg.Clock.Now()
	if ok && now.Before(held.renew) {
		return held, nil
	}
	if d.cfg.Token == nil {
		return heldToken{}, errors.New("no service account tokens are available on this node")
	}
	fresh, err := d.cfg.Token(ctx, pod, t.Audience, seconds)
	if err != nil {
		if ok && now.Before(held.Expires) {
			d.cfg.Log.Warn("service account token not renewed", "namespace", pod.Namespace, "name", pod.Name, "error", err)
			held.renew = now.Add(30 * time.Second)
			return held, nil
		}
		return heldToken{}, fmt.Errorf("service account token: %w", err)
	}
	life := fresh.Expires.Sub(now)
	held = heldToken{fresh, now.Add(min(life*8/10, 24*time.Hour))}
	d.mu.Lock()
	d.tokens[key] = held
	d.mu.Unlock()
	return held, nil
}

// Package projected makes the volumes whose files the agent writes: configMap,
// secret, downwardAPI, and projected ones, which join these with service
// account tokens, trust anchors and certificates of the pod. Their content changes
// as a whole (atomic.go), as readers of Kubernetes' volumes expect.
package projected

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume/driver"
	"github.com/pintle-io/pintle/node/volume/ownership"
)

// Config of a Driver.
type Config struct {
	// Sources finds ConfigMaps and Secrets; required.
	Sources podspec.Sources
	// Bundles finds ClusterTrustBundles; nil: there are none.
	Bundles Bundles
	// Token asks for a token for the pod's service account; nil: there are none.
	Token func(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (Token, error)
	// Credential returns the key and the certificate chain, in PEM, for a source
	// of a pod's volume; nil: there are none. It tells of new ones elsewhere, as
	// Sources and Bundles do of changes. What it returns is not changed.
	Credential func(ctx context.Context, pod *corev1.Pod, volume string, source int) (key, chain []byte, err error)
	// Node is read by the downward API; it is called at each use. Required.
	Node func() *podspec.Node
	// Clock is the real one when nil.
	Clock clock.PassiveClock
	// Log may be nil.
	Log *slog.Logger
}

// Driver writes volumes.
type Driver struct {
	cfg   Config
	order maphash.Seed // of trust anchors

	mu     sync.Mutex
	tokens map[tokenKey]heldToken // guarded by mu
}

// New makes a driver.
func New(cfg Config) *Driver {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Driver{cfg: cfg, order: maphash.MakeSeed(), tokens: map[tokenKey]heldToken{}}
}

// Name is the kind's name.
func (*Driver) Name() string { return "projected" }

// Supports reports whether the agent writes a volume's files.
func (*Driver) Supports(s driver.Spec) bool {
	v := s.Volume
	return s.Persistent == nil && (v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil)
}

// Setup writes the volume's files, if they have changed. Secrets, tokens
// and keys never reach a disk. Its Mount is renewed when most of a token's life is over.
func (d *Driver) Setup(ctx context.Context, r *driver.Request) (driver.Mount, error) {
	c, err := d.content(ctx, r.Pod, r.Volume)
	if err != nil {
		return driver.Mount{}, err
	}
	if c.memory {
		if err := mount.TmpfsOnce(r.Dir, 2*maxContent+slack); err != nil {
			return driver.Mount{}, err
		}
	}
	err = writeAtomically(r.Dir, c.files, ownership.FSGroup(r.Pod))
	return driver.Mount{Path: r.Dir, ReadOnly: true, Renew: c.renew}, err
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Forgetter = (*Driver)(nil)
)

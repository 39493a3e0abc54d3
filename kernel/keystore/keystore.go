package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/store"
)

// Prefix is what this package's keys in the store begin with. Objects of the API
// are below /registry/.
const Prefix = "/pintle/keys/"

const (
	identityKey  = Prefix + "identity"
	sealedPrefix = Prefix + "sealed/"
)

// Store is what a Keystore needs of the store.
type Store interface {
	Commit(ctx context.Context, ops []store.Op) (revision int64, err error)
	Get(ctx context.Context, key string) (kv store.KV, ok bool, revision int64, err error)
	List(ctx context.Context, prefix string, o store.ListOptions) (kvs []store.KV, more bool, revision int64, err error)
}

// Config says where keys are.
type Config struct {
	Store Store
	// Dir is the directory of the key files; it is made if it is missing.
	Dir string
	// Token brings the token of a server, as text; nil: there is none. It is asked
	// only when it is needed: when Dir lacks keys, or the cluster has none yet.
	Token func() (string, error)
	// Replace makes the keys of Dir those of the cluster, and new ones if Dir has
	// none, whatever they were before; tokens are good no longer.
	Replace bool
	Clock   clock.WithTicker // nil is the real one
	Log     *slog.Logger     // nil discards
}

// objects is what the keys of the API's objects begin with, which are there once
// there is a cluster.
const objects = "/registry/"

// Errors that say what is the matter with the keys of a server. Their texts name
// the remedy.
var (
	// ErrOtherKeys: the keys of the directory are not the cluster's.
	ErrOtherKeys = errors.New("the keys of this server are not those of the cluster")
	// ErrNoToken: the directory lacks keys, and there is no token to get them.
	ErrNoToken = errors.New("this server lacks keys of the cluster")
	// ErrNoIdentity: the store holds the objects of a cluster and does not know its
	// keys, and the directory lacks some.
	ErrNoIdentity = errors.New("the store does not know the keys of its cluster")
	// ErrReplaced: another server has just replaced the keys of the cluster; two
	// that do would shut out each other.
	ErrReplaced = errors.New("another server has just replaced the keys of the cluster")
	// ErrWrongToken: the token opens none of the copies in the store.
	ErrWrongToken = errors.New("the server token opens no keys of this cluster")
)

// Keystore gives tokens to servers, and takes them back.
type Keystore struct {
	c    Config
	keys *pki.Keys
}

// Open makes the directory hold the cluster's keys: those that are there, those
// of the store, or new ones for a new cluster. Servers that begin at the same
// moment agree.
//
// # Errors
//   - ErrOtherKeys, ErrNoToken, ErrNoIdentity, ErrReplaced, ErrWrongToken
//   - those of the store
func Open(ctx context.Context, c Config) (*Keystore, error) {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keystore{c: c}
	if err := k.agree(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// Keys are the cluster's, all of them. The caller must not change them.
func (k *Keystore) Keys() *pki.Keys { return k.keys }

// identity names the public keys of a cluster.
type identity struct {
	Version int               `json:"version"`
	Keys    map[string]string `json:"keys"` // fingerprints by name
	Created time.Time         `json:"created"`
	// Replaced: these keys took the place of others, as a server was told.
	Replaced bool `json:"replaced,omitempty"`
	// revision is that of the entry; 0: there is none.
	revision int64
}

const identityVersion = 1

// identity reads the cluster's; its revision is 0 when there is none.
func (k *Keystore) identity(ctx context.Context) (identity, error) {
	kv, ok, _, err := k.c.Store.Get(ctx, identityKey)
	if err != nil || !ok {
		return identity{}, err
	}
	var id identity
	if err := json.Unmarshal(kv.Value, &id); err != nil {
		return identity{}, fmt.Errorf("%s in the store: %w", identityKey, err)
	}
	if id.Version != identityVersion {
		return identity{}, fmt.Errorf("%s in the store has version %d, this server knows %d: all servers must be of one version", identityKey, id.Version, identityVersion)
	}
	id.revision = kv.ModRevision
	return id, nil
}

// replaced tells that the keys of a server that runs are the cluster's no longer.
//
// # Errors
//   - ErrOtherKeys
func (k *Keystore) replaced(id *identity) error {
	if id.revision == 0 || id.differs(k.keys) == "" {
		return nil
	}
	return fmt.Errorf("%w: another server replaced them at %s. Move %s away and start with --token-file; `pintle token create --server` on that server makes a token", ErrOtherKeys, id.Created.Format(time.RFC3339), k.c.Dir)
}

// watchEvery is how often Watch asks.
const watchEvery = time.Minute

// Watch returns when the cluster's keys are no longer those of this server, or when
// ctx ends. A server that went on would give nodes and tokens of an authority that
// no other trusts.
//
// # Errors
//   - ErrOtherKeys
func (k *Keystore) Watch(ctx context.Context) error {
	t := k.c.Clock.NewTicker(watchEvery)
	defer t.Stop()
	for {
		id, err := k.identity(ctx)
		if err != nil && ctx.Err() == nil {
			k.c.Log.Debug("whose keys the cluster has is not known just now", "error", err) // the store's own trouble is told elsewhere
		} else if err := k.replaced(&id); err != nil {
			return err
		}
		select {
		case <-t.C():
		case <-ctx.Done():
			return nil
		}
	}
}

// differs names the first key that is not the cluster's; "" when none is.
func (id *identity) differs(keys *pki.Keys) string {
	have := keys.Fingerprints()
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if have[name] != id.Keys[name] {
			return name
		}
	}
	return ""
}

package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/store"
)

// MaxTokens is how many tokens of servers there may be at the same time.
const MaxTokens = 100

// ErrTooMany: there are MaxTokens tokens.
var ErrTooMany = errors.New("there are too many server tokens: delete some")

// ErrNotFound: there is no token of that ID.
var ErrNotFound = errors.New("there is no such server token")

// Info is what may be known of a token.
type Info struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	// Damaged: the copy in the store cannot be read. No server joins with the
	// token; Delete removes it.
	Damaged bool `json:"damaged,omitempty"`
}

// turnKey is written with every new token, so that of several servers that make one
// at the same moment each counts those of the others.
const turnKey = Prefix + "turn"

// Create makes a token with which servers join for ttl; 0 is for ever. The store
// keeps nothing by which it could be made again.
//
// # Errors
//   - ErrTooMany
//   - ErrOtherKeys: the cluster's were replaced
//   - those of the store
func (k *Keystore) Create(ctx context.Context, ttl time.Duration) (jointoken.Server, Info, error) {
	t, err := jointoken.NewServer()
	if err != nil {
		return t, Info{}, err
	}
	if err := k.Sweep(ctx); err != nil {
		return t, Info{}, err
	}
	for {
		info, err := k.create(ctx, t, ttl)
		if !errors.Is(err, store.ErrConflict) {
			return t, info, err
		}
		// Another server made one, or has replaced the keys.
	}
}

// create makes the copy for a token, if there is room and the keys are the
// cluster's.
//
// # Errors
//   - store.ErrConflict: another server wrote meanwhile
func (k *Keystore) create(ctx context.Context, t jointoken.Server, ttl time.Duration) (Info, error) {
	id, err := k.identity(ctx)
	if err == nil {
		err = k.replaced(&id)
	}
	if err != nil {
		return Info{}, err
	}
	turn, _, _, err := k.c.Store.Get(ctx, turnKey)
	if err != nil {
		return Info{}, err
	}
	l, err := k.List(ctx)
	if err != nil {
		return Info{}, err
	}
	if len(l) >= MaxTokens {
		return Info{}, ErrTooMany
	}
	info, op, err := k.entry(t, k.keys, ttl)
	if err != nil {
		return Info{}, err
	}
	_, err = k.c.Store.Commit(ctx, []store.Op{op,
		{Key: turnKey, Value: []byte(t.ID), Expect: turn.ModRevision},
		{Key: identityKey, Expect: id.revision, Check: true}})
	return info, err
}

// entry is the write of a copy of keys for a token.
func (k *Keystore) entry(t jointoken.Server, keys *pki.Keys, ttl time.Duration) (Info, store.Op, error) {
	now := k.c.Clock.Now()
	var expires time.Time
	if ttl > 0 {
		expires = now.Add(ttl)
	}
	s, err := seal(t, keys, now, expires)
	if err != nil {
		return Info{}, store.Op{}, fmt.Errorf("seal keys: %w", err)
	}
	b, err := json.Marshal(s)
	return s.info(), store.Op{Key: sealedPrefix + s.ID, Value: b, Expect: store.Absent}, err
}

func (s *sealed) info() Info { return Info{ID: s.ID, Created: s.Created, Expires: s.Expires} }

// List are the tokens that are good, and those whose copies are damaged, by ID.
func (k *Keystore) List(ctx context.Context) ([]Info, error) {
	all, err := k.list(ctx)
	out := []Info{}
	for _, i := range all {
		if !i.over(k.c.Clock.Now()) {
			out = append(out, i)
		}
	}
	return out, err
}

// over reports that a token has run out.
func (i Info) over(now time.Time) bool { return !i.Expires.IsZero() && now.After(i.Expires) }

func (k *Keystore) list(ctx context.Context) ([]Info, error) {
	kvs, _, _, err := k.c.Store.List(ctx, sealedPrefix, store.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, kv := range kvs {
		s, err := parseSealed(kv.Value)
		i := Info{Damaged: err != nil}
		if err == nil {
			i = s.info()
		}
		i.ID = kv.Key[len(sealedPrefix):] // what counts, whatever the entry says
		out = append(out, i)
	}
	return out, nil
}

func parseSealed(value []byte) (*sealed, error) {
	s := &sealed{}
	err := json.Unmarshal(value, s)
	if err == nil && s.Version == 0 {
		err = errors.New("it is no copy of keys")
	}
	return s, err
}

// get reads the copy for a token; nil: there is none.
func (k *Keystore) get(ctx context.Context, id string) (*sealed, error) {
	kv, ok, _, err := k.c.Store.Get(ctx, sealedPrefix+id)
	if err != nil || !ok {
		return nil, err
	}
	s, err := parseSealed(kv.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: %s in the store is damaged (%w). `pintle token delete %s` on a server that runs removes it, `pintle token create --server` makes a new one", ErrWrongToken, kv.Key, err, id)
	}
	return s, nil
}

// Delete ends a token: no server joins with it any more. Those that did keep the
// keys, and so does an old copy of the store.
//
// # Errors
//   - ErrNotFound
func (k *Keystore) Delete(ctx context.Context, id string) error {
	if id == "" {
		return ErrNotFound
	}
	kv, ok, _, err := k.c.Store.Get(ctx, sealedPrefix+id)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	_, err = k.c.Store.Commit(ctx, []store.Op{{Key: kv.Key, Expect: store.Any}})
	return err
}

// Sweep removes the copies whose tokens have run out.
func (k *Keystore) Sweep(ctx context.Context) error {
	all, err := k.list(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if !i.over(k.c.Clock.Now()) {
			continue
		}
		if _, err := k.c.Store.Commit(ctx, []store.Op{{Key: sealedPrefix + i.ID, Expect: store.Any}}); err != nil {
			return err
		}
		k.c.Log.Info("a server token has run out", "id", i.ID)
	}
	return nil
}

// sweepEvery is how often Run sweeps.
const sweepEvery = 10 * time.Minute

// Run sweeps now and then until ctx ends; one server does it for all.
func (k *Keystore) Run(ctx context.Context) error {
	t := k.c.Clock.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		if err := k.Sweep(ctx); err != nil && ctx.Err() == nil {
			k.c.Log.Debug("server tokens that have run out are not removed yet", "error", err) // the next turn does it; they are refused anyway
		}
		select {
		case <-t.C():
		case <-ctx.Done():
			return nil
		}
	}
}

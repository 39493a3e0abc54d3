package encrypted

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apiserver/pkg/storage/value"

	"github.com/pintle-io/pintle/kernel/store"
)

// Choose finds the transformer of a key's value; nil leaves the value as it is. It
// must give every key the same one at all times, whatever that then does.
type Choose func(key string) value.Transformer

// Wrap returns a store that keeps values in s as the transformers of choose make
// them. Close closes s. Values that were there before are read by the same
// transformers, which tell them by their prefixes.
func Wrap(s store.Store, choose Choose) store.Store {
	return &encrypted{Store: s, choose: choose}
}

type encrypted struct {
	store.Store
	choose Choose
}

// Commit encrypts the values. A value that cannot be encrypted fails the commit before
// anything is written.
func (e *encrypted) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	if err := store.CheckOps(ops); err != nil { // before a key service is asked for nothing
		return 0, err
	}
	sealed := ops
	for i := range ops {
		if ops[i].Value == nil {
			continue
		}
		t := e.choose(ops[i].Key)
		if t == nil {
			continue
		}
		v, err := t.TransformToStorage(ctx, ops[i].Value, value.DefaultContext(ops[i].Key))
		if err != nil {
			return 0, fmt.Errorf("encrypt %s: %w", ops[i].Key, err)
		}
		if &sealed[0] == &ops[0] {
			sealed = append([]store.Op(nil), ops...) // ops stay the caller's
		}
		sealed[i].Value = v
	}
	revision, err := e.Store.Commit(ctx, sealed)
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		opened := *conflict
		e.open(ctx, &opened.Current, &patience{})
		return 0, &opened
	}
	return revision, err
}

func (e *encrypted) Get(ctx context.Context, key string) (store.KV, bool, int64, error) {
	kv, ok, revision, err := e.Store.Get(ctx, key)
	if ok {
		e.open(ctx, &kv, &patience{})
	}
	return kv, ok, revision, err
}

func (e *encrypted) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	kvs, more, revision, err := e.Store.List(ctx, prefix, o)
	if o.KeysOnly {
		return kvs, more, revision, err
	}
	p := &patience{}
	for i := range kvs {
		e.open(ctx, &kvs[i], p)
	}
	return kvs, more, revision, err
}

// open decrypts a value in place; without one (there is no such key) it does nothing.
func (e *encrypted) open(ctx context.Context, kv *store.KV, p *patience) {
	if kv.ModRevision == 0 {
		return
	}
	t := e.choose(kv.Key)
	if t == nil {
		return
	}
	ctx, done := p.begin(ctx)
	plain, stale, err := t.TransformFromStorage(ctx, kv.Value, value.DefaultContext(kv.Key))
	done(err)
	if err != nil {
		kv.Value = nil
		kv.Err = &unreadable{key: kv.Key, cause: err}
		return
	}
	if plain == nil {
		plain = []byte{} // an empty value is one
	}
	kv.Value, kv.Stale = plain, stale
}

// patience bounds what a key service that hangs costs those who read many values: once
// it has kept one waiting in vain, the next are read without waiting for it, which
// is enough for those whose key is known. They are tried again later.
type patience struct {
	lost time.Time // when a value was waited for in vain; zero: never
}

const (
	inVain    = 500 * time.Millisecond // longer than a service that answers takes to refuse
	lostFor   = 10 * time.Second
	errHanged = "a key service does not answer"
)

// begin gives the context for one value; done is told how that ended.
func (p *patience) begin(ctx context.Context) (_ context.Context, done func(error)) {
	start := time.Now()
	if !p.lost.IsZero() && start.Sub(p.lost) < lostFor {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(errors.New(errHanged))
		return ctx, func(error) {}
	}
	return ctx, func(err error) {
		if now := time.Now(); err != nil && now.Sub(start) >= inVain {
			p.lost = now
		}
	}
}

// unreadable is the error of a value that cannot be decrypted, in upstream's words and
// with the remedy. It tells nothing of the value.
type unreadable struct {
	key   string
	cause error
}

func (u *unreadable) Error() string {
	return fmt.Sprintf("unable to transform key %q: %v (it is read again once the EncryptionConfiguration of this server has the provider and the key that it was written with, and their key service answers)", u.key, u.cause)
}

// Unwrap makes errors.Is(err, store.ErrUnreadable) true.
func (u *unreadable) Unwrap() []error { return []error{store.ErrUnreadable, u.cause} }

package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pintle-io/pintle/internal/atomicfile"
	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/store"
)

// agree compares the directory with the store until both say the same.
func (k *Keystore) agree(ctx context.Context) error {
	have, err := pki.ReadKeys(k.c.Dir)
	if err != nil {
		return fmt.Errorf("keys of the cluster: %w; put the file of %s back from a backup, or move it away", err, k.c.Dir)
	}
	for {
		// Before the identity: who writes objects has written that.
		old, err := k.foreign(ctx, have)
		if err != nil {
			return err
		}
		id, err := k.identity(ctx)
		if err != nil {
			return err
		}
		if id.revision != 0 && !(k.c.Replace && id.lacks(have)) {
			return k.follow(ctx, &id, have)
		}
		if again := id.Created.Add(replaceQuiet); id.Replaced && k.c.Clock.Now().Before(again) {
			return fmt.Errorf("%w, at %s: start this one without --replace-keys and with --token-file (`pintle token create --server` on that server makes a token). If that server's keys are lost too, --replace-keys begins anew after %s",
				ErrReplaced, id.Created.Format(time.RFC3339), again.Format(time.RFC3339))
		}
		if old && id.revision == 0 {
			return fmt.Errorf("%w: it holds objects, and %s lacks %s; new keys would shut out the servers, nodes and clients that there are. Start a server first that has all keys in its data directory, "+
				"or put the files back from a backup; if they are lost, --replace-keys begins with new ones", ErrNoIdentity, k.c.Dir, strings.Join(have.Missing(), ", "))
		}
		err = k.claim(ctx, id.revision, have)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		// Another server was first.
	}
}

// replaceQuiet is how long after a replacement there is no other: servers that are
// told at the same time to replace the keys, each at its own start, must not do it in
// turn.
const replaceQuiet = 10 * time.Minute

// foreign tells whether there are objects that were made under other keys than
// this server would make. A version that knew no identities has left none.
func (k *Keystore) foreign(ctx context.Context, have *pki.Keys) (bool, error) {
	if k.c.Replace || len(have.Missing()) == 0 {
		return false, nil
	}
	kvs, _, _, err := k.c.Store.List(ctx, objects, store.ListOptions{Limit: 1, KeysOnly: true})
	return len(kvs) > 0, err
}

// lacks tells whether keys are others than the cluster's, or not all of them: whether
// a server that may replace the cluster's with them has to.
func (id *identity) lacks(have *pki.Keys) bool {
	return len(have.Missing()) > 0 || id.differs(have) != ""
}

// claim makes the directory's keys those of the cluster, if the entry is still at
// that revision. They are staged before, so that they are not lost when this
// process is, at whichever moment.
//
// # Errors
//   - store.ErrConflict: another server was first
func (k *Keystore) claim(ctx context.Context, revision int64, have *pki.Keys) error {
	keys, err := k.complete(have)
	if err != nil {
		return err
	}
	id := identity{Version: identityVersion, Keys: keys.Fingerprints(), Created: k.c.Clock.Now().UTC(), Replaced: k.c.Replace}
	value, err := json.Marshal(id)
	if err != nil {
		return err
	}
	ops := []store.Op{{Key: identityKey, Value: value, Expect: revision}}
	if revision != 0 {
		old, err := k.list(ctx)
		if err != nil {
			return err
		}
		for _, e := range old {
			ops = append(ops, store.Op{Key: sealedPrefix + e.ID, Expect: store.Any})
		}
	} else if k.c.Token != nil {
		op, err := k.sealFor(keys)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if _, err := k.c.Store.Commit(ctx, ops); err != nil {
		return fmt.Errorf("keys of the cluster: %w", err)
	}
	k.c.Log.Info("the keys of this server are the cluster's", "dir", k.c.Dir, "replaced", revision != 0)
	return k.install(keys)
}

// sealFor is the copy of new keys for the token that this server was given, with
// which the others come.
func (k *Keystore) sealFor(keys *pki.Keys) (store.Op, error) {
	t, err := k.token()
	if err != nil {
		return store.Op{}, err
	}
	_, op, err := k.entry(t, keys, 0)
	return op, err
}

// complete makes what the directory lacks, or finds it where the process before
// this one staged it.
func (k *Keystore) complete(have *pki.Keys) (*pki.Keys, error) {
	if len(have.Missing()) == 0 {
		return have, nil
	}
	if left := staged(k.c.Dir); left != nil && (&identity{Keys: left.Fingerprints()}).differs(have) == "" {
		return left, nil
	}
	// Another one than have, which stays as the directory is.
	keys, err := pki.ReadKeys(k.c.Dir)
	if err == nil {
		err = keys.Complete(k.c.Clock.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("keys of the cluster: %w", err)
	}
	return keys, stage(k.c.Dir, keys)
}

// follow makes the directory hold what the cluster has.
func (k *Keystore) follow(ctx context.Context, id *identity, have *pki.Keys) error {
	if name := id.differs(have); name != "" {
		return fmt.Errorf("%w: %q in %s is another one. If the directory is this cluster's no longer, move %s away and start with --token-file; "+
			"`pintle token create --server` on a server that runs makes a token", ErrOtherKeys, name, k.c.Dir, k.c.Dir)
	}
	if len(have.Missing()) == 0 {
		return k.install(have)
	}
	if left := staged(k.c.Dir); left != nil && len(left.Missing()) == 0 && id.differs(left) == "" {
		return k.install(left)
	}
	keys, err := k.unseal(ctx, have)
	if err != nil {
		return err
	}
	if name := id.differs(keys); name != "" || len(keys.Missing()) > 0 {
		return fmt.Errorf("%w: the copy in the store is of other keys (%s)", ErrWrongToken, name)
	}
	if err := stage(k.c.Dir, keys); err != nil {
		return err
	}
	k.c.Log.Info("took the keys of the cluster from the store", "dir", k.c.Dir)
	return k.install(keys)
}

// unseal opens the copy that the token is for.
func (k *Keystore) unseal(ctx context.Context, have *pki.Keys) (*pki.Keys, error) {
	if k.c.Token == nil {
		return nil, fmt.Errorf("%w: the store holds a cluster, and %s lacks %s. Start with --token-file; `pintle token create --server` on a server that runs makes a token. "+
			"If none runs, put the files back from a backup; if they are lost, --replace-keys begins with new ones", ErrNoToken, k.c.Dir, strings.Join(have.Missing(), ", "))
	}
	t, err := k.token()
	if err != nil {
		return nil, err
	}
	e, err := k.get(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	why := ""
	switch {
	case e == nil:
		why = "there is none with its ID: it was deleted, has run out, or is another cluster's"
	case e.info().over(k.c.Clock.Now()):
		why = "it ran out at " + e.Expires.String()
	default:
		keys, err := e.open(t)
		if err == nil || !errors.Is(err, errNotOpened) {
			return keys, err
		}
		why = "its ID is known, its secret is not the right one"
	}
	return nil, fmt.Errorf("%w: %s (token %s). `pintle token create --server` on a server that runs makes a new one", ErrWrongToken, why, t.ID)
}

func (k *Keystore) token() (jointoken.Server, error) {
	text, err := k.c.Token()
	if err != nil {
		return jointoken.Server{}, err
	}
	t, err := jointoken.ParseServer(text)
	if err != nil {
		return t, fmt.Errorf("--token-file: %w; `pintle token create --server` on a server that runs makes one, `pintle token generate` one for a new cluster", err)
	}
	return t, nil
}

// stagedFile holds keys on their way into the directory, whole.
const stagedFile = "staged.json"

// stage writes keys to a directory, whole.
func stage(dir string, keys *pki.Keys) error {
	b, err := json.Marshal(keys.Files())
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, stagedFile), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keys of the cluster: %w", err)
	}
	return nil
}

// staged are the keys that a process before this one staged in a directory; nil:
// none that can be read.
func staged(dir string) *pki.Keys {
	b, err := os.ReadFile(filepath.Join(dir, stagedFile))
	if err != nil {
		return nil
	}
	var files map[string][]byte
	if err := json.Unmarshal(b, &files); err != nil {
		return nil
	}
	keys, err := pki.ParseKeys(files)
	if err != nil {
		return nil
	}
	return keys
}

// install writes the files that are missing, and ends what was staged.
func (k *Keystore) install(keys *pki.Keys) error {
	if err := keys.Save(k.c.Dir); err != nil {
		return fmt.Errorf("keys of the cluster: %w", err)
	}
	if err := os.Remove(filepath.Join(k.c.Dir, stagedFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keys of the cluster: %w", err)
	}
	k.keys = keys
	return nil
}

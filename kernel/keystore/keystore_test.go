package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/keystore"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// files are those of the cluster's keys.
var files = []string{"ca.crt", "ca.key", "kubelet-serving-ca.crt", "kubelet-serving-ca.key", "sa.key"}

// cluster is a store, and how servers are started on it.
type cluster struct {
	*testing.T
	store keystore.Store
	clock *testclock.FakeClock
}

func newCluster(t *testing.T) *cluster {
	return &cluster{T: t, store: memory.New(), clock: testclock.NewFakeClock(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))}
}

func text(token string) func() (string, error) {
	if token == "" {
		return nil
	}
	return func() (string, error) { return token, nil }
}

// open is a start of a server; token "" is none.
func (c *cluster) open(dir, token string) (*keystore.Keystore, error) {
	return keystore.Open(c.Context(), keystore.Config{Store: c.store, Dir: dir, Token: text(token), Clock: c.clock})
}

// start is a start that succeeds, and leaves the directory complete.
func (c *cluster) start(dir, token string) *keystore.Keystore {
	c.Helper()
	k, err := c.open(dir, token)
	if err != nil {
		c.Fatal(err)
	}
	onDisk, err := pki.ReadKeys(dir)
	if err != nil {
		c.Fatal(err)
	}
	if d := cmp.Diff(k.Keys().Files(), onDisk.Files()); d != "" || len(onDisk.Missing()) > 0 {
		c.Errorf("the directory holds other keys than the server (-server +directory)\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(dir, "staged.json")); !errors.Is(err, os.ErrNotExist) {
		c.Errorf("keys are still staged: %v", err)
	}
	return k
}

// token makes one of a server that runs.
func (c *cluster) token(k *keystore.Keystore, ttl time.Duration) string {
	c.Helper()
	t, _, err := k.Create(c.Context(), ttl)
	if err != nil {
		c.Fatal(err)
	}
	return t.Format()
}

func (c *cluster) same(a, b *keystore.Keystore) {
	c.Helper()
	if d := cmp.Diff(a.Keys().Files(), b.Keys().Files()); d != "" {
		c.Errorf("two servers have different keys\n%s", d)
	}
}

// refused checks that a start fails as it should, and says how to go on without
// telling a secret.
func (c *cluster) refused(dir, token string, want error, remedy string) {
	c.Helper()
	_, err := c.open(dir, token)
	if !errors.Is(err, want) {
		c.Fatalf("got %v, want %v", err, want)
	}
	if !strings.Contains(err.Error(), remedy) {
		c.Errorf("%q does not name %q", err, remedy)
	}
	if parts := strings.Split(token, "."); len(parts) > 2 && strings.Contains(err.Error(), parts[len(parts)-1]) {
		c.Error("the error tells the token's secret")
	}
}

func TestSecondServerNeedsOnlyAToken(t *testing.T) {
	c := newCluster(t)
	one, two := t.TempDir(), t.TempDir()
	a := c.start(one, "")
	c.refused(two, "", keystore.ErrNoToken, "--token-file")
	if left, err := os.ReadDir(two); err != nil || len(left) > 0 {
		t.Errorf("a server that was refused left %v, %v", left, err)
	}
	token := c.token(a, time.Hour)
	b := c.start(two, token)
	c.same(a, b)
	// From now on it needs none, and nobody asks for it.
	again, err := keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: two, Token: func() (string, error) { return "", errors.New("asked") }})
	if err != nil {
		t.Fatal(err)
	}
	c.same(a, again)
	// The one that joined gives tokens, too; a lost directory is as an empty one.
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	c.refused(one, "", keystore.ErrNoToken, "--replace-keys")
	c.same(b, c.start(one, c.token(b, 0)))
}

// meeting is a store at which several servers arrive before any of them writes.
type meeting struct {
	keystore.Store
	arrive *sync.WaitGroup
}

func (m *meeting) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	m.arrive.Done()
	m.arrive.Wait()
	return m.Store.Commit(ctx, ops)
}

// TestServersThatBeginAtTheSameMomentAgree: with one token they have one set of
// keys; without, one of them has a cluster and the others say what they lack.
func TestServersThatBeginAtTheSameMomentAgree(t *testing.T) {
	const n = 5
	for _, withToken := range []bool{true, false} {
		t.Run(fmt.Sprintf("token=%v", withToken), func(t *testing.T) {
			c, token := newCluster(t), ""
			if withToken {
				tok, err := jointoken.NewServer()
				if err != nil {
					t.Fatal(err)
				}
				token = tok.Format()
			}
			var arrive, all sync.WaitGroup
			arrive.Add(n)
			dirs, got, errs := [n]string{}, [n]*keystore.Keystore{}, [n]error{}
			for i := range n {
				dirs[i] = t.TempDir()
				all.Go(func() {
					got[i], errs[i] = keystore.Open(t.Context(), keystore.Config{Store: &meeting{c.store, &arrive}, Dir: dirs[i], Token: text(token)})
				})
			}
			all.Wait()
			first := 0
			for i, err := range errs {
				switch {
				case err == nil:
					first++
					c.same(got[i], c.start(dirs[i], ""))
				case withToken || !errors.Is(err, keystore.ErrNoToken):
					t.Errorf("server %d: %v", i, err)
				}
			}
			if !withToken && first != 1 {
				t.Errorf("%d servers have begun a cluster, want one", first)
			}
			if withToken {
				for i := range n {
					c.same(got[0], got[i])
				}
			}
		})
	}
}

// unheard is a store whose answers to writes are lost.
type unheard struct{ keystore.Store }

func (u unheard) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	if _, err := u.Store.Commit(ctx, ops); err != nil {
		return 0, err
	}
	return 0, store.ErrUnavailable
}

// TestLostAnswer: the keys of a server that does not know whether it was first
// are not lost.
func TestLostAnswer(t *testing.T) {
	c, dir := newCluster(t), t.TempDir()
	_, err := keystore.Open(t.Context(), keystore.Config{Store: unheard{c.store}, Dir: dir})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	a := c.start(dir, "")
	c.same(a, c.start(t.TempDir(), c.token(a, 0)))
}

// TestCrash: a directory in which any of the files is missing, as a crash leaves
// it or as somebody removed them, has the cluster's keys after the next start, or
// that start says what it needs. It never has others.
func TestCrash(t *testing.T) {
	c, whole := newCluster(t), t.TempDir()
	a := c.start(whole, "")
	token := c.token(a, 0)
	staged, err := stagedOf(a)
	if err != nil {
		t.Fatal(err)
	}
	for there := range 1 << len(files) {
		for _, isStaged := range []bool{false, true} {
			var names []string
			for i, name := range files {
				if there&(1<<i) != 0 {
					names = append(names, name)
				}
			}
			t.Run(fmt.Sprintf("%v,staged=%v", names, isStaged), func(t *testing.T) {
				c := &cluster{T: t, store: c.store, clock: c.clock}
				left := func() string {
					dir := t.TempDir()
					for _, name := range names {
						write(t, filepath.Join(dir, name), a.Keys().Files()[name])
					}
					if isStaged {
						write(t, filepath.Join(dir, "staged.json"), staged)
					}
					return dir
				}
				if isStaged || len(names) == len(files) {
					c.same(a, c.start(left(), ""))
				} else {
					c.refused(left(), "", keystore.ErrNoToken, "--token-file")
				}
				c.same(a, c.start(left(), token))
				// Before the cluster has an identity: the first server crashed.
				fresh := newCluster(t)
				k, err := fresh.open(left(), "")
				switch {
				case err != nil && (isStaged || !halfAuthority(names)):
					t.Error(err)
				case err == nil && isStaged:
					c.same(a, k)
				case err == nil && halfAuthority(names):
					t.Error("half an authority was replaced")
				}
			})
		}
	}
}

// halfAuthority reports a certificate without its key, or a key without its
// certificate.
func halfAuthority(names []string) bool {
	half := func(authority string) bool {
		return slices.Contains(names, authority+".crt") != slices.Contains(names, authority+".key")
	}
	return half("ca") || half("kubelet-serving-ca")
}

// stagedOf is what a server writes before it installs keys.
func stagedOf(k *keystore.Keystore) ([]byte, error) { return keystore.Staged(k.Keys()) }

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTornStagedFile: one that cannot be read counts as none.
func TestTornStagedFile(t *testing.T) {
	c, dir := newCluster(t), t.TempDir()
	write(t, filepath.Join(dir, "staged.json"), []byte(`{"ca.crt": "LS0`))
	a := c.start(dir, "")
	other := t.TempDir()
	write(t, filepath.Join(other, "staged.json"), []byte(`{"passwd": ""}`))
	c.same(a, c.start(other, c.token(a, 0)))
}

func TestOtherKeys(t *testing.T) {
	c, stranger := newCluster(t), t.TempDir()
	a := c.start(t.TempDir(), "")
	token := c.token(a, 0)
	newCluster(t).start(stranger, "")
	c.refused(stranger, "", keystore.ErrOtherKeys, stranger)
	c.refused(stranger, token, keystore.ErrOtherKeys, "pintle token create --server")

	// It may take the cluster over, when it is told to; then the others may not.
	k, err := keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: stranger, Replace: true, Clock: c.clock})
	if err != nil {
		t.Fatal(err)
	}
	c.same(k, c.start(stranger, ""))
	c.refused(t.TempDir(), token, keystore.ErrWrongToken, "pintle token create --server")
	next := c.token(k, 0)
	if _, err = keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: stranger, Replace: true, Clock: c.clock}); err != nil {
		t.Fatal(err)
	}
	c.same(k, c.start(t.TempDir(), next)) // the flag that was left changed nothing
}

// TestReplaceLostKeys: without any keys new ones begin.
func TestReplaceLostKeys(t *testing.T) {
	c, dir := newCluster(t), t.TempDir()
	a := c.start(t.TempDir(), "")
	k, err := keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: dir, Replace: true, Clock: c.clock})
	if err != nil {
		t.Fatal(err)
	}
	c.same(k, c.start(dir, ""))
	for name, sum := range a.Keys().Fingerprints() {
		if k.Keys().Fingerprints()[name] == sum {
			t.Errorf("%s is the old one", name)
		}
	}
}

// TestOneReplacesTheKeys: of servers that are told to replace the keys at the same
// time, whether they meet at the store or begin one after another, one does; the
// others say how to go on.
func TestOneReplacesTheKeys(t *testing.T) {
	for _, meet := range []bool{true, false} {
		c := newCluster(t)
		c.start(t.TempDir(), "")
		var arrive, all sync.WaitGroup
		arrive.Add(2)
		dirs, got, errs := [2]string{t.TempDir(), t.TempDir()}, [2]*keystore.Keystore{}, [2]error{}
		replace := func(i int, s keystore.Store) {
			got[i], errs[i] = keystore.Open(t.Context(), keystore.Config{Store: s, Dir: dirs[i], Replace: true, Clock: c.clock})
		}
		for i := range 2 {
			if meet {
				all.Go(func() { replace(i, &meeting{c.store, &arrive}) })
			} else {
				replace(i, c.store)
			}
		}
		all.Wait()
		winner := slices.Index(errs[:], nil)
		if winner < 0 || errs[1-winner] == nil {
			t.Fatalf("meet %v: %v", meet, errs)
		}
		if err := errs[1-winner]; !errors.Is(err, keystore.ErrReplaced) || !strings.Contains(err.Error(), "--token-file") {
			t.Errorf("meet %v: %v", meet, err)
		}
		k := c.start(dirs[winner], "")
		c.same(k, got[winner])
		c.same(k, c.start(t.TempDir(), c.token(k, 0)))
		// The flag that was left there changes nothing; later it is meant.
		replace(winner, c.store)
		if errs[winner] != nil {
			t.Errorf("started again: %v", errs[winner])
		}
		c.clock.Step(time.Hour)
		if replace(1-winner, c.store); errs[1-winner] != nil {
			t.Errorf("an hour later: %v", errs[1-winner])
		}
	}
}

// TestReplacedWhileItRuns: a server whose keys are the cluster's no longer gives no
// tokens, and ends.
func TestReplacedWhileItRuns(t *testing.T) {
	c := newCluster(t)
	a := c.start(t.TempDir(), "")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Watch(ctx) }()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended as it should: %v", err)
	}
	go func() { ended <- a.Watch(t.Context()) }()
	if _, err := keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: t.TempDir(), Replace: true, Clock: c.clock}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Create(t.Context(), 0); !errors.Is(err, keystore.ErrOtherKeys) {
		t.Errorf("made a token: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // for another goroutine to wait at the clock
		select {
		case err := <-ended:
			if !errors.Is(err, keystore.ErrOtherKeys) || !strings.Contains(err.Error(), "--token-file") {
				t.Errorf("got %v", err)
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("it runs on")
		}
		if c.clock.HasWaiters() {
			c.clock.Step(2 * time.Minute)
		}
	}
}

// TestObjectsWithoutAnIdentity: a store that a version without identities wrote
// is a cluster too. Only a server with all of its keys says which they are; new
// ones would shut all others out.
func TestObjectsWithoutAnIdentity(t *testing.T) {
	tok, err := jointoken.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	written := func(t *testing.T) *cluster {
		c := newCluster(t)
		if _, err := c.store.Commit(t.Context(), []store.Op{{Key: "/registry/namespaces/default", Value: []byte("{}"), Expect: store.Absent}}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := newCluster(t).start(t.TempDir(), "").Keys()
	for _, token := range []string{"", tok.Format()} {
		c, dir := written(t), t.TempDir()
		c.refused(dir, token, keystore.ErrNoIdentity, "--replace-keys")
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("a server that was refused left %v, %v", left, err)
		}
		for name, b := range before.Files() {
			write(t, filepath.Join(dir, name), b)
		}
		if err := os.Remove(filepath.Join(dir, "sa.key")); err != nil {
			t.Fatal(err)
		}
		c.refused(dir, token, keystore.ErrNoIdentity, "sa.key")
		write(t, filepath.Join(dir, "sa.key"), before.Files()["sa.key"])
		if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
			t.Fatal(err)
		}
		c.refused(dir, token, keystore.ErrNoIdentity, "ca.crt")
		write(t, filepath.Join(dir, "ca.crt"), before.Files()["ca.crt"])
		if d := cmp.Diff(before.Files(), c.start(dir, token).Keys().Files()); d != "" {
			t.Errorf("a server with all keys has others now\n%s", d)
		}
		c.refused(t.TempDir(), "", keystore.ErrNoToken, "--token-file")
	}
	c, dir := written(t), t.TempDir()
	k, err := keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: dir, Replace: true, Clock: c.clock})
	if err != nil {
		t.Fatal(err)
	}
	c.same(k, c.start(dir, ""))
}

// overtaken is a store in which another server begins the cluster, and writes
// objects, just before the first read.
type overtaken struct {
	keystore.Store
	other func()
}

func (o *overtaken) Get(ctx context.Context, key string) (store.KV, bool, int64, error) {
	kv, ok, revision, err := o.Store.Get(ctx, key)
	if other := o.other; other != nil {
		o.other = nil
		other()
	}
	return kv, ok, revision, err
}

// TestAnotherBeginsMeanwhile: its objects are no reason to refuse who comes with
// its token.
func TestAnotherBeginsMeanwhile(t *testing.T) {
	tok, err := jointoken.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	var first *keystore.Keystore
	s := &overtaken{c.store, func() {
		first = c.start(t.TempDir(), tok.Format())
		if _, err := c.store.Commit(t.Context(), []store.Op{{Key: "/registry/namespaces/default", Value: []byte("{}"), Expect: store.Absent}}); err != nil {
			t.Error(err)
		}
	}}
	k, err := keystore.Open(t.Context(), keystore.Config{Store: s, Dir: t.TempDir(), Token: text(tok.Format()), Clock: c.clock})
	if err != nil {
		t.Fatal(err)
	}
	c.same(first, k)
}

// TestNoSecretInTheStore: whoever reads the store has no private key and no
// token's secret.
func TestNoSecretInTheStore(t *testing.T) {
	c := newCluster(t)
	a := c.start(t.TempDir(), "")
	tok, err := jointoken.ParseServer(c.token(a, 0))
	if err != nil {
		t.Fatal(err)
	}
	kvs, _, _, err := c.store.List(t.Context(), "", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(kvs) != 3 {
		t.Errorf("%d entries, want the identity, one copy and whose turn it was", len(kvs))
	}
	for _, kv := range kvs {
		if !strings.HasPrefix(kv.Key, keystore.Prefix) {
			t.Errorf("%s is not below %s", kv.Key, keystore.Prefix)
		}
		if bytes.Contains(kv.Value, tok.Secret) || strings.Contains(string(kv.Value), strings.Split(tok.Format(), ".")[2]) {
			t.Errorf("%s tells the token's secret", kv.Key)
		}
		for name, pem := range a.Keys().Files() {
			if secret := bytes.Split(pem, []byte("\n"))[1]; strings.HasSuffix(name, ".key") && bytes.Contains(kv.Value, secret) {
				t.Errorf("%s tells %s", kv.Key, name)
			}
		}
	}
}

package keystore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/keystore"
	"github.com/pintle-io/pintle/kernel/store"
)

// entry is where the copy for a token is.
func entry(token string) string { return keystore.Prefix + "sealed/" + strings.Split(token, ".")[1] }

// change makes a copy say something else, as who writes the store can.
func (c *cluster) change(key string, f func(m map[string]any)) {
	c.Helper()
	kv, ok, _, err := c.store.Get(c.Context(), key)
	if err != nil || !ok {
		c.Fatalf("%s: %v, %v", key, ok, err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(kv.Value, &m); err != nil {
		c.Fatal(err)
	}
	f(m)
	b, err := json.Marshal(m)
	if err != nil {
		c.Fatal(err)
	}
	if _, err := c.store.Commit(c.Context(), []store.Op{{Key: key, Value: b, Expect: store.Any}}); err != nil {
		c.Fatal(err)
	}
}

func TestWrongTokens(t *testing.T) {
	const remedy = "pintle token create --server"
	for name, prepare := range map[string]func(c *cluster, a *keystore.Keystore) (token string){
		"of another cluster": func(*cluster, *keystore.Keystore) string {
			tok, _ := jointoken.NewServer()
			return tok.Format()
		},
		"with another secret": func(c *cluster, a *keystore.Keystore) string {
			tok, _ := jointoken.ParseServer(c.token(a, 0))
			tok.Secret[0] ^= 1
			return tok.Format()
		},
		"that has run out": func(c *cluster, a *keystore.Keystore) string {
			token := c.token(a, time.Hour)
			c.clock.SetTime(c.clock.Now().Add(time.Hour + time.Second))
			return token
		},
		"that was deleted": func(c *cluster, a *keystore.Keystore) string {
			token := c.token(a, 0)
			if err := a.Delete(c.Context(), strings.Split(token, ".")[1]); err != nil {
				c.Error(err)
			}
			return token
		},
		"that was made to last longer": func(c *cluster, a *keystore.Keystore) string {
			token := c.token(a, time.Hour)
			c.change(entry(token), func(m map[string]any) { m["expires"] = "2099-01-01T00:00:00Z" })
			return token
		},
		"that was made to last for ever": func(c *cluster, a *keystore.Keystore) string {
			token := c.token(a, time.Hour)
			c.change(entry(token), func(m map[string]any) { delete(m, "expires") })
			return token
		},
		"whose copy is another token's": func(c *cluster, a *keystore.Keystore) string {
			token, other := c.token(a, 0), c.token(a, 0)
			kv, _, _, err := c.store.Get(c.Context(), entry(other))
			if err != nil {
				c.Fatal(err)
			}
			if _, err := c.store.Commit(c.Context(), []store.Op{{Key: entry(token), Value: kv.Value, Expect: store.Any}}); err != nil {
				c.Fatal(err)
			}
			return token
		},
		"whose copy was damaged": func(c *cluster, a *keystore.Keystore) string {
			token := c.token(a, 0)
			c.change(entry(token), func(m map[string]any) { m["box"] = "AAAA" + m["box"].(string)[4:] })
			return token
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			token := prepare(c, c.start(t.TempDir(), ""))
			c.refused(t.TempDir(), token, keystore.ErrWrongToken, remedy)
		})
	}
}

// TestTokensThatAreNone: the text is no token of a server.
func TestTokensThatAreNone(t *testing.T) {
	c := newCluster(t)
	c.start(t.TempDir(), "")
	for _, token := range []string{"hello", "pk1.abcdef.0123456789abcdef." + strings.Repeat("0a", 32)} {
		_, err := c.open(t.TempDir(), token)
		if err == nil || !strings.Contains(err.Error(), "--token-file") || !strings.Contains(err.Error(), "pintle token create --server") {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// TestRotation: a new token and the end of the old one leave servers that joined
// as they are.
func TestRotation(t *testing.T) {
	c := newCluster(t)
	a := c.start(t.TempDir(), "")
	old, joined := c.token(a, 0), t.TempDir()
	b := c.start(joined, old)
	next := c.token(b, 0)
	if err := a.Delete(t.Context(), strings.Split(old, ".")[1]); err != nil {
		t.Fatal(err)
	}
	c.refused(t.TempDir(), old, keystore.ErrWrongToken, "deleted")
	c.same(a, c.start(t.TempDir(), next))
	c.same(a, c.start(joined, old))
}

func TestTokensRunOut(t *testing.T) {
	c := newCluster(t)
	a := c.start(t.TempDir(), "")
	brief, lasting := c.token(a, time.Hour), c.token(a, 0)
	c.clock.SetTime(c.clock.Now().Add(2 * time.Hour))
	l, err := a.List(t.Context())
	if err != nil || len(l) != 1 || l[0].ID != strings.Split(lasting, ".")[1] {
		t.Errorf("got %v, %v", l, err)
	}
	if err := a.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]bool{brief: false, lasting: true} {
		if _, ok, _, err := c.store.Get(t.Context(), entry(token)); err != nil || ok != want {
			t.Errorf("%s is there: %v, %v, want %v", entry(token), ok, err, want)
		}
	}
}

// TestRunSweeps: by the clock of the server, whoever lists tokens or not.
func TestRunSweeps(t *testing.T) {
	c := newCluster(t)
	a := c.start(t.TempDir(), "")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	token := c.token(a, time.Hour)
	there := func() bool {
		_, ok, _, err := c.store.Get(t.Context(), entry(token))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for deadline := time.Now().Add(time.Minute); there(); time.Sleep(time.Millisecond) { // for another goroutine to wait at the clock
		if time.Now().After(deadline) {
			t.Fatal("a token that has run out is still there")
		}
		if c.clock.HasWaiters() {
			c.clock.Step(2 * time.Hour)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTokensAreBounded(t *testing.T) {
	c := newCluster(t)
	a := c.start(t.TempDir(), "")
	for range keystore.MaxTokens {
		c.token(a, time.Hour)
	}
	if _, _, err := a.Create(t.Context(), 0); !errors.Is(err, keystore.ErrTooMany) {
		t.Errorf("got %v, want %v", err, keystore.ErrTooMany)
	}
	c.clock.SetTime(c.clock.Now().Add(2 * time.Hour))
	c.token(a, 0)
}

func TestHandler(t *testing.T) {
	c := newCluster(t)
	h := c.start(t.TempDir(), "").Handler([]string{"http://10.0.0.5:2379"})
	ask := func(method, query string, want int) *httptest.ResponseRecorder {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, keystore.TokensPath+query, nil))
		if w.Code != want {
			t.Fatalf("%s %s: %d %s, want %d", method, query, w.Code, w.Body, want)
		}
		return w
	}
	var made keystore.Created
	if err := json.Unmarshal(ask("POST", "?ttl=1h", 200).Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	if want := c.clock.Now().Add(time.Hour); !made.Expires.Equal(want) || !cmp.Equal(made.EtcdEndpoints, []string{"http://10.0.0.5:2379"}) {
		t.Errorf("got %+v, want the end %s", made.Info, want)
	}
	c.start(t.TempDir(), made.Token)
	secret := strings.Split(made.Token, ".")[2]
	if list := ask("GET", "", 200).Body.String(); !strings.Contains(list, made.ID) || strings.Contains(list, secret) {
		t.Errorf("listed as %s", list)
	}
	for _, query := range []string{"", "?ttl=soon", "?ttl=-1h"} {
		ask("POST", query, http.StatusBadRequest)
	}
	ask("PUT", "", http.StatusMethodNotAllowed)
	ask("DELETE", "?id="+made.ID, 200)
	for _, id := range []string{made.ID, "", "../identity", "%2e%2e/identity"} {
		ask("DELETE", "?id="+id, http.StatusNotFound)
	}
	if list := ask("GET", "", 200).Body.String(); strings.TrimSpace(list) != "[]" {
		t.Errorf("left: %s", list)
	}
}

// TestDamagedCopy: one that cannot be read is listed as such and can be removed; it
// is in nobody's way.
func TestDamagedCopy(t *testing.T) {
	for _, bad := range []string{"{", "null", "[]", "\x00\xff", `{"version":1,"expires":"yesterday"}`} {
		c := newCluster(t)
		k := c.start(t.TempDir(), "")
		good, damaged := c.token(k, time.Hour), c.token(k, time.Hour)
		id := strings.Split(damaged, ".")[1]
		if _, err := c.store.Commit(t.Context(), []store.Op{{Key: entry(damaged), Value: []byte(bad), Expect: store.Any}}); err != nil {
			t.Fatal(err)
		}
		list := func() (out string) {
			l, err := k.List(t.Context())
			if err != nil {
				t.Fatalf("%q: %v", bad, err)
			}
			for _, i := range l {
				out += fmt.Sprint(i.ID == id, i.Damaged, " ")
			}
			return out
		}
		if got := list(); got != "true true false false " && got != "false false true true " {
			t.Errorf("%q: listed %s", bad, got)
		}
		if err := k.Sweep(t.Context()); err != nil {
			t.Errorf("%q: %v", bad, err)
		}
		c.token(k, time.Hour)
		c.start(t.TempDir(), good)
		c.refused(t.TempDir(), damaged, keystore.ErrWrongToken, "pintle token delete "+id)
		if err := k.Delete(t.Context(), id); err != nil {
			t.Errorf("%q: %v", bad, err)
		}
		if got := list(); got != "false false false false " {
			t.Errorf("%q: left %s", bad, got)
		}
		if _, err := c.store.Commit(t.Context(), []store.Op{{Key: keystore.Prefix + "sealed/x/y", Value: []byte(bad), Expect: store.Any}}); err != nil {
			t.Fatal(err)
		}
		if _, err := keystore.Open(t.Context(), keystore.Config{Store: c.store, Dir: t.TempDir(), Replace: true, Clock: c.clock}); err != nil {
			t.Errorf("%q: replacing the keys: %v", bad, err)
		}
		if got := list(); got != "" {
			t.Errorf("%q: after the keys were replaced there is %s", bad, got)
		}
	}
}

// TestTokensAreBoundedTogether: however many servers make them at the same moment.
func TestTokensAreBoundedTogether(t *testing.T) {
	c := newCluster(t)
	k := c.start(t.TempDir(), "")
	for range keystore.MaxTokens - 5 {
		c.token(k, time.Hour)
	}
	const n = 20
	errs := make(chan error, n)
	for range n {
		go func() { _, _, err := k.Create(t.Context(), time.Hour); errs <- err }()
	}
	made := 0
	for range n {
		switch err := <-errs; {
		case err == nil:
			made++
		case !errors.Is(err, keystore.ErrTooMany):
			t.Error(err)
		}
	}
	if made != 5 {
		t.Errorf("%d were made, there was room for 5", made)
	}
}

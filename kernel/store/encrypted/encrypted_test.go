package encrypted_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/encrypted"
	"github.com/pintle-io/pintle/kernel/store/encrypted/kmstest"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/store/storetest"
)

var secrets = schema.GroupResource{Resource: "secrets"}

// key is a key of 32 bytes for a configuration.
func key(name string) string {
	return fmt.Sprintf("{name: %s, secret: %s}", name, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(name)[:1], 32)))
}

func local(provider string, keys ...string) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = key(k)
	}
	return fmt.Sprintf("%s: {keys: [%s]}", provider, strings.Join(all, ", "))
}

func kms(name, endpoint string) string {
	return fmt.Sprintf("kms: {apiVersion: v2, name: %s, endpoint: %q, timeout: 3s}", name, endpoint)
}

// config writes a configuration for secrets with these providers.
func config(t testing.TB, providers ...string) string {
	t.Helper()
	return write(t, head+"resources:\n- resources: [secrets]\n  providers:\n  - "+strings.Join(providers, "\n  - ")+"\n")
}

const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"

func write(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "encryption.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// open wraps s by a configuration; every key is a secret's.
func open(t testing.TB, s store.Store, providers ...string) store.Store {
	t.Helper()
	p, err := encrypted.Open(encrypted.Config{File: config(t, providers...)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return encrypted.Wrap(s, func(string) value.Transformer { return p.For(secrets) })
}

// With every provider in between, a store is what it was.
func TestSuite(t *testing.T) {
	plugin := kmstest.Start(t, "k1")
	for name, provider := range map[string]string{
		"identity": "identity: {}", "aescbc": local("aescbc", "a"), "aesgcm": local("aesgcm", "a"), "secretbox": local("secretbox", "a"), "kms": kms("suite", plugin.Endpoint),
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				s := open(t, memory.New(), provider)
				t.Cleanup(func() { s.Close() })
				return s
			})
		})
	}
}

const plain = "k8s\x00 hunter2 and more"

func put(t testing.TB, s store.Store, key string) {
	t.Helper()
	if _, err := s.Commit(t.Context(), []store.Op{{Key: key, Value: []byte(plain), Expect: store.Any}}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s store.Store, key string) store.KV {
	t.Helper()
	kv, ok, _, err := s.Get(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("%s: %v %v", key, ok, err)
	}
	return kv
}

// What is in the store begins as upstream's does and has no plaintext; it is read by
// any provider of the list, is stale unless the first wrote it, and is bound to its key.
func TestRotation(t *testing.T) {
	plugin := kmstest.Start(t, "k1")
	raw := memory.New()
	const at = "/registry/secrets/default/a"
	steps := []struct {
		prefix    string
		providers []string
	}{
		{"k8s\x00", []string{"identity: {}"}},
		{"k8s:enc:aescbc:v1:b:", []string{local("aescbc", "b"), "identity: {}"}},
		{"k8s:enc:aescbc:v1:c:", []string{local("aescbc", "c", "b")}},
		{"k8s:enc:aesgcm:v1:d:", []string{local("aesgcm", "d"), local("aescbc", "c")}},
		{"k8s:enc:secretbox:v1:e:", []string{local("secretbox", "e"), local("aesgcm", "d")}},
		{"k8s:enc:kms:v2:rot:", []string{kms("rot", plugin.Endpoint), local("secretbox", "e")}},
		{"k8s\x00", []string{"identity: {}", kms("rot", plugin.Endpoint)}},
	}
	for i, step := range steps {
		s := open(t, raw, step.providers...)
		if i > 0 {
			if kv := get(t, s, at); string(kv.Value) != plain || !kv.Stale || kv.Err != nil {
				t.Fatalf("%q: read what the one before wrote: %q, stale %v, %v", step.prefix, kv.Value, kv.Stale, kv.Err)
			}
		}
		put(t, s, at)
		if kv := get(t, s, at); string(kv.Value) != plain || kv.Stale {
			t.Errorf("%q: read %q, stale %v", step.prefix, kv.Value, kv.Stale)
		}
		stored := get(t, raw, at).Value
		if !bytes.HasPrefix(stored, []byte(step.prefix)) || bytes.Contains(stored, []byte("hunter2")) != (step.prefix == "k8s\x00") {
			t.Errorf("stored %q, want it to begin with %q", stored, step.prefix)
		}
		if step.prefix == "k8s\x00" || strings.Contains(step.prefix, "aescbc") || strings.Contains(step.prefix, "secretbox") {
			continue // these, as upstream's, are not bound to the key
		}
		if _, err := raw.Commit(t.Context(), []store.Op{{Key: at + "-moved", Value: stored, Expect: store.Any}}); err != nil {
			t.Fatal(err)
		}
		if kv := get(t, s, at+"-moved"); kv.Err == nil || kv.Value != nil {
			t.Errorf("%q: moved to another key: %q, %v", step.prefix, kv.Value, kv.Err)
		}
	}
}

// A value that cannot be decrypted is an error of its own, which names the key and not
// the value; the others are read, in lists, watches and conflicts.
func TestUnreadable(t *testing.T) {
	raw := memory.New()
	put(t, open(t, raw, local("aesgcm", "a")), "/s/lost")
	s := open(t, raw, local("aesgcm", "b"), "identity: {}")
	put(t, s, "/s/new")
	check := func(what string, kv store.KV) {
		t.Helper()
		if kv.Key == "/s/new" {
			if string(kv.Value) != plain || kv.Err != nil {
				t.Errorf("%s: %q %v", what, kv.Value, kv.Err)
			}
			return
		}
		if !errors.Is(kv.Err, store.ErrUnreadable) || kv.Value != nil || !strings.Contains(kv.Err.Error(), `"/s/lost"`) || strings.Contains(kv.Err.Error(), "hunter2") {
			t.Errorf("%s: %q %v", what, kv.Value, kv.Err)
		}
	}
	check("get", get(t, s, "/s/lost"))
	kvs, _, _, err := s.List(t.Context(), "/s/", store.ListOptions{})
	if err != nil || len(kvs) != 2 {
		t.Fatalf("%v %v", kvs, err)
	}
	for _, kv := range kvs {
		check("list", kv)
	}
	w := s.Watch(t.Context(), "", 0)
	for seen := 0; seen < 2; {
		for _, e := range (<-w.Batches()).Events {
			check("watch", e.KV)
			seen++
		}
	}
	_, err = s.Commit(t.Context(), []store.Op{{Key: "/s/lost", Value: []byte("x"), Expect: store.Absent}})
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatal(err)
	}
	check("conflict", conflict.Current)
	if kvs, _, _, err = s.List(t.Context(), "/s/", store.ListOptions{KeysOnly: true}); err != nil || len(kvs) != 2 || kvs[0].Err != nil {
		t.Errorf("keys only: %v %v", kvs, err)
	}
}

// A key service that fails fails the commit whole, before anything is written; what it
// encrypted is read while its key is remembered, and one service's key is asked for once.
func TestKMS(t *testing.T) {
	plugin := kmstest.Start(t, "k1")
	raw := memory.New()
	s := open(t, raw, kms("one", plugin.Endpoint))
	for i := range 20 {
		put(t, s, fmt.Sprintf("/s/%d", i))
	}
	if c := plugin.Calls(); c.Encrypt != 1 || c.Decrypt != 0 {
		t.Errorf("20 writes made %+v", c)
	}
	// A server that starts later asks for the key of all of them once.
	later := open(t, raw, kms("two", plugin.Endpoint), strings.Replace(kms("one", plugin.Endpoint), "3s", "2s", 1))
	for i := range 20 {
		if kv := get(t, later, fmt.Sprintf("/s/%d", i)); string(kv.Value) != plain || !kv.Stale {
			t.Fatalf("%+v", kv)
		}
	}
	if c := plugin.Calls(); c.Decrypt != 1 {
		t.Errorf("20 reads made %+v", c)
	}
	plugin.Break(errors.New("away"))
	if kv := get(t, later, "/s/1"); string(kv.Value) != plain {
		t.Errorf("the key is remembered: %v", kv.Err)
	}
	cold := open(t, raw, kms("one", plugin.Endpoint))
	before, _ := raw.Revision(t.Context())
	_, err := cold.Commit(t.Context(), []store.Op{{Key: "/s/a", Value: []byte("x"), Expect: store.Any}, {Key: "/s/b", Value: []byte("x"), Expect: store.Any}})
	if after, _ := raw.Revision(t.Context()); err == nil || after != before {
		t.Errorf("written without a key: %v, revision %d to %d", err, before, after)
	}
	if kv := get(t, cold, "/s/1"); !errors.Is(kv.Err, store.ErrUnreadable) {
		t.Errorf("read without a key: %+v", kv)
	}
}

// What is wrong with a configuration is said by the name of its field.
func TestConfigErrors(t *testing.T) {
	providers := func(p string) string {
		return head + "resources:\n- resources: [secrets]\n  providers:\n  - " + p + "\n"
	}
	for name, tc := range map[string]struct{ text, want string }{
		"empty":          {"", "is empty"},
		"no YAML":        {"{{{", "error decoding"},
		"other kind":     {"apiVersion: v1\nkind: Secret\n", "no kind"},
		"unknown field":  {head + "resourcess: []\n", `unknown field "resourcess"`},
		"no resources":   {head, "resources: Required value"},
		"no providers":   {head + "resources:\n- resources: [secrets]\n", "resources[0].providers: Required value"},
		"two in one":     {providers("identity: {}\n    " + local("aescbc", "a")), "resources[0].providers[0]"},
		"short key":      {providers("aescbc: {keys: [{name: a, secret: c2hvcnQ=}]}"), "resources[0].providers[0].aescbc.keys[0].secret"},
		"no base64":      {providers("aesgcm: {keys: [{name: a, secret: '!'}]}"), "resources[0].providers[0].aesgcm.keys[0].secret"},
		"no key name":    {providers("secretbox: {keys: [{secret: c2hvcnQ=}]}"), "resources[0].providers[0].secretbox.keys[0].name"},
		"KMS over TCP":   {providers("kms: {apiVersion: v2, name: k, endpoint: 'tcp://1.2.3.4:1'}"), "resources[0].providers[0].kms.endpoint"},
		"KMS v1":         {providers("kms: {apiVersion: v1, name: k, endpoint: 'unix:///x', cachesize: 10}"), "KMS v1 is not supported"},
		"masked":         {strings.Replace(providers("identity: {}"), "[secrets]", "['*.*', secrets]", 1), "resources[0].resources"},
		"events.k8s.io":  {strings.Replace(providers("identity: {}"), "[secrets]", "[events.events.k8s.io]", 1), "resources[0].resources[0]"},
		"very long file": {providers("identity: {}") + strings.Repeat("#", 1<<20), "limit is 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := encrypted.Open(encrypted.Config{File: write(t, tc.text)}, "test")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
	if _, err := encrypted.Open(encrypted.Config{Reload: true}, "test"); err == nil || !strings.Contains(err.Error(), "--encryption-provider-config") {
		t.Errorf("reload of nothing: %v", err)
	}
	if _, err := encrypted.Open(encrypted.Config{File: t.TempDir()}, "test"); err == nil {
		t.Error("a directory was read")
	}
}

// Wildcards choose, the first entry that fits counts.
func TestWildcards(t *testing.T) {
	text := head + "resources:\n"
	for i, r := range []string{"secrets", "'*.'", "'*.apps'", "'*.*'"} {
		text += "- resources: [" + r + "]\n  providers:\n  - " + local("aescbc", string(rune('a'+i))) + "\n  - identity: {}\n"
	}
	p, err := encrypted.Open(encrypted.Config{File: write(t, text)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for gr, want := range map[schema.GroupResource]string{
		secrets: "a", {Resource: "configmaps"}: "b", {Group: "apps", Resource: "deployments"}: "c", {Group: "x.io", Resource: "widgets"}: "d",
	} {
		out, err := p.For(gr).TransformToStorage(t.Context(), []byte(plain), value.DefaultContext("k"))
		if err != nil || !bytes.HasPrefix(out, []byte("k8s:enc:aescbc:v1:"+want+":")) {
			t.Errorf("%s: %q %v, want key %s", gr, out, err, want)
		}
	}
}

// Without a configuration nothing is encrypted, and what is encrypted is no object.
func TestNone(t *testing.T) {
	p, err := encrypted.Open(encrypted.Config{}, "test")
	if err != nil {
		t.Fatal(err)
	}
	raw := memory.New()
	put(t, open(t, raw, local("aesgcm", "a")), "/s/a")
	s := encrypted.Wrap(raw, func(string) value.Transformer { return p.For(secrets) })
	put(t, s, "/s/b")
	if kv := get(t, raw, "/s/b"); string(kv.Value) != plain {
		t.Errorf("stored %q", kv.Value)
	}
	if kv := get(t, s, "/s/a"); !errors.Is(kv.Err, store.ErrUnreadable) || !strings.Contains(kv.Err.Error(), "identity transformer tried to read encrypted data") {
		t.Errorf("%+v", kv)
	}
	if len(p.Checks()) != 0 {
		t.Error("there is nothing to check")
	}
}

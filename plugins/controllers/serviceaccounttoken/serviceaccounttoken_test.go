package serviceaccounttoken

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk"
	authenticationv1 "github.com/pintle-io/pintle/sdk/api/authentication/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

const ca = "the CA"

func holder(name, account, uid string, data map[string][]byte) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Annotations: map[string]string{accountKey: account}}, Type: secretType, Data: data}
	if uid != "" {
		s.Annotations[uidKey] = uid
	}
	return s
}

func TestDecide(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "sa", UID: "u"}}
	full := map[string][]byte{tokenKey: []byte("t"), caKey: []byte(ca), namespaceKey: []byte("a")}
	but := func(key string, v []byte) map[string][]byte {
		m := maps.Clone(full)
		if m[key] = v; v == nil {
			delete(m, key)
		}
		return m
	}
	opaque, going := holder("s", "sa", "", nil), holder("s", "sa", "", nil)
	opaque.Type, going.DeletionTimestamp = "Opaque", new(metav1.Time)
	for name, tt := range map[string]struct {
		secret  *corev1.Secret
		account *corev1.ServiceAccount
		want    action
	}{
		"new":                      {holder("s", "sa", "", nil), account, fill},
		"full":                     {holder("s", "sa", "u", full), account, nothing},
		"without a token":          {holder("s", "sa", "u", but(tokenKey, nil)), account, fill},
		"with an empty token":      {holder("s", "sa", "u", but(tokenKey, []byte{})), account, fill},
		"without a namespace":      {holder("s", "sa", "u", but(namespaceKey, nil)), account, fill},
		"with another namespace":   {holder("s", "sa", "u", but(namespaceKey, []byte("b"))), account, nothing},
		"with another CA":          {holder("s", "sa", "u", but(caKey, []byte("other"))), account, fill},
		"of nobody":                {holder("s", "sa", "u", full), nil, remove},
		"of another of the name":   {holder("s", "sa", "v", full), account, remove},
		"of another type":          {opaque, nil, nothing},
		"without an account":       {holder("s", "", "", nil), nil, nothing},
		"that is being deleted":    {going, nil, nothing},
		"whose uid nobody told it": {holder("s", "sa", "", full), account, nothing},
	} {
		if got := decide(tt.secret, tt.account, []byte(ca)); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// tokens answers what is posted, as the API does.
func tokens(resource, subresource string, body []byte) (any, error) {
	var q authenticationv1.TokenRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	if resource != "v1/serviceaccounts" || subresource != "token" || q.Annotations[legacy] != "true" {
		return nil, errors.New("unexpected")
	}
	q.Status.Token = "of " + q.UID + " in " + q.Spec.BoundObjectRef.Name + " " + q.Spec.BoundObjectRef.UID
	return &q, nil
}

func newStore(t *testing.T, objects ...client.Object) *sdktest.Store {
	t.Helper()
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	s.Posted = tokens
	return s
}

func look(t *testing.T, s *sdktest.Store, name string) {
	t.Helper()
	if _, err := filler(ca).reconcile(s.Client(), controller.Request{Namespace: "a", Name: name}); err != nil {
		t.Fatal(err)
	}
}

// TestFills: a Secret is given what it lacks, once, and keeps the rest.
func TestFills(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "sa"}}
	s := newStore(t, account, holder("s", "sa", "", map[string][]byte{"other": []byte("x")}))
	look(t, s, "s")
	got := &corev1.Secret{}
	read := func() {
		t.Helper()
		if err := s.Client().Get(got, "a", "s"); err != nil {
			t.Fatal(err)
		}
	}
	read()
	want := "of " + account.UID + " in s " + got.UID
	if string(got.Data[tokenKey]) != want || string(got.Data[caKey]) != ca || string(got.Data[namespaceKey]) != "a" || string(got.Data["other"]) != "x" || got.Annotations[uidKey] != account.UID {
		t.Errorf("data %q, annotations %v", got.Data, got.Annotations)
	}
	was := got.ResourceVersion
	look(t, s, "s")
	if read(); got.ResourceVersion != was {
		t.Error("it is written again")
	}
	delete(got.Data, tokenKey)
	if err := s.Client().Update(got); err != nil {
		t.Fatal(err)
	}
	look(t, s, "s")
	if read(); string(got.Data[tokenKey]) != want {
		t.Errorf("a token that was removed comes back as %q", got.Data[tokenKey])
	}
}

// TestAccountGoes: its Secrets go with it, and no other's; those of another one of the
// name stay.
func TestAccountGoes(t *testing.T) {
	other := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "sa"}}
	full := map[string][]byte{tokenKey: []byte("t"), caKey: []byte(ca), namespaceKey: []byte("a")}
	s := newStore(t, other, holder("first", "sa", "u", full), holder("second", "sa", "u", nil), holder("others", "else", "w", full))
	mine := holder("mine", "sa", other.UID, full)
	if err := s.Client().Create(mine); err != nil {
		t.Fatal(err)
	}
	look(t, s, ofAccount+"sa")
	look(t, s, ofAccount+"sa")
	want := []string{"v1/secrets/a/mine", "v1/secrets/a/others", "v1/serviceaccounts/a/sa"}
	if got := s.Keys(); !slices.Equal(got, want) {
		t.Errorf("left: %v", got)
	}
	look(t, s, "others")
	if got := s.Keys(); len(got) != 2 {
		t.Errorf("left: %v", got)
	}
	look(t, s, "none")
}

// TestSecretGoes: its account refers to it no more, and goes on to refer to others.
func TestSecretGoes(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "sa"}, Secrets: []corev1.ObjectReference{{Name: "one"}, {Name: "gone"}, {Name: "here"}}}
	s := newStore(t, account, holder("here", "sa", "", nil))
	for _, name := range []string{"gone/sa", "here/sa", "gone/nobody"} {
		look(t, s, ofSecret+name)
	}
	if err := s.Client().Get(account, "a", "sa"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range account.Secrets {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "one here" {
		t.Errorf("it refers to %s", got)
	}
}

// TestNeedsTheCA: without it whoever has the token could not verify the server.
func TestNeedsTheCA(t *testing.T) {
	p, ok := sdk.Lookup("service-account-token")
	if !ok {
		t.Fatal("it is not registered")
	}
	for config, want := range map[string]bool{`{"ca":"x"}`: true, `{}`: false, `x`: false} {
		if _, err := p.New([]byte(config)); (err == nil) != want {
			t.Errorf("config %s: %v", config, err)
		}
	}
}

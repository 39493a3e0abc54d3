package bootstrapsigner

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newToken(id string, change map[string]string) *corev1.Secret {
	s := &corev1.Secret{Type: tokenType, Data: map[string][]byte{"token-id": []byte(id), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-signing": []byte("true")}}
	s.Namespace, s.Name = system, "bootstrap-token-"+id
	for k, v := range change {
		s.Data[k] = []byte(v)
	}
	return s
}

// TestSignature is upstream's example (cluster-bootstrap, token/jws).
func TestSignature(t *testing.T) {
	const want = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
	if got := sign("Hello from the other side. I must have called a thousand times.", "joshua", "my voice is my passcode"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestSigned: a signature for each token that may sign and has not run out, and no other.
func TestSigned(t *testing.T) {
	m := &corev1.ConfigMap{Data: map[string]string{kubeconfig: "clusters: []", "other": "x", signatureKey + "gone00": "y", signatureKey + "good00": "old"}}
	m.Namespace, m.Name = public, info
	other := newToken("other0", nil)
	other.Type = "Opaque"
	named := newToken("named0", nil)
	named.Name = "bootstrap-token-xxxxxx"
	elsewhere := newToken("elsewh", nil)
	elsewhere.Namespace = "default"
	s, err := sdktest.NewStore(m, newToken("good00", nil), newToken("later0", map[string]string{"expiration": "2026-01-01T12:10:00Z"}),
		newToken("later1", map[string]string{"expiration": "2026-01-01T13:00:00Z"}), newToken("ended0", map[string]string{"expiration": "2026-01-01T12:00:00Z"}),
		newToken("never0", map[string]string{"expiration": "soon"}), newToken("unused", map[string]string{"usage-bootstrap-signing": "false"}),
		newToken("empty0", map[string]string{"token-secret": ""}), other, named, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	sync := func(at time.Time) (*corev1.ConfigMap, time.Duration) {
		t.Helper()
		res, err := reconcile(s.Client(), at)
		if err != nil {
			t.Fatal(err)
		}
		got := &corev1.ConfigMap{}
		if err := s.Client().Get(got, public, info); err != nil {
			t.Fatal(err)
		}
		return got, res.RequeueAfter
	}
	keys := func(m *corev1.ConfigMap) string {
		return strings.Join(slices.Sorted(maps.Keys(m.Data)), " ")
	}
	first, again := sync(now)
	if got := keys(first); got != "jws-kubeconfig-good00 jws-kubeconfig-later0 jws-kubeconfig-later1 kubeconfig other" || again != 10*time.Minute {
		t.Errorf("%s, again after %v", got, again)
	}
	if got := first.Data[signatureKey+"good00"]; got != sign("clusters: []", "good00", "0123456789abcdef") {
		t.Errorf("signature %s", got)
	}
	if second, _ := sync(now); second.ResourceVersion != first.ResourceVersion {
		t.Error("it is written again")
	}
	third, again := sync(now.Add(10 * time.Minute))
	if got := keys(third); got != "jws-kubeconfig-good00 jws-kubeconfig-later1 kubeconfig other" || again != 50*time.Minute {
		t.Errorf("%s, again after %v", got, again)
	}
	bare := &corev1.ConfigMap{Data: map[string]string{signatureKey + "good00": "left"}}
	if _, _, changed := signed(bare.Data, nil, now); changed {
		t.Error("without a kubeconfig it is written")
	}
	if empty, err := sdktest.NewStore(); err != nil {
		t.Fatal(err)
	} else if _, err := reconcile(empty.Client(), now); err != nil {
		t.Errorf("without the ConfigMap: %v", err)
	}
}

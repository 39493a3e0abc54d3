package signer_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// token stores a join token and returns what a machine shows.
func token(t *testing.T, admin *kubernetes.Clientset, id string, uses int, data map[string]string) string {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: jointoken.SecretPrefix + id, Annotations: map[string]string{}}, Type: corev1.SecretTypeBootstrapToken,
		Data: map[string][]byte{"token-id": []byte(id), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-authentication": []byte("true")}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	jointoken.Ledger{Uses: uses}.Write(s.Annotations)
	if _, err := admin.CoreV1().Secrets("kube-system").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return id + ".0123456789abcdef"
}

// join asks for a node's client certificate.
func join(t *testing.T, cfg *rest.Config, name, node string) {
	t.Helper()
	r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{Request: request(t, &x509.CertificateRequest{Subject: nodeName(node)}), SignerName: clientSigner, Usages: clientUse}}
	if _, err := kerneltest.Client(t, cfg).CertificatesV1().CertificateSigningRequests().Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestTokenMakesAsManyNodesAsItSays(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	admin := kerneltest.Client(t, c.Admin())
	once := c.Bearer(token(t, admin, "once00", 1, nil))
	twice := c.Bearer(token(t, admin, "twice0", 2, nil))
	foreign := c.Bearer(token(t, admin, "kubead", 0, nil))
	if _, err := admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		who    *rest.Config
		node   string
		denied string // "" is signed
	}{
		{once, "old", "exists already"},
		{once, "a", ""},
		{once, "b", "has been used, by node a"},
		{twice, "a", "just been given"},
		{twice, "c", ""},
		{twice, "c", "just been given"},
		{twice, "d", ""},
		{twice, "e", "has been used, by node c, d"},
		{foreign, "f", ""},
		{foreign, "g", ""},
		{foreign, "g", "just been given"},
		{foreign, "old", "exists already"},
	} {
		t.Run(fmt.Sprintf("%d-%s", i, tt.node), func(t *testing.T) {
			name := fmt.Sprintf("csr-%d", i)
			join(t, tt.who, name, tt.node)
			got := awaitAnswer(t, admin, name, time.Minute)
			if tt.denied == "" {
				if len(got.Status.Certificate) == 0 {
					t.Fatalf("not signed: %+v", got.Status.Conditions)
				}
				return
			}
			if n := len(got.Status.Conditions); n != 1 || got.Status.Conditions[0].Type != certificatesv1.CertificateDenied || !strings.Contains(got.Status.Conditions[0].Message, tt.denied) {
				t.Errorf("got %+v, want it denied: %s", got.Status.Conditions, tt.denied)
			}
		})
	}
	// The node has yet to fetch its certificate, and no more.
	s, err := admin.CoreV1().Secrets("kube-system").Get(t.Context(), "bootstrap-token-once00", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	end, err := time.Parse(time.RFC3339, string(s.Data["expiration"]))
	if err != nil || time.Until(end) > 10*time.Minute {
		t.Errorf("a used token ends at %q (%v)", s.Data["expiration"], err)
	}
}

// TestPersonMayGiveANameAnew: what is refused to a token waits for people when
// somebody else asks.
func TestPersonMayGiveANameAnew(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{Follows: true})
	run(t, c)
	admin := kerneltest.Client(t, c.Admin())
	if _, err := admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	join(t, c.Admin(), "mine", "old")
	if got := awaitAnswer(t, admin, "mine", 300*time.Millisecond); len(got.Status.Conditions) > 0 {
		t.Errorf("got %+v, want no answer", got.Status.Conditions)
	}
}

func TestTokensThatRanOutAreDeleted(t *testing.T) {
	clk := testclock.NewFakeClock(time.Now())
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{Clock: clk}})
	admin := kerneltest.Client(t, c.Admin())
	at := func(d time.Duration) map[string]string {
		return map[string]string{"expiration": time.Now().Add(d).UTC().Format(time.RFC3339)}
	}
	token(t, admin, "ranout", 1, at(-time.Second))
	token(t, admin, "lasts0", 1, at(100*time.Hour))
	token(t, admin, "forev0", 1, nil)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		clk.Step(10 * time.Second) // it looks now and then
		_, err := admin.CoreV1().Secrets("kube-system").Get(t.Context(), "bootstrap-token-ranout", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the token is still there")
		}
	}
	for _, id := range []string{"lasts0", "forev0"} {
		if _, err := admin.CoreV1().Secrets("kube-system").Get(t.Context(), "bootstrap-token-"+id, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
}

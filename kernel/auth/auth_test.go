package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// whoami asks the server.
func whoami(t *testing.T, cfg *rest.Config) (authenticationv1.UserInfo, error) {
	t.Helper()
	r, err := kerneltest.Client(t, cfg).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return r.Status.UserInfo, nil
}

func TestCertificates(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	u, err := whoami(t, c.User(t, "ann", "dev", "ops"))
	if err != nil {
		t.Fatal(err)
	}
	want := authenticationv1.UserInfo{Username: "ann", Groups: []string{"dev", "ops", "system:authenticated"}}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
	stranger, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	serving, err := c.PKI.Issue(pki.Leaf{CommonName: "ann", Server: true})
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := c.PKI.Issue(pki.Leaf{Client: true})
	if err != nil {
		t.Fatal(err)
	}
	old, err := c.PKI.Issue(pki.Leaf{CommonName: "ann", Client: true, Lifetime: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*pki.Pair{"another authority": stranger.Admin(), "a serving certificate": serving, "no name": nameless, "expired": old} {
		cfg := c.Admin()
		cfg.CertData, cfg.KeyData = p.CertPEM, p.KeyPEM
		if _, err := whoami(t, cfg); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: got %v, want 401", name, err)
		}
	}
}

func TestBootstrapTokens(t *testing.T) {
	now := time.Now()
	clk := testclock.NewFakeClock(now)
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{Clock: clk}})
	secrets := kerneltest.Client(t, c.Admin()).CoreV1().Secrets("kube-system")
	const letters = "0123456789abcdef"
	add := func(id string, change func(s *corev1.Secret)) {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id}, Type: corev1.SecretTypeBootstrapToken, Data: map[string][]byte{
			"token-id": []byte(id), "token-secret": []byte(letters), "usage-bootstrap-authentication": []byte("true"),
			"expiration":        []byte(now.Add(time.Hour).Format(time.RFC3339)),
			"auth-extra-groups": []byte("system:bootstrappers:workers"),
		}}
		if change != nil {
			change(s)
		}
		if _, err := secrets.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	set := func(k, v string) func(*corev1.Secret) { return func(s *corev1.Secret) { s.Data[k] = []byte(v) } }
	add("aaaaaa", nil)
	add("bbbbbb", set("expiration", now.Add(-time.Minute).Format(time.RFC3339)))
	add("cccccc", set("expiration", "whenever"))
	add("dddddd", set("usage-bootstrap-authentication", "false"))
	add("eeeeee", set("auth-extra-groups", "system:masters"))
	add("ffffff", set("token-id", "gggggg"))
	add("hhhhhh", func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque })
	add("iiiiii", set("expiration", ""))
	tests := []struct {
		name, token string
		want        string
	}{
		{"valid", "aaaaaa." + letters, "system:bootstrap:aaaaaa"},
		{"without an end", "iiiiii." + letters, "system:bootstrap:iiiiii"},
		{"wrong secret", "aaaaaa.0123456789abcdee", ""},
		{"expired", "bbbbbb." + letters, ""},
		{"end cannot be read", "cccccc." + letters, ""},
		{"not for this use", "dddddd." + letters, ""},
		{"group outside of bootstrappers", "eeeeee." + letters, ""},
		{"other id inside", "ffffff." + letters, ""},
		{"other type", "hhhhhh." + letters, ""},
		{"unknown", "zzzzzz." + letters, ""},
		{"other form", "aaaaaa." + letters + "0", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := whoami(t, c.Bearer(tt.token))
			if tt.want == "" {
				if !apierrors.IsUnauthorized(err) {
					t.Errorf("got %+v, %v, want 401", u, err)
				}
				return
			}
			if err != nil || u.Username != tt.want || !strings.Contains(strings.Join(u.Groups, " "), "system:bootstrappers") {
				t.Errorf("got %+v, %v", u, err)
			}
		})
	}
	clk.Step(2 * time.Hour)
	if _, err := whoami(t, c.Bearer("aaaaaa."+letters)); !apierrors.IsUnauthorized(err) {
		t.Errorf("after its end: %v", err)
	}
}

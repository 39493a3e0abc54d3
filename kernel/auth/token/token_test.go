package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/kubernetes"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

var start = time.Now().Truncate(time.Second)

func setup(t *testing.T) (*kerneltest.Server, *kubernetes.Clientset, *testclock.FakeClock) {
	t.Helper()
	clk := testclock.NewFakeClock(start)
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{Clock: clk}})
	cs := kerneltest.Client(t, c.Admin())
	ctx := t.Context()
	if _, err := cs.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, sa := range map[string]string{"p": "sa", "other": "other"} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{ServiceAccountName: sa, NodeName: "n1", Containers: []corev1.Container{{Name: "c"}}}}
		if _, err := cs.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return c, cs, clk
}

func request(t *testing.T, cs *kubernetes.Clientset, s authenticationv1.TokenRequestSpec) (*authenticationv1.TokenRequest, error) {
	t.Helper()
	return cs.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "sa", &authenticationv1.TokenRequest{Spec: s}, metav1.CreateOptions{})
}

func issue(t *testing.T, cs *kubernetes.Clientset, s authenticationv1.TokenRequestSpec) string {
	t.Helper()
	r, err := request(t, cs, s)
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.Token
}

func bound(kind, name string) *authenticationv1.BoundObjectReference {
	return &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kind, Name: name}
}

func TestTokenIsItsAccount(t *testing.T) {
	c, cs, _ := setup(t)
	tok := issue(t, cs, authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "p")})
	me, err := kerneltest.Client(t, c.Bearer(tok)).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u := me.Status.UserInfo
	if u.Username != "system:serviceaccount:default:sa" || u.UID == "" {
		t.Errorf("user %+v", u)
	}
	if diff := cmp.Diff([]string{"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"}, u.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	for _, k := range []string{"pod-name", "pod-uid", "node-name", "node-uid", "credential-id"} {
		if len(u.Extra["authentication.kubernetes.io/"+k]) != 1 {
			t.Errorf("extra %s is missing: %v", k, u.Extra)
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	c, cs, clk := setup(t)
	ctx := t.Context()
	plain := issue(t, cs, authenticationv1.TokenRequestSpec{})
	podBound := issue(t, cs, authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "p")})
	vault := issue(t, cs, authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})
	parts := strings.Split(plain, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var m jwt.MapClaims
	if err := json.Unmarshal(claims, &m); err != nil {
		t.Fatal(err)
	}
	forged := jwt.NewWithClaims(jwt.SigningMethodES256, m)
	head, _, err := jwt.NewParser().ParseUnverified(plain, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	forged.Header["kid"] = head.Header["kid"]
	stranger, err := forged.SignedString(other)
	if err != nil {
		t.Fatal(err)
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, m).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	tampered := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(claims), "default", "kube-system"))) + "." + parts[2]

	accepted := func(tok string, aud ...string) bool {
		ctx := ctx
		if len(aud) > 0 {
			ctx = authenticator.WithAudiences(ctx, aud)
		}
		_, ok, err := c.Authn.AuthenticateToken(ctx, tok)
		return ok && err == nil
	}
	tests := []struct {
		name string
		tok  string
		aud  []string
		want bool
	}{
		{"valid", plain, nil, true},
		{"bound to a pod", podBound, nil, true},
		{"other audience", vault, nil, false},
		{"asked for that audience", vault, []string{"vault"}, true},
		{"tampered claims", tampered, nil, false},
		{"signed by a stranger", stranger, nil, false},
		{"not signed", none, nil, false},
		{"cut", plain[:len(plain)-4], nil, false},
		{"nonsense", "a.b.c", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := accepted(tt.tok, tt.aud...); got != tt.want {
				t.Errorf("accepted: got %v, want %v", got, tt.want)
			}
		})
	}
	if err := cs.CoreV1().Pods("default").Delete(ctx, "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if accepted(podBound) {
		t.Error("token outlives its pod")
	}
	if !accepted(plain) {
		t.Error("token without a pod ends with a pod")
	}
	clk.Step(59 * time.Minute)
	if !accepted(plain) {
		t.Error("token ends before its time")
	}
	clk.Step(2 * time.Minute)
	if accepted(plain) {
		t.Error("expired token is accepted")
	}
	fresh := issue(t, cs, authenticationv1.TokenRequestSpec{})
	if err := cs.CoreV1().ServiceAccounts("default").Delete(ctx, "sa", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if accepted(fresh) {
		t.Error("token outlives its account")
	}
	if _, err := cs.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if accepted(fresh) {
		t.Error("token passes to a new account of the same name")
	}
}

func TestTokenRequests(t *testing.T) {
	_, cs, _ := setup(t)
	seconds := func(n int64) *int64 { return &n }
	wrongUID := bound("Pod", "p")
	wrongUID.UID = "nope"
	webhook := &authenticationv1.BoundObjectReference{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration", Name: "w"}
	attestations := map[string]authenticationv1.AttestationValue{"admissionReviewAPIGroups": {"*"}}
	tests := []struct {
		name string
		spec authenticationv1.TokenRequestSpec
		is   func(error) bool
	}{
		{"too short", authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds(599)}, apierrors.IsInvalid},
		{"too long", authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds(1<<32 + 1)}, apierrors.IsInvalid},
		{"pod of another account", authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "other")}, apierrors.IsBadRequest},
		{"no such pod", authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "none")}, apierrors.IsNotFound},
		{"other uid", authenticationv1.TokenRequestSpec{BoundObjectRef: wrongUID}, apierrors.IsConflict},
		{"other kind", authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Service", "s")}, apierrors.IsBadRequest},
		{"webhook", authenticationv1.TokenRequestSpec{BoundObjectRef: webhook, Attestations: attestations}, apierrors.IsBadRequest},
		{"attestations of no webhook", authenticationv1.TokenRequestSpec{Attestations: attestations}, apierrors.IsInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := request(t, cs, tt.spec); !tt.is(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	r, err := request(t, cs, authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds(1200)})
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(20 * time.Minute); !r.Status.ExpirationTimestamp.Time.Equal(want) {
		t.Errorf("expires %s, want %s", r.Status.ExpirationTimestamp, want)
	}
}

// As upstream, the answer has what the account is and what was sent, and a dry run is
// answered with a token, too.
func TestTokenRequestsMetadata(t *testing.T) {
	_, cs, _ := setup(t)
	account, err := cs.CoreV1().ServiceAccounts("default").Get(t.Context(), "sa", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(m metav1.ObjectMeta) (*authenticationv1.TokenRequest, error) {
		return cs.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "sa", &authenticationv1.TokenRequest{ObjectMeta: m}, metav1.CreateOptions{DryRun: []string{"All"}})
	}
	r, err := ask(metav1.ObjectMeta{Labels: map[string]string{"a": "b"}, UID: account.UID})
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "sa" || r.Namespace != "default" || r.UID != account.UID || r.Labels["a"] != "b" || !r.CreationTimestamp.Time.Equal(start) || r.Status.Token == "" {
		t.Errorf("got %+v", r.ObjectMeta)
	}
	if m := r.ManagedFields; len(m) != 1 || m[0].Subresource != "token" || m[0].APIVersion != "authentication.k8s.io/v1" {
		t.Errorf("managed fields %+v", m)
	}
	if _, err := ask(metav1.ObjectMeta{Name: "other"}); !apierrors.IsInvalid(err) {
		t.Errorf("another name: %v", err)
	}
	if _, err := ask(metav1.ObjectMeta{UID: "other"}); !apierrors.IsConflict(err) {
		t.Errorf("another uid: %v", err)
	}
}

func TestTokenReview(t *testing.T) {
	_, cs, _ := setup(t)
	review := func(s authenticationv1.TokenReviewSpec) (authenticationv1.TokenReviewStatus, error) {
		r, err := cs.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: s}, metav1.CreateOptions{})
		if err != nil {
			return authenticationv1.TokenReviewStatus{}, err
		}
		return r.Status, nil
	}
	tok := issue(t, cs, authenticationv1.TokenRequestSpec{})
	st, err := review(authenticationv1.TokenReviewSpec{Token: tok})
	if err != nil || !st.Authenticated || st.User.Username != "system:serviceaccount:default:sa" {
		t.Errorf("valid: %+v, %v", st, err)
	}
	if st, err = review(authenticationv1.TokenReviewSpec{Token: tok, Audiences: []string{"vault"}}); err != nil || st.Authenticated {
		t.Errorf("other audience: %+v, %v", st, err)
	}
	if st, err = review(authenticationv1.TokenReviewSpec{Token: "secret-nonsense"}); err != nil || st.Authenticated || strings.Contains(st.Error, "secret-nonsense") {
		t.Errorf("nonsense: %+v, %v", st, err)
	}
	if _, err = review(authenticationv1.TokenReviewSpec{}); !apierrors.IsBadRequest(err) {
		t.Errorf("empty: %v", err)
	}
}

// TestOthersCanVerify checks a token by the published keys alone.
func TestOthersCanVerify(t *testing.T) {
	c, cs, _ := setup(t)
	data, err := c.Tokens.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct{ Kid, X, Y string }
	}
	if err := json.Unmarshal(data, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("jwks %s: %v", data, err)
	}
	dec := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	point := append([]byte{4}, append(dec(set.Keys[0].X), dec(set.Keys[0].Y)...)...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.Parse(issue(t, cs, authenticationv1.TokenRequestSpec{}), func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != set.Keys[0].Kid {
			t.Errorf("kid %v is not published", tok.Header["kid"])
		}
		return key, nil
	})
	if err != nil || !parsed.Valid {
		t.Error(err)
	}
}

package token_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// newHolder makes a Secret that is to hold a token of an account.
func newHolder(t *testing.T, cs *kubernetes.Clientset, name, account string) *corev1.Secret {
	t.Helper()
	s, err := cs.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken,
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func requestLegacy(t *testing.T, cs *kubernetes.Clientset, s authenticationv1.TokenRequestSpec) (*authenticationv1.TokenRequest, error) {
	t.Helper()
	return cs.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "sa",
		&authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{token.LegacyAnnotation: "true"}}, Spec: s}, metav1.CreateOptions{})
}

// put has a Secret hold a token.
func put(t *testing.T, cs *kubernetes.Clientset, name, tok string) {
	t.Helper()
	patch(t, cs, name, map[string]any{"data": map[string][]byte{"token": []byte(tok)}})
}

func patch(t *testing.T, cs *kubernetes.Clientset, name string, what any) {
	t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cs.CoreV1().Secrets("default").Patch(t.Context(), name, types.MergePatchType, b, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestLegacyToken: what a Secret holds is its account, for as long as the Secret holds it.
func TestLegacyToken(t *testing.T) {
	c, cs, clk := setup(t)
	newHolder(t, cs, "held", "sa")
	r, err := requestLegacy(t, cs, authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "held")})
	if err != nil {
		t.Fatal(err)
	}
	tok := r.Status.Token
	account, err := cs.CoreV1().ServiceAccounts("default").Get(t.Context(), "sa", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var m jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(tok, &m); err != nil {
		t.Fatal(err)
	}
	if m["jti"] == "" || m["jti"] == nil {
		t.Error("two tokens of one Secret may be the same")
	}
	delete(m, "jti")
	const prefix = "kubernetes.io/serviceaccount/"
	want := jwt.MapClaims{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:sa", prefix + "namespace": "default", prefix + "secret.name": "held",
		prefix + "service-account.name": "sa", prefix + "service-account.uid": string(account.UID)}
	if d := cmp.Diff(want, m); d != "" || !r.Status.ExpirationTimestamp.IsZero() {
		t.Errorf("claims (-want +got):\n%s\nends %v", d, r.Status.ExpirationTimestamp)
	}
	user := func() string {
		resp, ok, err := c.Authn.AuthenticateToken(t.Context(), tok)
		if !ok {
			return fmt.Sprint("refused: ", err)
		}
		return fmt.Sprintf("%s %s %v", resp.User.GetName(), resp.User.GetUID(), resp.User.GetExtra())
	}
	refused := func(why string) {
		t.Helper()
		if got := user(); !strings.Contains(got, "refused") || !strings.Contains(got, why) {
			t.Errorf("it is %s, want it refused: %s", got, why)
		}
	}
	accepted := func() {
		t.Helper()
		if got, want := user(), fmt.Sprintf("system:serviceaccount:default:sa %s map[]", account.UID); got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
	}
	refused("does not match") // whoever may ask for tokens alone has nothing
	put(t, cs, "held", tok)
	accepted()
	if _, ok, _ := c.Authn.AuthenticateToken(authenticator.WithAudiences(t.Context(), []string{"vault"}), tok); ok {
		t.Error("it is for whatever audience")
	}
	day := func() string { return clk.Now().UTC().Format(time.DateOnly) }
	label := func(key string) string {
		s, err := cs.CoreV1().Secrets("default").Get(t.Context(), "held", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s.Labels[key]
	}
	if got := label(token.LastUsedLabel); got != day() {
		t.Errorf("used last %q, want %s", got, day())
	}
	clk.Step(40 * 24 * time.Hour)
	accepted()
	if got := label(token.LastUsedLabel); got != day() {
		t.Errorf("used last %q, want %s", got, day())
	}
	patch(t, cs, "held", map[string]any{"metadata": map[string]any{"labels": map[string]string{token.InvalidSinceLabel: day()}}})
	refused("marked invalid")
	patch(t, cs, "held", map[string]any{"metadata": map[string]any{"labels": map[string]any{token.InvalidSinceLabel: nil}}})
	accepted()
	put(t, cs, "held", tok+"x")
	refused("does not match")
	put(t, cs, "held", tok)
	if err := cs.CoreV1().ServiceAccounts("default").Delete(t.Context(), "sa", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	refused("not found")
	if _, err := cs.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	refused("UID")
	if err := cs.CoreV1().Secrets("default").Delete(t.Context(), "held", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	refused("invalidated")
}

// TestLegacyTokenWarns: who uses a token that was made for every account, in older
// versions, is told.
func TestLegacyTokenWarns(t *testing.T) {
	c, cs, _ := setup(t)
	newHolder(t, cs, "held", "sa")
	r, err := requestLegacy(t, cs, authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "held")})
	if err != nil {
		t.Fatal(err)
	}
	put(t, cs, "held", r.Status.Token)
	told := &warnings{}
	cfg := c.Bearer(r.Status.Token)
	cfg.WarningHandler = told
	ask := kerneltest.Client(t, cfg).AuthenticationV1().SelfSubjectReviews()
	whoami := func() {
		t.Helper()
		if _, err := ask.Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	whoami()
	if len(told.texts) > 0 {
		t.Errorf("of a Secret that somebody made: %q", told.texts)
	}
	if _, err := cs.CoreV1().ServiceAccounts("default").Patch(t.Context(), "sa", types.MergePatchType, []byte(`{"secrets":[{"name":"held"}]}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	whoami()
	if len(told.texts) != 1 || !strings.Contains(told.texts[0], "Use tokens from the TokenRequest API") {
		t.Errorf("told %q", told.texts)
	}
	text, err := cs.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"serviceaccount_legacy_tokens_total 2\n", "serviceaccount_legacy_manual_token_uses_total 1\n", "serviceaccount_legacy_auto_token_uses_total 1\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no metric %s", want)
		}
	}
}

type warnings struct{ texts []string }

func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

func TestLegacyTokenRequests(t *testing.T) {
	_, cs, _ := setup(t)
	newHolder(t, cs, "held", "sa")
	if _, err := cs.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	newHolder(t, cs, "others", "other")
	old := newHolder(t, cs, "old", "sa")
	patch(t, cs, "old", map[string]any{"metadata": map[string]any{"annotations": map[string]string{corev1.ServiceAccountUIDKey: "gone"}}})
	if _, err := cs.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "plain"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wrongUID := bound("Secret", "held")
	wrongUID.UID = old.UID
	for name, tt := range map[string]struct {
		spec authenticationv1.TokenRequestSpec
		is   func(error) bool
		text string
	}{
		"bound to nothing":      {authenticationv1.TokenRequestSpec{}, apierrors.IsInvalid, "spec.boundObjectRef: Required"},
		"bound to a pod":        {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Pod", "p")}, apierrors.IsInvalid, "must be a Secret"},
		"no Secret":             {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "none")}, apierrors.IsNotFound, "none"},
		"another Secret":        {authenticationv1.TokenRequestSpec{BoundObjectRef: wrongUID}, apierrors.IsConflict, "UID"},
		"of another type":       {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "plain")}, apierrors.IsInvalid, "must be of type kubernetes.io/service-account-token"},
		"of another account":    {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "others")}, apierrors.IsInvalid, "must name the account sa"},
		"of an account of old":  {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "old")}, apierrors.IsInvalid, "with uid gone"},
		"for somebody":          {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "held"), Audiences: []string{"vault"}}, apierrors.IsInvalid, "spec.audiences"},
		"as it should be asked": {authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "held")}, func(err error) bool { return err == nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := requestLegacy(t, cs, tt.spec); !tt.is(err) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %q", err, tt.text)
			}
		})
	}
	_, err := cs.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "sa", &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{token.LegacyAnnotation: "yes"}}, Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: bound("Secret", "held")}}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `supported values: "true"`) {
		t.Errorf("annotation yes: %v", err)
	}
}

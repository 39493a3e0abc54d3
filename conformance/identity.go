package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var identityCases = []Case{
	{Name: "identity/tokens", Stands: "ServiceAccounts: TokenRequest and TokenReview", Run: identityTokens},
	{Name: "identity/bound-tokens", Stands: "ServiceAccounts: bound service account tokens", Run: identityBound},
	{Name: "identity/issuer", Stands: "ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer", Run: identityIssuer},
}

// token asks for a token of the default service account.
func token(ctx context.Context, e *Env, spec authenticationv1.TokenRequestSpec) (string, error) {
	sa := e.Client.CoreV1().ServiceAccounts(e.Namespace)
	if err := eventually(ctx, func() error { _, err := sa.Get(ctx, "default", get); return err }); err != nil {
		return "", err
	}
	r, err := sa.CreateToken(ctx, "default", &authenticationv1.TokenRequest{Spec: spec}, create)
	if err != nil {
		return "", err
	}
	if r.Status.Token == "" || r.Status.ExpirationTimestamp.IsZero() {
		return "", errors.New("the TokenRequest has no token or no expiry")
	}
	return r.Status.Token, nil
}

func whoami(ctx context.Context, e *Env, token string) (authenticationv1.UserInfo, error) {
	cfg := rest.AnonymousClientConfig(e.REST)
	cfg.BearerToken = token
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	r, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, create)
	return r.Status.UserInfo, err
}

func identityTokens(ctx context.Context, e *Env) error {
	t, err := token(ctx, e, authenticationv1.TokenRequestSpec{})
	if err != nil {
		return err
	}
	want := "system:serviceaccount:" + e.Namespace + ":default"
	u, err := whoami(ctx, e, t)
	errs := []error{err, same("user", u.Username, want)}
	for _, g := range []string{"system:serviceaccounts", "system:serviceaccounts:" + e.Namespace, "system:authenticated"} {
		errs = append(errs, same("group "+g, slices.Contains(u.Groups, g), true))
	}
	review := func(token string, audiences ...string) (authenticationv1.TokenReviewStatus, error) {
		r, err := e.Client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}, create)
		return r.Status, err
	}
	s, err := review(t)
	errs = append(errs, err, same("TokenReview", s.Authenticated, true), same("its user", s.User.Username, want))
	s, err = review(t + "x")
	errs = append(errs, err, same("TokenReview of a forged token", s.Authenticated, false))
	other, err := token(ctx, e, authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	_, err = whoami(ctx, e, other)
	errs = append(errs, refused("a token for another audience", err, 401, metav1.StatusReasonUnauthorized))
	s, err = review(other, "vault")
	return errors.Join(append(errs, err, same("TokenReview for that audience", fmt.Sprint(s.Authenticated, s.Audiences), "true [vault]"))...)
}

func identityBound(ctx context.Context, e *Env) error {
	p, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, pod("p", nil), create)
	if err != nil {
		return err
	}
	bound := &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID}
	t, err := token(ctx, e, authenticationv1.TokenRequestSpec{BoundObjectRef: bound})
	if err != nil {
		return err
	}
	u, err := whoami(ctx, e, t)
	errs := []error{err, same("extra pod-name", fmt.Sprint(u.Extra["authentication.kubernetes.io/pod-name"]), "[p]")}
	bound.UID = "other"
	_, err = token(ctx, e, authenticationv1.TokenRequestSpec{BoundObjectRef: bound})
	errs = append(errs, conflict("a token bound to a pod of another uid", err), e.Client.CoreV1().Pods(e.Namespace).Delete(ctx, p.Name, remove))
	return errors.Join(append(errs, eventually(ctx, func() error {
		_, err := whoami(ctx, e, t)
		return refused("the token of a pod that is gone", err, 401, metav1.StatusReasonUnauthorized)
	}))...)
}

func identityIssuer(ctx context.Context, e *Env) error {
	client := e.Client.Discovery().RESTClient()
	doc, err := client.Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
	if err != nil {
		return err
	}
	keys, err := client.Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for what, x := range map[string][]byte{`"issuer"`: doc, `"jwks_uri"`: doc, `"keys"`: keys, `"kid"`: keys} {
		if !slices.Contains(words(x), what) {
			errs = append(errs, fmt.Errorf("%s lacks %s", x, what))
		}
	}
	_, err = e.Client.CoreV1().ServiceAccounts(e.Namespace).CreateToken(ctx, "nobody", &authenticationv1.TokenRequest{}, create)
	errs = append(errs, missing("a token of no service account", err))
	_, err = e.Client.CoreV1().ServiceAccounts(e.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, create)
	return errors.Join(append(errs, err)...)
}

// words are the quoted strings of a JSON text.
func words(b []byte) []string {
	var out []string
	start := -1
	for i, c := range b {
		if c != '"' {
			continue
		}
		if start < 0 {
			start = i
		} else {
			out = append(out, string(b[start:i+1]))
			start = -1
		}
	}
	return out
}

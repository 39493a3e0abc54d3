package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// The resources that tokens are bound to.
var (
	accounts = schema.GroupResource{Resource: "serviceaccounts"}
	pods     = schema.GroupResource{Resource: "pods"}
	secrets  = schema.GroupResource{Resource: "secrets"}
	nodes    = schema.GroupResource{Resource: "nodes"}
)

// graceAfterDeletion is how long a token outlives the deletion of what it is
// bound to, so that a pod that is shutting down may say so.
const graceAfterDeletion = 60 * time.Second

// AuthenticateToken implements authenticator.Token. A token of another issuer
// is none of ours; one of ours that is expired, tampered with, for another
// audience or bound to something that is gone is an error.
func (a *Authority) AuthenticateToken(ctx context.Context, raw string) (*authenticator.Response, bool, error) {
	switch issuer(raw) {
	case a.cfg.Issuer:
		return a.authenticate(ctx, raw)
	case LegacyIssuer:
		return a.authenticateLegacy(ctx, raw)
	}
	return nil, false, nil
}

func (a *Authority) authenticate(ctx context.Context, raw string) (*authenticator.Response, bool, error) {
	var c claims
	_, err := jwt.ParseWithClaims(raw, &c, a.key,
		jwt.WithValidMethods([]string{a.method.Alg()}), jwt.WithIssuer(a.cfg.Issuer),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(a.cfg.Clock.Now))
	if err != nil {
		return nil, false, fmt.Errorf("service account token: %w", err)
	}
	wanted, ok := authenticator.AudiencesFrom(ctx)
	if !ok {
		wanted = a.cfg.Audiences
	}
	audiences := authenticator.Audiences(c.Audience).Intersect(wanted)
	if len(audiences) == 0 {
		return nil, false, errors.New("service account token is for another audience")
	}
	if err := a.alive(ctx, &c); err != nil {
		return nil, false, fmt.Errorf("service account token: %w", err)
	}
	return &authenticator.Response{User: c.user().UserInfo(), Audiences: audiences}, true, nil
}

// issuer is the one that a token names, without its being believed; "" if there is none.
func issuer(raw string) string {
	if strings.Count(raw, ".") != 2 {
		return ""
	}
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(raw, &c); err != nil {
		return ""
	}
	return c.Issuer
}

func (a *Authority) key(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	if k := a.public[id]; k != nil {
		return k, nil
	}
	return nil, errors.New("signed with an unknown key")
}

func (c *claims) user() *serviceaccount.ServiceAccountInfo {
	k := c.Kubernetes
	u := &serviceaccount.ServiceAccountInfo{
		Namespace: k.Namespace, Name: k.Account.Name, UID: k.Account.UID,
		CredentialID: "JTI=" + c.ID,
	}
	if k.Pod != nil {
		u.PodName, u.PodUID = k.Pod.Name, k.Pod.UID
	}
	if k.Node != nil {
		u.NodeName, u.NodeUID = k.Node.Name, k.Node.UID
	}
	return u
}

// alive checks that the account and everything the token is bound to exist.
func (a *Authority) alive(ctx context.Context, c *claims) error {
	k := c.Kubernetes
	ns, name, err := serviceaccount.SplitUsername(c.Subject)
	if err != nil || ns != k.Namespace || name != k.Account.Name {
		return errors.New("subject and claims do not agree")
	}
	if err := a.exists(ctx, accounts, k.Namespace, k.Account); err != nil {
		return err
	}
	if k.Secret != nil {
		if err := a.exists(ctx, secrets, k.Namespace, *k.Secret); err != nil {
			return err
		}
	}
	if k.Pod != nil {
		return a.exists(ctx, pods, k.Namespace, *k.Pod)
	}
	// A pod's node is only information; a token bound to the node itself ends
	// with it.
	if k.Node != nil {
		return a.exists(ctx, nodes, "", *k.Node)
	}
	return nil
}

func (a *Authority) exists(ctx context.Context, gr schema.GroupResource, namespace string, r ref) error {
	o, err := a.cfg.Reader.Get(ctx, gr, namespace, r.Name)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %q is gone", gr.Resource, r.Name)
	}
	if err != nil {
		return err
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return err
	}
	if string(m.GetUID()) != r.UID {
		return fmt.Errorf("%s %q is another one now", gr.Resource, r.Name)
	}
	if a.deleted(m) {
		return fmt.Errorf("%s %q has been deleted", gr.Resource, r.Name)
	}
	return nil
}

func (a *Authority) deleted(m metav1.Object) bool {
	t := m.GetDeletionTimestamp()
	return t != nil && a.cfg.Clock.Now().After(t.Add(graceAfterDeletion))
}

var _ authenticator.Token = (*Authority)(nil)

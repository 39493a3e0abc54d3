package token

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/warning"
)

// LegacyIssuer is the issuer of the tokens that Secrets of the type
// kubernetes.io/service-account-token hold. They have no end of their own: each is good
// for as long as its Secret holds it.
const LegacyIssuer = "kubernetes/serviceaccount"

// Labels of Secrets with such tokens: the day (2006-01-02, UTC) on which one was used
// last, and since when it may not be used any more.
const (
	LastUsedLabel     = "kubernetes.io/legacy-token-last-used"
	InvalidSinceLabel = "kubernetes.io/legacy-token-invalid-since"
)

const dateFormat = "2006-01-02"

// legacyClaims are what such a token says; upstream's names.
type legacyClaims struct {
	jwt.RegisteredClaims
	Namespace   string `json:"kubernetes.io/serviceaccount/namespace"`
	SecretName  string `json:"kubernetes.io/serviceaccount/secret.name"`
	AccountName string `json:"kubernetes.io/serviceaccount/service-account.name"`
	AccountUID  string `json:"kubernetes.io/serviceaccount/service-account.uid"`
}

// signLegacy makes a token of a Secret. It is worth nothing unless the Secret holds it,
// and no two are the same (jti): who asks for one does not learn what the Secret holds.
func (a *Authority) signLegacy(account *corev1.ServiceAccount, secret string) (string, error) {
	t := jwt.NewWithClaims(a.method, legacyClaims{
		RegisteredClaims: jwt.RegisteredClaims{ID: uuid.NewString(), Issuer: LegacyIssuer, Subject: serviceaccount.MakeUsername(account.Namespace, account.Name)},
		Namespace:        account.Namespace, SecretName: secret, AccountName: account.Name, AccountUID: string(account.UID),
	})
	t.Header["kid"] = a.keyID
	return t.SignedString(a.cfg.Key)
}

// authenticateLegacy knows the token of a Secret, and notes that it is used.
func (a *Authority) authenticateLegacy(ctx context.Context, raw string) (*authenticator.Response, bool, error) {
	var c legacyClaims
	_, err := jwt.ParseWithClaims(raw, &c, a.key, jwt.WithValidMethods([]string{a.method.Alg()}), jwt.WithIssuer(LegacyIssuer), jwt.WithTimeFunc(a.cfg.Clock.Now))
	if err != nil {
		return nil, false, fmt.Errorf("service account token: %w", err)
	}
	// Whom it is for it says only if somebody else made it, with a key that is now ours.
	audiences := authenticator.Audiences(c.Audience)
	if len(audiences) == 0 {
		audit.AddAuditAnnotation(ctx, "authentication.k8s.io/legacy-token", c.Subject)
		a.uses.legacy.Inc()
		audiences = a.cfg.Audiences
	}
	wanted, ok := authenticator.AudiencesFrom(ctx)
	if !ok {
		wanted = a.cfg.Audiences
	}
	if audiences = audiences.Intersect(wanted); len(audiences) == 0 {
		return nil, false, errors.New("service account token is for another audience")
	}
	if err := c.complete(); err != nil {
		return nil, false, fmt.Errorf("service account token: %w", err)
	}
	if err := a.aliveLegacy(ctx, &c, raw); err != nil {
		return nil, false, fmt.Errorf("service account token: %w", err)
	}
	u := serviceaccount.ServiceAccountInfo{Namespace: c.Namespace, Name: c.AccountName, UID: c.AccountUID}
	return &authenticator.Response{User: u.UserInfo(), Audiences: audiences}, true, nil
}

// complete checks that a token says all that it must, and does not contradict itself.
func (c *legacyClaims) complete() error {
	for name, v := range map[string]string{"namespace": c.Namespace, "secret.name": c.SecretName, "service-account.name": c.AccountName, "service-account.uid": c.AccountUID} {
		if v == "" {
			return fmt.Errorf("claim kubernetes.io/serviceaccount/%s is missing", name)
		}
	}
	ns, name, err := serviceaccount.SplitUsername(c.Subject)
	if err != nil || ns != c.Namespace || name != c.AccountName {
		return errors.New("subject and claims do not agree")
	}
	return nil
}

// aliveLegacy checks that the Secret holds the token, that the account is the one that it
// was made for, and that nobody has marked it as invalid.
func (a *Authority) aliveLegacy(ctx context.Context, c *legacyClaims, raw string) error {
	o, err := a.cfg.Reader.Get(ctx, secrets, c.Namespace, c.SecretName)
	if err != nil {
		return errors.New("token has been invalidated")
	}
	secret, ok := o.(*corev1.Secret)
	if !ok || secret.DeletionTimestamp != nil {
		return errors.New("token has been invalidated")
	}
	if subtle.ConstantTimeCompare(secret.Data[corev1.ServiceAccountTokenKey], []byte(raw)) == 0 {
		return errors.New("token does not match server's copy")
	}
	o, err = a.cfg.Reader.Get(ctx, accounts, c.Namespace, c.AccountName)
	if err != nil {
		return err
	}
	account, ok := o.(*corev1.ServiceAccount)
	if !ok || account.DeletionTimestamp != nil {
		return fmt.Errorf("ServiceAccount %s/%s has been deleted", c.Namespace, c.AccountName)
	}
	if string(account.UID) != c.AccountUID {
		return fmt.Errorf("ServiceAccount UID (%s) does not match claim (%s)", account.UID, c.AccountUID)
	}
	return a.track(ctx, secret, account)
}

// track counts the use of a token that is good but for its being marked as invalid, which
// is the error, and notes it at the Secret.
func (a *Authority) track(ctx context.Context, secret *corev1.Secret, account *corev1.ServiceAccount) error {
	defer a.noteUse(ctx, secret)
	if secret.Labels[InvalidSinceLabel] != "" {
		audit.AddAuditAnnotation(ctx, "authentication.k8s.io/legacy-token-invalidated", secret.Name+"/"+secret.Namespace)
		a.uses.invalid.Inc()
		return fmt.Errorf("the token in secret %s/%s for service account %s/%s has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '%s' label from the secret to temporarily allow use of this token",
			secret.Namespace, secret.Name, account.Namespace, account.Name, InvalidSinceLabel)
	}
	for _, ref := range account.Secrets {
		if ref.Name == secret.Name {
			warning.AddWarning(ctx, "", "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.")
			audit.AddAuditAnnotation(ctx, "authentication.k8s.io/legacy-token-autogenerated-secret", secret.Name)
			a.uses.auto.Inc()
			return nil
		}
	}
	audit.AddAuditAnnotation(ctx, "authentication.k8s.io/legacy-token-manual-secret", secret.Name)
	a.uses.manual.Inc()
	return nil
}

// noteTime bounds what a request waits for the note, which a store that is away must not
// hold up.
const noteTime = 5 * time.Second

// noteUse labels the Secret with today's date, unless it has that, or tomorrow's: clocks
// of servers differ.
func (a *Authority) noteUse(ctx context.Context, secret *corev1.Secret) {
	now := a.cfg.Clock.Now().UTC()
	today, tomorrow := now.Format(dateFormat), now.AddDate(0, 0, 1).Format(dateFormat)
	if last := secret.Labels[LastUsedLabel]; last == today || last == tomorrow || a.cfg.NoteUse == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	a.cfg.NoteUse(ctx, secret, today)
}

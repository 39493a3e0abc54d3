// Package token issues and verifies the tokens of service accounts: JSON web
// tokens signed with the cluster's key (ES256) that are bound to an audience,
// a time and, when asked, to a pod, a node or a secret. A token whose service
// account or bound object is gone is no longer valid, whatever it says itself. Those that
// Secrets hold have no end, and are good for as long as they are held ([LegacyIssuer]).
//
// Tokens are compatible with upstream's in their claims and in the users they
// become. https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
//
// An Authority is safe for concurrent use.
package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
)

// DefaultIssuer is the issuer of a cluster with the domain cluster.local.
const DefaultIssuer = "https://kubernetes.default.svc.cluster.local"

// Config is what an Authority is made of.
type Config struct {
	Issuer string // "" means DefaultIssuer
	// Audiences that this API server accepts; the first is what a token gets
	// that asks for none. Empty means the issuer.
	Audiences []string
	Key       *ecdsa.PrivateKey
	// Former keys still verify.
	Former []*ecdsa.PublicKey
	Reader resource.Reader
	// MaxLifetime shortens what is asked; 0 means one year.
	MaxLifetime time.Duration
	Clock       clock.PassiveClock // nil is the real clock
	// NoteUse labels a Secret with the day on which the token that it holds was used
	// ([LastUsedLabel]). The Secret must not be changed. Nil: nobody notes it.
	NoteUse func(ctx context.Context, s *corev1.Secret, day string)
}

// Authority issues and verifies tokens. It is a prometheus.Collector of how those that
// Secrets hold are used.
type Authority struct {
	cfg    Config
	keyID  string
	public map[string]*ecdsa.PublicKey // by key ID
	method jwt.SigningMethod
	uses   uses
}

// New makes an Authority.
func New(c Config) (*Authority, error) {
	if c.Key == nil || c.Reader == nil {
		return nil, errors.New("token: a key and a reader are required")
	}
	if c.Issuer == "" {
		c.Issuer = DefaultIssuer
	}
	if len(c.Audiences) == 0 {
		c.Audiences = []string{c.Issuer}
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = 365 * 24 * time.Hour
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	a := &Authority{cfg: c, public: map[string]*ecdsa.PublicKey{}, method: jwt.SigningMethodES256, uses: newUses()}
	for _, k := range append([]*ecdsa.PublicKey{&c.Key.PublicKey}, c.Former...) {
		if k.Curve.Params().BitSize != 256 {
			return nil, errors.New("token: keys must be ECDSA P-256")
		}
		id, err := keyID(k)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		if a.keyID == "" {
			a.keyID = id
		}
		a.public[id] = k
	}
	return a, nil
}

// Audiences that tokens are accepted for.
func (a *Authority) Audiences() authenticator.Audiences { return a.cfg.Audiences }

// keyID is upstream's: the hash of the public key.
func keyID(k *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// claims are what a token says.
type claims struct {
	jwt.RegisteredClaims
	Kubernetes kubernetesClaims `json:"kubernetes.io"`
}

type kubernetesClaims struct {
	Namespace string `json:"namespace"`
	Account   ref    `json:"serviceaccount"`
	Pod       *ref   `json:"pod,omitempty"`
	Secret    *ref   `json:"secret,omitempty"`
	Node      *ref   `json:"node,omitempty"`
}

type ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

func (a *Authority) sign(subject string, audiences []string, lifetime time.Duration, k kubernetesClaims) (string, time.Time, error) {
	now := a.cfg.Clock.Now()
	end := now.Add(lifetime)
	t := jwt.NewWithClaims(a.method, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: a.cfg.Issuer, Subject: subject, Audience: audiences, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(end),
		},
		Kubernetes: k,
	})
	t.Header["kid"] = a.keyID
	s, err := t.SignedString(a.cfg.Key)
	return s, end.Truncate(time.Second), err
}

package auth

import (
	"context"
	"crypto/subtle"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/resource"
)

// BootstrapTokens verifies tokens by which nodes join. Each is a Secret of
// type bootstrap.kubernetes.io/token in kube-system.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
type BootstrapTokens struct {
	Reader resource.Reader
	Clock  clock.PassiveClock // nil is the real clock
}

const (
	bootstrapSecretPrefix = jointoken.SecretPrefix
	bootstrapUserPrefix   = jointoken.UserPrefix
	bootstrapGroup        = "system:bootstrappers"
)

var (
	bootstrapToken  = regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)
	bootstrapGroups = regexp.MustCompile(`^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$`)
	secrets         = schema.GroupResource{Resource: "secrets"}
)

// AuthenticateToken implements authenticator.Token. A token of the right form
// that is not valid is no user; it gives no hint why.
func (b *BootstrapTokens) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	m := bootstrapToken.FindStringSubmatch(token)
	if m == nil {
		return nil, false, nil
	}
	o, err := b.Reader.Get(ctx, secrets, "kube-system", bootstrapSecretPrefix+m[1])
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up bootstrap token: %w", err)
	}
	s, ok := o.(*corev1.Secret)
	if !ok || !b.valid(s, m[1], m[2]) {
		return nil, false, nil
	}
	groups := []string{bootstrapGroup}
	for g := range strings.SplitSeq(string(s.Data["auth-extra-groups"]), ",") {
		if g = strings.TrimSpace(g); g == "" {
			continue
		}
		if !bootstrapGroups.MatchString(g) {
			return nil, false, nil
		}
		groups = append(groups, g)
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: bootstrapUserPrefix + m[1], Groups: groups}}, true, nil
}

func (b *BootstrapTokens) valid(s *corev1.Secret, id, secret string) bool {
	data := func(key string) string { return string(s.Data[key]) }
	if s.Type != corev1.SecretTypeBootstrapToken || s.DeletionTimestamp != nil || data("token-id") != id ||
		subtle.ConstantTimeCompare(s.Data["token-secret"], []byte(secret)) != 1 {
		return false
	}
	if exp := data("expiration"); exp != "" {
		end, err := time.Parse(time.RFC3339, exp)
		if err != nil || !b.now().Before(end) {
			return false
		}
	}
	return data("usage-bootstrap-authentication") == "true"
}

func (b *BootstrapTokens) now() time.Time {
	if b.Clock == nil {
		return clock.RealClock{}.Now()
	}
	return b.Clock.Now()
}

var _ authenticator.Token = (*BootstrapTokens)(nil)

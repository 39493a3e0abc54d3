// Package access decides who may use a node's own API besides the API server:
// monitoring asks agents directly, with the token of its account. As upstream's
// kubelet, an agent asks the API server who a token belongs to (TokenReview) and
// what that user may (SubjectAccessReview), and remembers the answers for a
// while. Rights are on the node's subresources, so that whoever may read figures
// cannot run commands.
//
// It never decides by itself and fails closed. What it remembers, and how much
// it asks at once, is bounded: callers are strangers.
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
)

// ErrBusy says that too many callers are being asked about.
var ErrBusy = errors.New("too many requests, please try again later")

// How long answers are good for, upstream's defaults, and the bounds.
const (
	tokenAge  = 2 * time.Minute
	allowAge  = 5 * time.Minute
	denyAge   = 30 * time.Second
	remember  = 1024
	atOnce    = 16
	maxToken  = 16 << 10
	askFor    = 10 * time.Second
	allGroups = "system:authenticated"
)

// User is who asks.
type User struct {
	Name, UID string
	Groups    []string
	Extra     map[string][]string
}

// Reviewer asks the API server. It is safe for concurrent use.
type Reviewer struct {
	client  kubernetes.Interface
	node    string
	tokens  *cache.LRUExpireCache // by hash: *User, nil for a bad one
	answers *cache.LRUExpireCache // by question: bool
	slots   chan struct{}
}

// New makes a Reviewer for a node's API.
func New(client kubernetes.Interface, node string) *Reviewer {
	return &Reviewer{client: client, node: node, tokens: cache.NewLRUExpireCache(remember), answers: cache.NewLRUExpireCache(remember), slots: make(chan struct{}, atOnce)}
}

// Bearer is the token of a request, "" for none.
func Bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Authenticate finds whose a token is; nil if it is nobody's.
func (r *Reviewer) Authenticate(ctx context.Context, token string) (*User, error) {
	if token == "" || len(token) > maxToken {
		return nil, nil
	}
	key := sha256.Sum256([]byte(token)) // tokens are not kept
	if u, ok := r.tokens.Get(key); ok {
		return u.(*User), nil
	}
	var out *authenticationv1.TokenReview
	err := r.ask(ctx, func(ctx context.Context) (err error) {
		out, err = r.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("review token: %w", err)
	}
	var u *User
	if out.Status.Authenticated {
		s := out.Status.User
		u = &User{Name: s.Username, UID: s.UID, Groups: s.Groups, Extra: map[string][]string{}}
		for k, v := range s.Extra {
			u.Extra[k] = v
		}
	}
	r.tokens.Add(key, u, tokenAge)
	return u, nil
}

// Authorize tells whether a user may do with the node what a request does.
func (r *Reviewer) Authorize(ctx context.Context, u *User, req *http.Request) (bool, error) {
	verb, subresources := Attributes(req)
	for _, sub := range subresources {
		ok, err := r.may(ctx, u, verb, sub)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (r *Reviewer) may(ctx context.Context, u *User, verb, sub string) (bool, error) {
	key := fmt.Sprintf("%q %q %q %q %s %s", u.Name, u.UID, u.Groups, u.Extra, verb, sub)
	if ok, found := r.answers.Get(key); found {
		return ok.(bool), nil
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: u.Name, UID: u.UID, Groups: u.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: "nodes", Subresource: sub, Name: r.node}}}
	for k, v := range u.Extra {
		if review.Spec.Extra == nil {
			review.Spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		review.Spec.Extra[k] = v
	}
	err := r.ask(ctx, func(ctx context.Context) (err error) {
		review, err = r.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("review access: %w", err)
	}
	age := denyAge
	if review.Status.Allowed {
		age = allowAge
	}
	r.answers.Add(key, review.Status.Allowed, age)
	return review.Status.Allowed, nil
}

// ask calls the API server, few times at once.
func (r *Reviewer) ask(ctx context.Context, call func(context.Context) error) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		return ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return call(ctx)
}

// OfCertificate is who a verified client certificate names.
func OfCertificate(name string, organizations []string) *User {
	return &User{Name: name, Groups: append(append([]string(nil), organizations...), allGroups)}
}

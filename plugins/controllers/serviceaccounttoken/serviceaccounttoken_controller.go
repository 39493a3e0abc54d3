// Package serviceaccounttoken fills Secrets of the type
// kubernetes.io/service-account-token with a token of the account that they name, and
// deletes them when that goes: the tokens without an end that programs outside of a
// cluster may still need. The API signs the tokens; the plugin holds no key.
//
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
package serviceaccounttoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	authenticationv1 "github.com/pintle-io/pintle/sdk/api/authentication/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// legacy asks, at a TokenRequest, for the token that a Secret is to hold.
const legacy = "authentication.pintle.dev/legacy-token"

// Config is the plugin's configuration.
type Config struct {
	// CA is the certificate of the cluster's authority, in PEM.
	CA string `json:"ca"`
}

func init() {
	sdk.Register(sdk.Plugin{Name: "service-account-token", New: func(raw []byte) (sdk.Points, error) {
		var c Config
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		if c.CA == "" {
			return nil, errors.New("config.ca: the CA certificate is missing")
		}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/secrets", Present: []string{"metadata.annotations[" + accountKey + "]"}},
				{Resource: "v1/secrets", Present: []string{"metadata.annotations[" + accountKey + "]"}, Map: controller.Deleted(secretGone),
					Fields: []string{"metadata.namespace", "metadata.name", "metadata.annotations", "type"}},
				{Resource: "v1/serviceaccounts", Map: controller.Deleted(accountGone), Fields: []string{"metadata.namespace", "metadata.name"}},
			},
			Workers:    2,
			Implements: []string{},
			Reconcile:  filler(c.CA).reconcile,
		}, nil
	}})
}

// A request names a Secret, or one of these: names of objects have no "/".
//
//	account/NAME        an account is gone
//	secret/NAME/ACCOUNT the Secret of an account is gone
const (
	ofAccount = "account/"
	ofSecret  = "secret/"
)

func accountGone(o sdk.Value) []controller.Request {
	m := o.Get("metadata")
	return []controller.Request{{Namespace: m.Get("namespace").String(), Name: ofAccount + m.Get("name").String()}}
}

func secretGone(o sdk.Value) []controller.Request {
	m := o.Get("metadata")
	if o.Get("type").String() != secretType {
		return nil
	}
	return []controller.Request{{Namespace: m.Get("namespace").String(), Name: ofSecret + m.Get("name").String() + "/" + m.Get("annotations").Key(accountKey).String()}}
}

type filler string

func (ca filler) reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if account, ok := strings.CutPrefix(q.Name, ofAccount); ok {
		return controller.Result{}, ca.orphans(c, q.Namespace, account)
	}
	if gone, ok := strings.CutPrefix(q.Name, ofSecret); ok {
		secret, account, _ := strings.Cut(gone, "/")
		return controller.Result{}, unrefer(c, q.Namespace, secret, account)
	}
	return controller.Result{}, ca.secret(c, q.Namespace, q.Name)
}

// secret brings a Secret about.
func (ca filler) secret(c client.Client, namespace, name string) error {
	s := &corev1.Secret{}
	if err := c.Get(s, namespace, name); err != nil {
		return unless(err, client.IsNotFound)
	}
	account, err := accountOf(c, namespace, s.Annotations[accountKey])
	if err != nil {
		return err
	}
	switch decide(s, account, []byte(ca)) {
	case remove:
		return drop(c, s)
	case fill:
		return ca.fill(c, s, account)
	}
	return nil
}

// accountOf is the account of the name; nil if there is none.
func accountOf(c client.Client, namespace, name string) (*corev1.ServiceAccount, error) {
	a := &corev1.ServiceAccount{}
	if name == "" {
		return nil, nil
	}
	if err := c.Get(a, namespace, name); err != nil {
		return nil, unless(err, client.IsNotFound)
	}
	return a, nil
}

// fill writes what a Secret lacks. Whoever changes or deletes it, or its account,
// meanwhile, is told of by another request.
func (ca filler) fill(c client.Client, s *corev1.Secret, account *corev1.ServiceAccount) error {
	var token string
	if needsToken(s) {
		ask := &authenticationv1.TokenRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: account.Name, UID: account.UID, Annotations: map[string]string{legacy: "true"}},
			Spec:       authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: s.Name, UID: s.UID}},
		}
		if err := c.CreateSubresource("v1/serviceaccounts", "token", ask, ask); err != nil {
			return unless(err, client.IsNotFound)
		}
		token = ask.Status.Token
	}
	err := c.Patch(s, client.Patch{Data: filling(s, account, []byte(ca), token)})
	return unless(err, client.IsNotFound, client.IsConflict)
}

// drop deletes a Secret whose account is gone.
func drop(c client.Client, s *corev1.Secret) error {
	err := c.Delete(s, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(s.UID)})
	return unless(err, client.IsNotFound, client.IsConflict)
}

// orphans deletes the Secrets of an account that is gone. There may be another one of the
// name by now.
func (ca filler) orphans(c client.Client, namespace, name string) error {
	account, err := accountOf(c, namespace, name)
	if err != nil {
		return err
	}
	var all []*corev1.Secret
	if err := c.List(&all, client.ListOptions{Namespace: namespace, Fields: "type=" + secretType}); err != nil {
		return err
	}
	var errs []error
	for _, s := range all {
		if s.Annotations[accountKey] == name && decide(s, account, []byte(ca)) == remove {
			errs = append(errs, drop(c, s))
		}
	}
	return errors.Join(errs...)
}

// unrefer takes a Secret that is gone out of those of its account.
func unrefer(c client.Client, namespace, secret, name string) error {
	if err := c.Get(&corev1.Secret{}, namespace, secret); !client.IsNotFound(err) {
		return err // there is one of the name again
	}
	a, err := accountOf(c, namespace, name)
	if err != nil || a == nil {
		return err
	}
	left, changed := without(a.Secrets, secret)
	if !changed {
		return nil
	}
	err = c.Patch(a, client.Patch{Data: map[string]any{"metadata": map[string]string{"uid": a.UID, "resourceVersion": a.ResourceVersion}, "secrets": left}})
	return unless(err, client.IsNotFound)
}

// unless is the error, but for one of the kinds.
func unless(err error, kinds ...func(error) bool) error {
	for _, is := range kinds {
		if is(err) {
			return nil
		}
	}
	return err
}

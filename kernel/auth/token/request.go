package token

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

const (
	defaultLifetime = time.Hour
	minLifetime     = 10 * time.Minute
)

var requestKind = schema.GroupKind{Group: authenticationv1.GroupName, Kind: "TokenRequest"}

// Request is the action of serviceaccounts/token: it answers a TokenRequest
// with a token of the account. As upstream's, a dry run does so too: nothing is
// stored of one that is none.
func (a *Authority) Request(ctx context.Context, _ user.Info, t registry.Target, obj *watch.Object, body runtime.Object, _ registry.WriteOptions) (*registry.Result, error) {
	req, ok := body.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a TokenRequest, got a %T", body))
	}
	account, ok := obj.Obj.(*corev1.ServiceAccount)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%s is a %T", obj.Key, obj.Obj))
	}
	if err := isOf(req, account); err != nil {
		return nil, err
	}
	if _, legacy := req.Annotations[LegacyAnnotation]; legacy {
		return a.requestLegacy(ctx, req, account)
	}
	out := req.DeepCopy()
	a.setDefaults(&out.Spec)
	if errs := validate(&out.Spec); len(errs) > 0 {
		return nil, apierrors.NewInvalid(requestKind, "", errs)
	}
	k := kubernetesClaims{Namespace: account.Namespace, Account: ref{account.Name, string(account.UID)}}
	if out.Spec.BoundObjectRef != nil {
		if err := a.bind(ctx, &k, out.Spec.BoundObjectRef); err != nil {
			return nil, err
		}
	}
	lifetime := min(time.Duration(*out.Spec.ExpirationSeconds)*time.Second, a.cfg.MaxLifetime)
	signed, end, err := a.sign(serviceaccount.MakeUsername(account.Namespace, account.Name), out.Spec.Audiences, lifetime, k)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("sign token: %w", err))
	}
	seconds := int64(lifetime / time.Second)
	out.Spec.ExpirationSeconds = &seconds
	out.Name, out.Namespace, out.UID = account.Name, account.Namespace, account.UID
	out.CreationTimestamp = resource.Timestamp(a.cfg.Clock.Now())
	out.Status = authenticationv1.TokenRequestStatus{Token: signed, ExpirationTimestamp: resource.Timestamp(end)}
	return &registry.Result{Answer: out}, nil
}

// isOf refuses a request that names another account than that of its path.
func isOf(req *authenticationv1.TokenRequest, account *corev1.ServiceAccount) error {
	if req.Name != "" && req.Name != account.Name {
		return apierrors.NewInvalid(requestKind, account.Name, field.ErrorList{field.Invalid(field.NewPath("metadata").Child("name"), req.Name,
			"must match the service account name if specified")})
	}
	if req.UID != "" && req.UID != account.UID {
		return apierrors.NewConflict(schema.GroupResource{Group: requestKind.Group, Resource: requestKind.Kind}, account.Name,
			fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", req.UID, account.UID))
	}
	return nil
}

func (a *Authority) setDefaults(s *authenticationv1.TokenRequestSpec) {
	if len(s.Audiences) == 0 {
		s.Audiences = append([]string(nil), a.cfg.Audiences...)
	}
	if s.ExpirationSeconds == nil {
		seconds := int64(defaultLifetime / time.Second)
		s.ExpirationSeconds = &seconds
	}
}

func validate(s *authenticationv1.TokenRequestSpec) field.ErrorList {
	path := field.NewPath("spec")
	if len(s.Attestations) > 0 && !isWebhook(s.BoundObjectRef) {
		return field.ErrorList{field.Invalid(path.Child("attestations"), s.Attestations, "attestations may only be specified with a webhook bound object reference")}
	}
	switch seconds := *s.ExpirationSeconds; {
	case seconds < int64(minLifetime/time.Second):
		return field.ErrorList{field.Invalid(path.Child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes")}
	case seconds > 1<<32:
		return field.ErrorList{field.Invalid(path.Child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds")}
	}
	return nil
}

// isWebhook tells a reference to a configuration of webhooks. Tokens cannot be bound to
// one: that is a feature of upstream's which is off by default
// (APIServerWebhookAuthenticationToken).
func isWebhook(b *authenticationv1.BoundObjectReference) bool {
	return b != nil && b.APIVersion == "admissionregistration.k8s.io/v1" &&
		(b.Kind == "ValidatingWebhookConfiguration" || b.Kind == "MutatingWebhookConfiguration")
}

// bind adds the object that the token shall not outlive.
func (a *Authority) bind(ctx context.Context, k *kubernetesClaims, b *authenticationv1.BoundObjectReference) error {
	namespace := k.Namespace
	var gr schema.GroupResource
	switch {
	case b.APIVersion == "v1" && b.Kind == "Pod":
		gr = pods
	case b.APIVersion == "v1" && b.Kind == "Secret":
		gr = secrets
	case b.APIVersion == "v1" && b.Kind == "Node":
		gr, namespace = nodes, ""
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", schema.FromAPIVersionAndKind(b.APIVersion, b.Kind)))
	}
	o, err := a.boundObject(ctx, gr, namespace, b)
	if err != nil {
		return err
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return err
	}
	bound := &ref{m.GetName(), string(m.GetUID())}
	switch x := o.(type) {
	case *corev1.Pod:
		if x.Spec.ServiceAccountName != k.Account.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", k.Account.Name))
		}
		k.Pod = bound
		k.Node = a.nodeOf(ctx, x)
	case *corev1.Secret:
		k.Secret = bound
	case *corev1.Node:
		k.Node = bound
	}
	return nil
}

// boundObject is the object that a reference means.
func (a *Authority) boundObject(ctx context.Context, gr schema.GroupResource, namespace string, b *authenticationv1.BoundObjectReference) (runtime.Object, error) {
	o, err := a.cfg.Reader.Get(ctx, gr, namespace, b.Name)
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	if b.UID != "" && b.UID != m.GetUID() {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: b.Kind}, b.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", b.UID))
	}
	return o, nil
}

// nodeOf names the node that a pod is bound to, with the node's UID while it
// exists.
func (a *Authority) nodeOf(ctx context.Context, p *corev1.Pod) *ref {
	if p.Spec.NodeName == "" {
		return nil
	}
	r := &ref{Name: p.Spec.NodeName}
	if o, err := a.cfg.Reader.Get(ctx, nodes, "", r.Name); err == nil {
		if m, err := meta.Accessor(o); err == nil {
			r.UID = string(m.GetUID())
		}
	}
	return r
}

var _ registry.Action = (*Authority)(nil).Request

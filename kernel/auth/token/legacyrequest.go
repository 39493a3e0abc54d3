package token

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// LegacyAnnotation, "true" at a TokenRequest that is bound to a Secret of the type
// kubernetes.io/service-account-token, asks for the token that the Secret is to hold, in
// place of one that ends: spec.expirationSeconds, which the API fills in, is not heard.
// Whoever may ask for tokens of the account may ask for it: it is good for nobody before
// somebody who may change the Secret puts it there.
//
// RATIONALE.md: "Who signs the tokens that Secrets hold?"
const LegacyAnnotation = "authentication.pintle.dev/legacy-token"

// requestLegacy answers a TokenRequest that asks for the token of a Secret.
func (a *Authority) requestLegacy(ctx context.Context, req *authenticationv1.TokenRequest, account *corev1.ServiceAccount) (*registry.Result, error) {
	if errs := validateLegacy(req); len(errs) > 0 {
		return nil, apierrors.NewInvalid(requestKind, "", errs)
	}
	b := req.Spec.BoundObjectRef
	o, err := a.boundObject(ctx, secrets, account.Namespace, b)
	if err != nil {
		return nil, err
	}
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("secret %s is a %T", b.Name, o))
	}
	if err := holds(secret, account); err != nil {
		return nil, apierrors.NewInvalid(requestKind, "", field.ErrorList{err})
	}
	signed, err := a.signLegacy(account, secret.Name)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("sign token: %w", err))
	}
	out := req.DeepCopy()
	out.Spec.Audiences, out.Spec.ExpirationSeconds = append([]string(nil), a.cfg.Audiences...), nil
	out.Name, out.Namespace, out.UID = account.Name, account.Namespace, account.UID
	out.CreationTimestamp = resource.Timestamp(a.cfg.Clock.Now())
	out.Status = authenticationv1.TokenRequestStatus{Token: signed}
	return &registry.Result{Answer: out}, nil
}

func validateLegacy(req *authenticationv1.TokenRequest) field.ErrorList {
	if v := req.Annotations[LegacyAnnotation]; v != "true" {
		return field.ErrorList{field.NotSupported(field.NewPath("metadata", "annotations").Key(LegacyAnnotation), v, []string{"true"})}
	}
	s, path := &req.Spec, field.NewPath("spec")
	var errs field.ErrorList
	if len(s.Audiences) > 0 {
		errs = append(errs, field.Invalid(path.Child("audiences"), s.Audiences, "the token that a Secret holds is for all audiences of this server: leave it out"))
	}
	if len(s.Attestations) > 0 {
		errs = append(errs, field.Invalid(path.Child("attestations"), s.Attestations, "attestations may only be specified with a webhook bound object reference"))
	}
	if b := s.BoundObjectRef; b == nil {
		errs = append(errs, field.Required(path.Child("boundObjectRef"), "the Secret that is to hold the token"))
	} else if b.APIVersion != "v1" || b.Kind != "Secret" {
		errs = append(errs, field.Invalid(path.Child("boundObjectRef"), b.APIVersion+" "+b.Kind, "must be a Secret of v1, which is to hold the token"))
	}
	return errs
}

// holds tells why a Secret is none for a token of the account.
func holds(s *corev1.Secret, account *corev1.ServiceAccount) *field.Error {
	path := field.NewPath("spec", "boundObjectRef", "name")
	switch uid := s.Annotations[corev1.ServiceAccountUIDKey]; {
	case s.DeletionTimestamp != nil:
		return field.Invalid(path, s.Name, "the Secret is being deleted")
	case s.Type != corev1.SecretTypeServiceAccountToken:
		return field.Invalid(path, s.Name, fmt.Sprintf("the Secret must be of type %s, not %s", corev1.SecretTypeServiceAccountToken, s.Type))
	case s.Annotations[corev1.ServiceAccountNameKey] != account.Name:
		return field.Invalid(path, s.Name, fmt.Sprintf("the Secret must name the account %s by annotation %s", account.Name, corev1.ServiceAccountNameKey))
	case uid != "" && uid != string(account.UID):
		return field.Invalid(path, s.Name, fmt.Sprintf("the Secret belongs to an account of that name with uid %s, not %s", uid, account.UID))
	}
	return nil
}

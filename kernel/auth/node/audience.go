package node

import (
	"context"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
)

// audience lets a node have tokens for those audiences only that the pod names:
// a node that is broken into must not get tokens for whom its pods never talk
// to. An administrator may grant more by the verb
// request-serviceaccounts-token-audience on a resource named as the audience,
// as upstream.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
func (n *Restriction) audience(ctx context.Context, a *admission.Attributes, pod *corev1.Pod, s *authenticationv1.TokenRequestSpec) error {
	wanted := ""
	switch len(s.Audiences) {
	case 0:
	case 1:
		wanted = s.Audiences[0]
	default:
		return fmt.Errorf("node may only request 0 or 1 audiences")
	}
	named, err := n.names(ctx, pod, wanted)
	if named || err != nil {
		return err
	}
	if n.Authorizer != nil && wanted != "" {
		decision, _, err := n.Authorizer.Authorize(ctx, authorizer.AttributesRecord{User: a.User, Verb: "request-serviceaccounts-token-audience",
			Namespace: a.Namespace, APIVersion: "v1", Resource: wanted, Name: a.Name, ResourceRequest: true})
		if decision == authorizer.DecisionAllow {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("audience %q not found in pod spec volume", wanted)
}

// names tells whether one of a pod's volumes wants a token for an audience.
func (n *Restriction) names(ctx context.Context, pod *corev1.Pod, audience string) (bool, error) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience
		}) {
			return true, nil
		}
		driver, err := n.driver(ctx, pod, v)
		if err != nil {
			return false, err
		}
		if wants, err := n.driverWants(ctx, driver, audience); wants || err != nil {
			return wants, err
		}
	}
	return false, nil
}

// driver is the CSI driver that mounts a volume; "" for none.
func (n *Restriction) driver(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	claim := ""
	switch {
	case v.CSI != nil:
		return v.CSI.Driver, nil
	case v.PersistentVolumeClaim != nil:
		claim = v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		claim = pod.Name + "-" + v.Name
	default:
		return "", nil
	}
	pvc, err := get[*corev1.PersistentVolumeClaim](ctx, n, pvcResource, pod.Namespace, claim)
	if err != nil || pvc == nil || pvc.Spec.VolumeName == "" {
		return "", err
	}
	pv, err := get[*corev1.PersistentVolume](ctx, n, schema.GroupResource{Resource: "persistentvolumes"}, "", pvc.Spec.VolumeName)
	if err != nil || pv == nil || pv.Spec.CSI == nil {
		return "", err
	}
	return pv.Spec.CSI.Driver, nil
}

func (n *Restriction) driverWants(ctx context.Context, driver, audience string) (bool, error) {
	if driver == "" {
		return false, nil
	}
	d, err := get[*storagev1.CSIDriver](ctx, n, schema.GroupResource{Group: storagev1.GroupName, Resource: "csidrivers"}, "", driver)
	if err != nil || d == nil {
		return false, err
	}
	return slices.ContainsFunc(d.Spec.TokenRequests, func(r storagev1.TokenRequest) bool { return r.Audience == audience }), nil
}

// get reads an object; nil if there is none.
func get[T any](ctx context.Context, n *Restriction, gr schema.GroupResource, namespace, name string) (none T, err error) {
	o, err := n.Reader.Get(ctx, gr, namespace, name)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	x, ok := o.(T)
	if !ok {
		return none, fmt.Errorf("unexpected type %T", o)
	}
	return x, nil
}

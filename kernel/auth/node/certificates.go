package node

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
)

// checkRequest lets a node ask for certificates of its own name only, from the
// signers of nodes. The signer checks the rest.
func checkRequest(node string, a *admission.Attributes) error {
	if a.Operation != admission.Create {
		return nil
	}
	r, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if r.Spec.SignerName != certificatesv1.KubeletServingSignerName && r.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	b, _ := pem.Decode(r.Spec.Request)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return errors.New("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return fmt.Errorf("unable to parse csr: %w", err)
	}
	if csr.Subject.CommonName != userPrefix+node {
		return fmt.Errorf("can only create a node CSR with CN=%s%s", userPrefix, node)
	}
	return nil
}

// podCertificate lets a node ask for certificates of the pods that run on it,
// of signers that the pod itself names, or that somebody allowed it to ask.
func (n *Restriction) podCertificate(ctx context.Context, node string, a *admission.Attributes) error {
	if a.Operation != admission.Create || a.Subresource != "" {
		return fmt.Errorf("unexpected operation %q, node %q can only create PodCertificateRequests", a.Operation, node)
	}
	r, ok := a.Object.(*certificatesv1beta1.PodCertificateRequest)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if string(r.Spec.NodeName) != node {
		return fmt.Errorf("PodCertificateRequest.Spec.NodeName=%q, which is not the requesting node %q", r.Spec.NodeName, node)
	}
	for _, x := range []struct {
		gr              schema.GroupResource
		namespace, name string
		uid             string
	}{
		{nodeResource, "", node, string(r.Spec.NodeUID)},
		{podResource, a.Namespace, r.Spec.PodName, string(r.Spec.PodUID)},
		{accountResource, a.Namespace, r.Spec.ServiceAccountName, string(r.Spec.ServiceAccountUID)},
	} {
		o, err := n.Reader.Get(ctx, x.gr, x.namespace, x.name)
		if err != nil {
			return err
		}
		if m, ok := o.(metav1.Object); !ok || string(m.GetUID()) != x.uid {
			// It may have been made anew: the node shall look again.
			return apierrors.NewConflict(x.gr, x.name, fmt.Errorf("PodCertificateRequest names UID %q, which is not the one in record", x.uid))
		}
		if pod, ok := o.(*corev1.Pod); ok {
			if err := podMayAsk(node, pod, r); err != nil {
				return err
			}
			if !mounts(pod, r.Spec.SignerName) && !n.mayRequest(ctx, a, r) {
				return fmt.Errorf("pod %q does not mount a podCertificate projected volume for signer %q", pod.Name, r.Spec.SignerName)
			}
		}
	}
	return nil
}

func podMayAsk(node string, pod *corev1.Pod, r *certificatesv1beta1.PodCertificateRequest) error {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case pod.Spec.NodeName != node:
		return fmt.Errorf("pod %q is not running on node %q", pod.Name, node)
	case mirror:
		return fmt.Errorf("pod %q is a mirror pod", pod.Name)
	case pod.Spec.ServiceAccountName != r.Spec.ServiceAccountName:
		return fmt.Errorf("pod %q has serviceAccountName %q, not %q", pod.Name, pod.Spec.ServiceAccountName, r.Spec.ServiceAccountName)
	}
	return nil
}

// mounts reports whether a pod names a signer.
func mounts(pod *corev1.Pod, signer string) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.PodCertificate != nil && s.PodCertificate.SignerName == signer {
				return true
			}
		}
	}
	return false
}

// verbRequestSigner is asked of a signer, whose "/" is a ":" as in the names of
// ClusterTrustBundles, and of a service account; upstream's.
const verbRequestSigner = "request-serviceaccounts-podcertificate-signer"

// mayRequest reports whether somebody allowed a node to ask a signer for
// certificates of a service account that no volume names.
func (n *Restriction) mayRequest(ctx context.Context, a *admission.Attributes, r *certificatesv1beta1.PodCertificateRequest) bool {
	if n.Authorizer == nil {
		return false
	}
	d, _, _ := n.Authorizer.Authorize(ctx, authorizer.AttributesRecord{User: a.User, Verb: verbRequestSigner, ResourceRequest: true,
		APIGroup: a.Resource.Group, APIVersion: a.Resource.Version, Namespace: a.Namespace,
		Resource: strings.ReplaceAll(r.Spec.SignerName, "/", ":"), Name: r.Spec.ServiceAccountName})
	return d == authorizer.DecisionAllow // whatever errors there were beside
}

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	kubeletapis "k8s.io/kubelet/pkg/apis"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Restriction is the admission rule for node agents' writes. It must fail
// closed.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
type Restriction struct {
	Reader resource.Reader
	// Authorizer says for which audiences a node may have tokens, and of which
	// signers certificates, besides those that its pods name. Nil: none.
	Authorizer authorizer.UnconditionalAuthorizer
}

// Validate implements admission.Validator.
func (n *Restriction) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.User == nil {
		return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, errNobody)
	}
	node, ok := Identity(a.User)
	if !ok {
		return nil
	}
	err := n.check(ctx, node, a)
	if err == nil || apierrors.ReasonForError(err) != "" {
		return err
	}
	return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, err)
}

var errNobody = errors.New("no user on the request")

func (n *Restriction) check(ctx context.Context, node string, a *admission.Attributes) error {
	if node == "" {
		return fmt.Errorf("could not determine node from user %q", a.User.GetName())
	}
	switch (schema.GroupResource{Group: a.Resource.Group, Resource: a.Resource.Resource}) {
	case podResource:
		return n.pod(ctx, node, a)
	case nodeResource:
		return checkNode(node, a)
	case pvcResource:
		return claimStatus(node, a)
	case volumeResource:
		return letVolumeGo(node, a)
	case accountResource:
		return n.token(ctx, node, a)
	case schema.GroupResource{Group: certificatesv1.GroupName, Resource: "certificatesigningrequests"}:
		return checkRequest(node, a)
	case podCertificateResource:
		return n.podCertificate(ctx, node, a)
	case sliceResource:
		return checkSlice(node, a)
	case schema.GroupResource{Group: coordinationv1.GroupName, Resource: "leases"}:
		return checkLease(node, a)
	case schema.GroupResource{Group: "storage.k8s.io", Resource: "csinodes"}:
		if name := nameOf(a); name != node {
			return fmt.Errorf("node %q can only access its own CSINode", node)
		}
	}
	return nil
}

// nameOf is the name of the object written; on create the path has none.
func nameOf(a *admission.Attributes) string {
	if a.Name != "" {
		return a.Name
	}
	if m, err := meta.Accessor(a.Object); a.Object != nil && err == nil {
		return m.GetName()
	}
	return ""
}

func (n *Restriction) pod(ctx context.Context, node string, a *admission.Attributes) error {
	switch a.Subresource {
	case "":
		switch a.Operation {
		case admission.Create:
			return n.mirrorPod(ctx, node, a.Object)
		case admission.Delete:
			return n.onNode(ctx, node, a, "can only delete pods with spec.nodeName set to itself")
		}
		return fmt.Errorf("unexpected operation %q, node %q can only create and delete mirror pods", a.Operation, node)
	case "status":
		if a.Operation != admission.Update {
			return fmt.Errorf("unexpected operation %q", a.Operation)
		}
		return podStatus(node, a)
	case "eviction":
		if _, ok := a.Object.(*policyv1.Eviction); !ok && a.Object != nil {
			return fmt.Errorf("unexpected type %T", a.Object)
		}
		return n.onNode(ctx, node, a, "can only evict pods with spec.nodeName set to itself")
	}
	return fmt.Errorf("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", a.Subresource)
}

// onNode checks the stored pod, which a delete or an eviction does not carry.
func (n *Restriction) onNode(ctx context.Context, node string, a *admission.Attributes, text string) error {
	pod, ok := a.Old.(*corev1.Pod)
	if !ok {
		o, err := n.Reader.Get(ctx, podResource, a.Namespace, nameOf(a))
		if err != nil {
			return err
		}
		if pod, ok = o.(*corev1.Pod); !ok {
			return fmt.Errorf("unexpected type %T", o)
		}
	}
	if pod.Spec.NodeName != node {
		return fmt.Errorf("node %q %s", node, text)
	}
	return nil
}

func podStatus(node string, a *admission.Attributes) error {
	old, ok := a.Old.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Old)
	}
	if old.Spec.NodeName != node {
		return fmt.Errorf("node %q can only update pod status for pods with spec.nodeName set to itself", node)
	}
	p, ok := a.Object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if !maps.Equal(old.Labels, p.Labels) {
		return fmt.Errorf("node %q cannot update labels through pod status", node)
	}
	if !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, p.Status.ResourceClaimStatuses) {
		return fmt.Errorf("node %q cannot update resource claim statuses", node)
	}
	return nil
}

func checkNode(node string, a *admission.Attributes) error {
	if name := nameOf(a); name != node {
		return fmt.Errorf("node %q is not allowed to modify node %q", node, name)
	}
	if a.Operation != admission.Create && a.Operation != admission.Update {
		return nil
	}
	obj, ok := a.Object.(*corev1.Node)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if a.Operation == admission.Create {
		if obj.Spec.ConfigSource != nil {
			return fmt.Errorf("node %q is not allowed to create nodes with a non-nil configSource", node)
		}
		if bad := forbiddenLabels(obj.Labels, nil); len(bad) > 0 {
			return fmt.Errorf("node %q is not allowed to set the following labels: %s", node, strings.Join(bad, ", "))
		}
		if obj.Spec.PodCIDR != "" || len(obj.Spec.PodCIDRs) > 0 {
			return errPodCIDR(node)
		}
		return nil
	}
	old, ok := a.Old.(*corev1.Node)
	switch {
	case !ok:
		return fmt.Errorf("unexpected type %T", a.Old)
	case obj.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(obj.Spec.ConfigSource, old.Spec.ConfigSource):
		return fmt.Errorf("node %q is not allowed to update configSource to a new non-nil configSource", node)
	case !equality.Semantic.DeepEqual(obj.Spec.Taints, old.Spec.Taints):
		return fmt.Errorf("node %q is not allowed to modify taints", node)
	case !equality.Semantic.DeepEqual(obj.OwnerReferences, old.OwnerReferences):
		return fmt.Errorf("node %q is not allowed to modify ownerReferences", node)
	case obj.Spec.PodCIDR != old.Spec.PodCIDR || !slices.Equal(obj.Spec.PodCIDRs, old.Spec.PodCIDRs):
		return errPodCIDR(node)
	}
	if bad := forbiddenLabels(obj.Labels, old.Labels); len(bad) > 0 {
		return fmt.Errorf("is not allowed to modify labels: %s", strings.Join(bad, ", "))
	}
	return nil
}

// errPodCIDR refuses a range of pod addresses that a node takes for itself.
// Upstream's rule leaves it to whoever lays the routes; here all nodes send what
// is meant for the range to the node, so that it could take what is meant for
// the pods of others.
func errPodCIDR(node string) error {
	return fmt.Errorf("node %q is not allowed to set spec.podCIDR: node-ipam or an administrator gives it one", node)
}

// forbiddenLabels are the changed labels by which a node could draw workloads
// to itself: those reserved for administrators, and unknown ones of
// Kubernetes' own domains.
func forbiddenLabels(now, before map[string]string) []string {
	bad := map[string]bool{}
	check := func(k string) {
		domain, _, ok := strings.Cut(k, "/")
		if !ok {
			return
		}
		const reserved = corev1.LabelNamespaceNodeRestriction
		if under(domain, reserved) || ((under(domain, "kubernetes.io") || under(domain, "k8s.io")) && !kubeletapis.IsKubeletLabel(k)) {
			bad[k] = true
		}
	}
	for k, v := range now {
		if old, ok := before[k]; !ok || old != v {
			check(k)
		}
	}
	for k := range before {
		if _, ok := now[k]; !ok {
			check(k)
		}
	}
	return slices.Sorted(maps.Keys(bad))
}

func under(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// token lets a node ask for tokens of the pods that run on it.
func (n *Restriction) token(ctx context.Context, node string, a *admission.Attributes) error {
	if a.Operation != admission.Create || a.Subresource != "token" {
		return nil
	}
	req, ok := a.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	ref := req.Spec.BoundObjectRef
	switch {
	case ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "":
		return fmt.Errorf("node requested token not bound to a pod")
	case ref.UID == "":
		return fmt.Errorf("node requested token with a pod binding without a uid")
	}
	o, err := n.Reader.Get(ctx, podResource, a.Namespace, ref.Name)
	if err != nil {
		return err
	}
	pod, ok := o.(*corev1.Pod)
	switch {
	case !ok:
		return fmt.Errorf("unexpected type %T", o)
	case pod.UID != ref.UID:
		return fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != node:
		return fmt.Errorf("node requested token bound to a pod scheduled on a different node")
	}
	return n.audience(ctx, a, pod, &req.Spec)
}

func checkLease(node string, a *admission.Attributes) error {
	if a.Namespace != leaseSpace {
		return fmt.Errorf("can only access leases in the %q system namespace", leaseSpace)
	}
	if name := nameOf(a); name != node {
		return fmt.Errorf("can only access node lease with the same name as the requesting node")
	}
	return nil
}

var _ admission.Validator = (*Restriction)(nil)

// Package node keeps a node's agent to what its node needs. The Authorizer
// lets system:node:NAME read the secrets, configmaps and volumes that pods on
// that node refer to, and its own objects; Restriction, an admission rule,
// keeps it from writing more than its own node, lease and pods.
//
// Unlike upstream's, node agents may read all Node objects: they lay the
// routes between nodes themselves.
//
// https://kubernetes.io/docs/reference/access-authn-authz/node/
// RATIONALE.md: "Why may node agents read all Node objects?"
package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/resource"
)

const (
	userPrefix = "system:node:"
	leaseSpace = corev1.NamespaceNodeLease
)

var (
	podResource        = schema.GroupResource{Resource: "pods"}
	nodeResource       = schema.GroupResource{Resource: "nodes"}
	volumeResource     = schema.GroupResource{Resource: "persistentvolumes"}
	pvcResource        = schema.GroupResource{Resource: "persistentvolumeclaims"}
	accountResource    = schema.GroupResource{Resource: "serviceaccounts"}
	attachmentResource = schema.GroupResource{Group: storagev1.GroupName, Resource: "volumeattachments"}
	sliceResource      = schema.GroupResource{Group: resourcev1.GroupName, Resource: "resourceslices"}

	podCertificateResource = schema.GroupResource{Group: certificatesv1.GroupName, Resource: "podcertificaterequests"}
)

// RemoteAddress is the key under which a node agent's user.Info names the
// address that its connection came from. The authenticator sets it, nobody
// else can.
const RemoteAddress = "pintle.dev/remote-address"

// Identity is the node that a user is the agent of, and whether it is one's
// agent at all. A member of system:nodes without a node's name is the agent
// of "".
func Identity(u user.Info) (node string, ok bool) {
	if u == nil || !slices.Contains(u.GetGroups(), user.NodesGroup) {
		return "", false
	}
	name, ok := strings.CutPrefix(u.GetName(), userPrefix)
	if !ok {
		return "", false
	}
	return name, true
}

// Rules says what any node agent may do at most (the rules of the role
// system:node), and decides by them.
type Rules interface {
	Allows(a authorizer.Attributes) bool
}

// Authorizer decides requests of node agents.
type Authorizer struct {
	r     resource.Reader
	rules Rules
}

// NewAuthorizer makes an Authorizer that reads pods and volumes of the hub
// version from r.
func NewAuthorizer(r resource.Reader, rules Rules) *Authorizer { return &Authorizer{r, rules} }

// Authorize implements authorizer.UnconditionalAuthorizer. It has no opinion
// about anybody but node agents, and never denies.
func (z *Authorizer) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	node, ok := Identity(a.GetUser())
	if !ok {
		return authorizer.DecisionNoOpinion, "", nil
	}
	if node == "" {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("unknown node for user %q", a.GetUser().GetName()), nil
	}
	if !z.rules.Allows(a) {
		return authorizer.DecisionNoOpinion, "", nil
	}
	if reason := z.narrow(ctx, node, a); reason != "" {
		return authorizer.DecisionNoOpinion, reason, nil
	}
	return authorizer.DecisionAllow, "", nil
}

// narrow returns why a request that the rules allow is not this node's
// business; "" when it is.
func (z *Authorizer) narrow(ctx context.Context, node string, a authorizer.Attributes) string {
	if !a.IsResourceRequest() {
		return ""
	}
	switch (schema.GroupResource{Group: a.GetAPIGroup(), Resource: a.GetResource()}) {
	case schema.GroupResource{Resource: "secrets"}:
		return z.related(ctx, node, a, refSecret)
	case schema.GroupResource{Resource: "configmaps"}:
		return z.related(ctx, node, a, refConfigMap)
	case accountResource:
		return z.related(ctx, node, a, refServiceAccount)
	case pvcResource:
		return z.related(ctx, node, a, refClaim)
	case schema.GroupResource{Group: "resource.k8s.io", Resource: "resourceclaims"}:
		return z.related(ctx, node, a, refResourceClaim)
	case volumeResource:
		return z.volume(ctx, node, a)
	case attachmentResource:
		return z.attachment(ctx, node, a)
	case podResource:
		return z.pod(ctx, node, a)
	case schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}:
		return lease(node, a)
	case nodeResource, schema.GroupResource{Group: storagev1.GroupName, Resource: "csinodes"}:
		return own(node, a)
	case podCertificateResource:
		return z.podCertificate(ctx, node, a)
	case sliceResource:
		if a.GetVerb() != "create" && !selects(a, "spec.nodeName", node) {
			return "can only list/watch/deletecollection resourceslices with nodeName field selector"
		}
	}
	return ""
}

func unrelated(node string) string {
	return fmt.Sprintf("no relationship found between node '%s' and this object", node)
}

// related allows an object that a pod of this node refers to.
func (z *Authorizer) related(ctx context.Context, node string, a authorizer.Attributes, kind refKind) string {
	if a.GetNamespace() == "" {
		return "can only read namespaced object of this type"
	}
	if a.GetName() == "" {
		return "No Object name found"
	}
	pods, err := z.podsOf(ctx, a.GetNamespace(), node)
	if err == nil && slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return refers(p, kind, a.GetName()) }) {
		return ""
	}
	return unrelated(node)
}

func (z *Authorizer) podsOf(ctx context.Context, namespace, node string) ([]*corev1.Pod, error) {
	list, err := z.r.List(ctx, podResource, namespace)
	if err != nil {
		return nil, err
	}
	var out []*corev1.Pod
	for _, o := range list {
		if p, ok := o.(*corev1.Pod); ok && p.Spec.NodeName == node {
			out = append(out, p)
		}
	}
	return out, nil
}

func (z *Authorizer) attachment(ctx context.Context, node string, a authorizer.Attributes) string {
	o, err := z.r.Get(ctx, attachmentResource, "", a.GetName())
	if err == nil {
		if va, ok := o.(*storagev1.VolumeAttachment); ok && va.Spec.NodeName == node {
			return ""
		}
	}
	return unrelated(node)
}

// pod allows lists of the pods of this node, and single pods that are on it.
// Writes are narrowed by Restriction, which sees the object.
func (z *Authorizer) pod(ctx context.Context, node string, a authorizer.Attributes) string {
	if a.GetSubresource() != "" {
		return ""
	}
	switch a.GetVerb() {
	case "get":
	case "list", "watch":
		if selects(a, "spec.nodeName", node) {
			return ""
		}
		if a.GetName() == "" {
			return "can only list/watch pods with spec.nodeName field selector"
		}
	default:
		return ""
	}
	o, err := z.r.Get(ctx, podResource, a.GetNamespace(), a.GetName())
	if err == nil {
		if p, ok := o.(*corev1.Pod); ok && p.Spec.NodeName == node {
			return ""
		}
	}
	return unrelated(node)
}

// podCertificate allows requests of this node; creates are narrowed by
// Restriction, which sees the object.
func (z *Authorizer) podCertificate(ctx context.Context, node string, a authorizer.Attributes) string {
	switch a.GetVerb() {
	case "create":
		return ""
	case "list", "watch":
		if !selects(a, "spec.nodeName", node) {
			return "can only list/watch podcertificaterequests with nodeName field selector"
		}
		return ""
	}
	o, err := z.r.Get(ctx, podCertificateResource, a.GetNamespace(), a.GetName())
	if err == nil {
		if r, ok := o.(*certificatesv1beta1.PodCertificateRequest); ok && string(r.Spec.NodeName) == node {
			return ""
		}
	}
	return unrelated(node)
}

func selects(a authorizer.Attributes, field, value string) bool {
	reqs, err := a.GetFieldSelector()
	if err != nil {
		return false
	}
	for _, r := range reqs {
		if r.Field == field && (r.Operator == selection.Equals || r.Operator == selection.DoubleEquals) && r.Value == value {
			return true
		}
	}
	return false
}

func lease(node string, a authorizer.Attributes) string {
	if a.GetNamespace() != leaseSpace {
		return fmt.Sprintf("can only access leases in the %q system namespace", leaseSpace)
	}
	if a.GetVerb() != "create" && a.GetName() != node {
		return "can only access node lease with the same name as the requesting node"
	}
	return ""
}

// own allows writes of the object that bears the node's name.
func own(node string, a authorizer.Attributes) string {
	switch a.GetVerb() {
	case "update", "patch", "delete":
		if a.GetName() != node {
			return fmt.Sprintf("node '%s' can only write its own %s", node, a.GetResource())
		}
	}
	return ""
}

var _ authorizer.UnconditionalAuthorizer = (*Authorizer)(nil)

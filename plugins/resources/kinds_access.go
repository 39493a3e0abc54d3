package resources

import (
	"context"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kubernetes/pkg/apis/certificates"
	certvalidation "k8s.io/kubernetes/pkg/apis/certificates/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
	"k8s.io/utils/clock"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

// reviewGroups are the groups whose kinds are questions: answered, not stored.
const (
	authenticationGroup = "authentication.k8s.io"
	authorizationGroup  = authorizationv1.GroupName
)

func accessKinds() []*resource.Definition {
	return []*resource.Definition{
		virtual(names{group: authenticationGroup, kind: "SelfSubjectReview", resource: "selfsubjectreviews", cluster: true}),
		virtual(names{group: authenticationGroup, kind: "TokenReview", resource: "tokenreviews", cluster: true}),
		virtual(names{group: authorizationGroup, kind: "LocalSubjectAccessReview", resource: "localsubjectaccessreviews"}),
		virtual(names{group: authorizationGroup, kind: "SelfSubjectAccessReview", resource: "selfsubjectaccessreviews", cluster: true}),
		virtual(names{group: authorizationGroup, kind: "SelfSubjectRulesReview", resource: "selfsubjectrulesreviews", cluster: true}),
		virtual(names{group: authorizationGroup, kind: "SubjectAccessReview", resource: "subjectaccessreviews", cluster: true}),
		define(names{group: rbacv1.GroupName, kind: "ClusterRole", resource: "clusterroles", cluster: true}, rule[rbacv1.ClusterRole, rbac.ClusterRole]{
			createOnUpdate: true,
			validate: func(r *rbac.ClusterRole) field.ErrorList {
				return rbacvalidation.ValidateClusterRole(r, rbacvalidation.ClusterRoleValidationOptions{})
			},
			validateUpdate: func(r, old *rbac.ClusterRole) field.ErrorList {
				return rbacvalidation.ValidateClusterRoleUpdate(r, old, rbacvalidation.ClusterRoleValidationOptions{
					AllowInvalidLabelValueInSelector: old.AggregationRule != nil && slices.ContainsFunc(old.AggregationRule.ClusterRoleSelectors, invalidSelector),
				})
			},
		}),
		define(names{group: rbacv1.GroupName, kind: "ClusterRoleBinding", resource: "clusterrolebindings", cluster: true}, rule[rbacv1.ClusterRoleBinding, rbac.ClusterRoleBinding]{
			createOnUpdate: true,
			validate:       rbacvalidation.ValidateClusterRoleBinding,
			validateUpdate: rbacvalidation.ValidateClusterRoleBindingUpdate,
		}),
		define(names{group: rbacv1.GroupName, kind: "Role", resource: "roles"}, rule[rbacv1.Role, rbac.Role]{
			createOnUpdate: true,
			validate:       rbacvalidation.ValidateRole,
			validateUpdate: rbacvalidation.ValidateRoleUpdate,
		}),
		define(names{group: rbacv1.GroupName, kind: "RoleBinding", resource: "rolebindings"}, rule[rbacv1.RoleBinding, rbac.RoleBinding]{
			createOnUpdate: true,
			validate:       rbacvalidation.ValidateRoleBinding,
			validateUpdate: rbacvalidation.ValidateRoleBindingUpdate,
		}),
	}
}

func invalidSelector(s metav1.LabelSelector) bool {
	return len(metav1validation.ValidateLabelSelector(&s, metav1validation.LabelSelectorValidationOptions{}, nil)) > 0
}

func certificateKinds(opts Options) []*resource.Definition {
	return []*resource.Definition{
		define(names{group: certificatesv1.GroupName, kind: "CertificateSigningRequest", resource: "certificatesigningrequests", short: []string{"csr"}, cluster: true},
			signingRequests(opts.Clock)),
		define(names{group: certificatesv1.GroupName, kind: "ClusterTrustBundle", resource: "clustertrustbundles", cluster: true, storage: "v1beta1"},
			rule[certificatesv1beta1.ClusterTrustBundle, certificates.ClusterTrustBundle]{
				conditional: true,
				validate: func(b *certificates.ClusterTrustBundle) field.ErrorList {
					return certvalidation.ValidateClusterTrustBundle(b, certvalidation.ValidateClusterTrustBundleOptions{})
				},
				validateUpdate: certvalidation.ValidateClusterTrustBundleUpdate,
				fields: []selectable[certificatesv1beta1.ClusterTrustBundle]{
					{"spec.signerName", func(b *certificatesv1beta1.ClusterTrustBundle) string { return b.Spec.SignerName }},
				},
			}),
		define(names{group: certificatesv1.GroupName, kind: "PodCertificateRequest", resource: "podcertificaterequests", storage: "v1beta1"},
			rule[certificatesv1beta1.PodCertificateRequest, certificates.PodCertificateRequest]{
				status:         hasStatusOnly,
				conditional:    true,
				validate:       certvalidation.ValidatePodCertificateRequestCreate,
				validateUpdate: certvalidation.ValidatePodCertificateRequestUpdate,
				validateStatus: func(r, old *certificates.PodCertificateRequest) field.ErrorList {
					return certvalidation.ValidatePodCertificateRequestStatusUpdate(r, old, opts.Clock)
				},
				fields: []selectable[certificatesv1beta1.PodCertificateRequest]{
					{"spec.signerName", func(r *certificatesv1beta1.PodCertificateRequest) string { return r.Spec.SignerName }},
					{"spec.podName", func(r *certificatesv1beta1.PodCertificateRequest) string { return r.Spec.PodName }},
					{"spec.nodeName", func(r *certificatesv1beta1.PodCertificateRequest) string { return string(r.Spec.NodeName) }},
				},
			}),
	}
}

// recordRequester notes who wants a certificate signed.
func recordRequester(obj runtime.Object, u user.Info) {
	s := &hub[certificatesv1.CertificateSigningRequest](obj).Spec
	s.Username, s.UID, s.Groups, s.Extra = u.GetName(), u.GetUID(), slices.Clone(u.GetGroups()), nil
	for k, v := range u.GetExtra() {
		if s.Extra == nil {
			s.Extra = map[string]certificatesv1.ExtraValue{}
		}
		s.Extra[k] = slices.Clone(v)
	}
}

// signingRequests record who asks, and keep approval and issuing apart: the
// approval subresource changes conditions only, status everything but them.
func signingRequests(clk clock.PassiveClock) rule[certificatesv1.CertificateSigningRequest, certificates.CertificateSigningRequest] {
	stamp := func(r, old *certificates.CertificateSigningRequest) {
		stampConditions(r.Status.Conditions, old.Status.Conditions, metav1.Time{Time: clk.Now()})
	}
	return rule[certificatesv1.CertificateSigningRequest, certificates.CertificateSigningRequest]{
		status:       hasStatus,
		finish:       func(s *resource.Strategy) { s.Requested = recordRequester },
		update:       func(_ context.Context, r, old *certificatesv1.CertificateSigningRequest) { r.Spec = old.Spec },
		resets:       []fieldpath.Path{path("spec")},
		statusResets: []fieldpath.Path{path("status", "conditions")},
		statusInternal: func(r, old *certificates.CertificateSigningRequest) {
			keepConditions(r, old, certificates.CertificateApproved)
			keepConditions(r, old, certificates.CertificateDenied)
			stamp(r, old)
		},
		validate:       certvalidation.ValidateCertificateSigningRequestCreate,
		validateUpdate: certvalidation.ValidateCertificateSigningRequestUpdate,
		validateStatus: certvalidation.ValidateCertificateSigningRequestStatusUpdate,
		fields: []selectable[certificatesv1.CertificateSigningRequest]{
			{"spec.signerName", func(r *certificatesv1.CertificateSigningRequest) string { return r.Spec.SignerName }},
		},
		subresources: []resource.Subresource{part[certificatesv1.CertificateSigningRequest]("approval", updateVerbs, without(path("spec"), path("status", "certificate")),
			func(r, old *certificates.CertificateSigningRequest) {
				conditions := slices.Clone(r.Status.Conditions)
				r.Spec, r.Status = old.Spec, old.Status
				r.Status.Conditions = conditions
				stamp(r, old)
			}, certvalidation.ValidateCertificateSigningRequestApprovalUpdate)},
	}
}

// keepConditions restores the old conditions of a type that a status update
// may not change; adding and removing them is left to validation to refuse.
func keepConditions(r, old *certificates.CertificateSigningRequest, t certificates.RequestConditionType) {
	of := func(cs []certificates.CertificateSigningRequestCondition) (out []int) {
		for i := range cs {
			if cs[i].Type == t {
				out = append(out, i)
			}
		}
		return out
	}
	is, was := of(r.Status.Conditions), of(old.Status.Conditions)
	if len(is) != len(was) {
		return
	}
	for n, i := range is {
		r.Status.Conditions[i] = old.Status.Conditions[was[n]]
	}
}

// stampConditions fills in times that the client left out.
func stampConditions(conditions, old []certificates.CertificateSigningRequestCondition, now metav1.Time) {
	for i := range conditions {
		c := &conditions[i]
		if c.LastUpdateTime.IsZero() {
			c.LastUpdateTime = now
		}
		if !c.LastTransitionTime.IsZero() {
			continue
		}
		c.LastTransitionTime = now
		same := func(o certificates.CertificateSigningRequestCondition) bool {
			return o.Type == c.Type && o.Status == c.Status && !o.LastTransitionTime.IsZero()
		}
		if k := slices.IndexFunc(old, same); k >= 0 {
			c.LastTransitionTime = old[k].LastTransitionTime
		}
	}
}

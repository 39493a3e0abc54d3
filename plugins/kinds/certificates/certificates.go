// Package certificates defines the kinds of the API group certificates.k8s.io.
package certificates

import (
	"context"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kubernetes/pkg/apis/certificates"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	certvalidation "k8s.io/kubernetes/pkg/apis/certificates/validation"
	"k8s.io/utils/clock"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds(clk clock.PassiveClock) []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: certificatesv1.GroupName, Kind: "CertificateSigningRequest", Resource: "certificatesigningrequests", NeedsImplementer: true, Short: []string{"csr"}, Cluster: true},
			signingRequests(clk)),
		kind.Define(kind.Names{Group: certificatesv1.GroupName, Kind: "ClusterTrustBundle", Resource: "clustertrustbundles", Cluster: true, Storage: "v1beta1"},
			kind.Rule[certificatesv1beta1.ClusterTrustBundle, certificates.ClusterTrustBundle]{
				Conditional: true,
				Validate: func(b *certificates.ClusterTrustBundle) field.ErrorList {
					return certvalidation.ValidateClusterTrustBundle(b, certvalidation.ValidateClusterTrustBundleOptions{})
				},
				ValidateUpdate: certvalidation.ValidateClusterTrustBundleUpdate,
				Fields: []kind.Selectable[certificatesv1beta1.ClusterTrustBundle]{
					{Label: "spec.signerName", Value: func(b *certificatesv1beta1.ClusterTrustBundle) string { return b.Spec.SignerName }},
				},
			}),
		kind.Define(kind.Names{Group: certificatesv1.GroupName, Kind: "PodCertificateRequest", Resource: "podcertificaterequests", Storage: "v1beta1"},
			kind.Rule[certificatesv1beta1.PodCertificateRequest, certificates.PodCertificateRequest]{
				Status:         kind.HasStatusOnly,
				Conditional:    true,
				Validate:       certvalidation.ValidatePodCertificateRequestCreate,
				ValidateUpdate: certvalidation.ValidatePodCertificateRequestUpdate,
				ValidateStatus: func(r, old *certificates.PodCertificateRequest) field.ErrorList {
					return certvalidation.ValidatePodCertificateRequestStatusUpdate(r, old, clk)
				},
				Fields: []kind.Selectable[certificatesv1beta1.PodCertificateRequest]{
					{Label: "spec.signerName", Value: func(r *certificatesv1beta1.PodCertificateRequest) string { return r.Spec.SignerName }},
					{Label: "spec.podName", Value: func(r *certificatesv1beta1.PodCertificateRequest) string { return r.Spec.PodName }},
					{Label: "spec.nodeName", Value: func(r *certificatesv1beta1.PodCertificateRequest) string { return string(r.Spec.NodeName) }},
				},
			}),
	}
}

// recordRequester notes who wants a certificate signed.
func recordRequester(obj runtime.Object, u user.Info) {
	s := &kind.Hub[certificatesv1.CertificateSigningRequest](obj).Spec
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
func signingRequests(clk clock.PassiveClock) kind.Rule[certificatesv1.CertificateSigningRequest, certificates.CertificateSigningRequest] {
	stamp := func(r, old *certificates.CertificateSigningRequest) {
		stampConditions(r.Status.Conditions, old.Status.Conditions, metav1.Time{Time: clk.Now()})
	}
	return kind.Rule[certificatesv1.CertificateSigningRequest, certificates.CertificateSigningRequest]{
		Status:       kind.HasStatus,
		Finish:       func(s *resource.Strategy) { s.Requested = recordRequester },
		Update:       func(_ context.Context, r, old *certificatesv1.CertificateSigningRequest) { r.Spec = old.Spec },
		Resets:       []fieldpath.Path{kind.Path("spec")},
		StatusResets: []fieldpath.Path{kind.Path("status", "conditions")},
		StatusInternal: func(r, old *certificates.CertificateSigningRequest) {
			keepConditions(r, old, certificates.CertificateApproved)
			keepConditions(r, old, certificates.CertificateDenied)
			stamp(r, old)
		},
		Validate:       certvalidation.ValidateCertificateSigningRequestCreate,
		ValidateUpdate: certvalidation.ValidateCertificateSigningRequestUpdate,
		ValidateStatus: certvalidation.ValidateCertificateSigningRequestStatusUpdate,
		Fields: []kind.Selectable[certificatesv1.CertificateSigningRequest]{
			{Label: "spec.signerName", Value: func(r *certificatesv1.CertificateSigningRequest) string { return r.Spec.SignerName }},
		},
		Subresources: []resource.Subresource{kind.Part[certificatesv1.CertificateSigningRequest]("approval", kind.UpdateVerbs, kind.Without(kind.Path("spec"), kind.Path("status", "certificate")),
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

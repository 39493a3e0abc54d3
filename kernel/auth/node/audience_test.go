package node_test

import (
	"context"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth/node"
)

// granted allows the audience "granted" and certificates of the signer
// "example.com/allowed" for the account default/sa.
type granted struct{}

func (granted) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetVerb() == "request-serviceaccounts-token-audience" && a.GetResource() == "granted" && a.GetName() == "sa" && a.GetNamespace() == "default" {
		return authorizer.DecisionAllow, "", nil
	}
	if a.GetVerb() == "request-serviceaccounts-podcertificate-signer" && a.GetAPIGroup() == "certificates.k8s.io" && a.GetResource() == "example.com:allowed" &&
		a.GetName() == "sa" && a.GetNamespace() == "default" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// TestTokensForAudiencesThatThePodNames: upstream's
// ServiceAccountNodeAudienceRestriction.
func TestTokensForAudiencesThatThePodNames(t *testing.T) {
	pod := func(name string, volumes ...corev1.VolumeSource) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: "p"}, Spec: corev1.PodSpec{NodeName: "n1", ServiceAccountName: "sa"}}
		for _, v := range volumes {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "v", VolumeSource: v})
		}
		return p
	}
	token := func(audience string) corev1.VolumeSource {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience}}}}}
	}
	claim := func(name string) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
	}
	reader := objects{
		"pods/plain":                         pod("plain"),
		"pods/api":                           pod("api", token("")),
		"pods/vault":                         pod("vault", token("vault")),
		"pods/inline":                        pod("inline", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "d"}}),
		"pods/claim":                         pod("claim", claim("own")),
		"pods/ephemeral":                     pod("ephemeral", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}),
		"pods/lost":                          pod("lost", claim("none"), token("vault")),
		"csidrivers/d":                       &storagev1.CSIDriver{Spec: storagev1.CSIDriverSpec{TokenRequests: []storagev1.TokenRequest{{Audience: "storage"}}}},
		"persistentvolumes/pv":               &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{UID: "own"}, PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d"}}}},
		"persistentvolumeclaims/own":         &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{UID: "own"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv"}},
		"persistentvolumeclaims/ephemeral-v": &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{UID: "own"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv"}},
	}
	const no = "not found in pod spec volume"
	for _, tt := range []struct {
		pod, audiences string
		want           string // "" passes
	}{
		{"api", "", ""},
		{"api", "vault", no},
		{"vault", "vault", ""},
		{"vault", "", no},
		{"vault", "vault,storage", "0 or 1 audiences"},
		{"plain", "", no},
		{"plain", "granted", ""},
		{"inline", "storage", ""},
		{"inline", "vault", no},
		{"claim", "storage", ""},
		{"ephemeral", "storage", ""},
		{"lost", "vault", ""},
		{"lost", "storage", "not found"},
		{"lost", "granted", ""},
	} {
		t.Run(tt.pod+" for "+tt.audiences, func(t *testing.T) {
			r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: tt.pod, UID: "p"}}}
			if tt.audiences != "" {
				r.Spec.Audiences = strings.Split(tt.audiences, ",")
			}
			err := (&node.Restriction{Reader: reader, Authorizer: granted{}}).Validate(t.Context(), &admission.Attributes{Operation: admission.Create,
				Resource: corev1.SchemeGroupVersion.WithResource("serviceaccounts"), Subresource: "token", Namespace: "default", Name: "sa", Object: r,
				User: &user.DefaultInfo{Name: "system:node:n1", Groups: []string{"system:nodes"}}})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

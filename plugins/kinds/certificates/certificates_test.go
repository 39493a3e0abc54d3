package certificates_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestSigningRequestsRecordWhoAsks(t *testing.T) {
	d := kindtest.Definition(t, "certificatesigningrequests.certificates.k8s.io")
	csr := func() *certificatesv1.CertificateSigningRequest {
		return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "c", ResourceVersion: "1"},
			Spec: certificatesv1.CertificateSigningRequestSpec{Username: "somebody", SignerName: "example.com/signer", Request: testCSR(t), Usages: []certificatesv1.KeyUsage{"client auth"}}}
	}
	old := csr()
	ctx := t.Context()
	d.Strategy.Requested(old, &user.DefaultInfo{Name: "jane", UID: "7", Groups: []string{"dev"}, Extra: map[string][]string{"k": {"v"}}})
	d.Strategy.PrepareForCreate(ctx, old)
	if errs := d.Strategy.Validate(ctx, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if s := old.Spec; s.Username != "jane" || s.UID != "7" || s.Groups[0] != "dev" || s.Extra["k"][0] != "v" {
		t.Errorf("asked by %+v", s)
	}
	approve := func(c *certificatesv1.CertificateSigningRequest) {
		c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "r"}}
	}
	// Only the approval subresource approves; it cannot issue.
	approved := old.DeepCopy()
	approve(approved)
	approved.Status.Certificate = []byte("x")
	approved.Spec.SignerName = "other/signer"
	if errs := kindtest.UpdateSub(t, d, "approval", approved, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(approved.Status.Conditions) != 1 || approved.Status.Conditions[0].LastTransitionTime.IsZero() || approved.Status.Certificate != nil || approved.Spec.SignerName != "example.com/signer" {
		t.Errorf("approved: %+v", approved)
	}
	sneaky := old.DeepCopy()
	approve(sneaky)
	if errs := kindtest.UpdateSub(t, d, "status", sneaky, old); len(errs) == 0 {
		t.Error("a status update approved a request")
	}
	sneaky = old.DeepCopy()
	approve(sneaky)
	sneaky.Spec.Username = "root"
	if errs := kindtest.Update(t, d, sneaky, old); len(errs) > 0 || len(sneaky.Status.Conditions) > 0 || sneaky.Spec.Username != "jane" {
		t.Errorf("an update changed spec or status: %v %+v", errs, sneaky)
	}
}

// testCSR is a PEM certificate request.
func testCSR(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

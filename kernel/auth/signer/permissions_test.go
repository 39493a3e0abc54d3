package signer_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// TestSignerTakesItsOwnVerb: who may write approvals and statuses speaks for no
// signer yet.
func TestSignerTakesItsOwnVerb(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	admin, ctx := kerneltest.Client(t, c.Admin()), t.Context()
	grant := func(user, role string, rules ...rbacv1.PolicyRule) {
		t.Helper()
		_, err := admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role}, Rules: rules}, metav1.CreateOptions{})
		if err == nil {
			_, err = admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role},
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}}, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	group := []string{certificatesv1.GroupName}
	write := rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: group, Resources: []string{"certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"}}
	signers := func(verb, name string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: group, Resources: []string{"signers"}, ResourceNames: []string{name}}
	}
	const own = "example.com/own"
	grant("writer", "writer", write)
	grant("approver", "approver", write, signers("approve", own))
	grant("signer", "signer", write, signers("sign", "example.com/*"))
	grant("other", "other", write, signers("approve", "example.org/own"), signers("sign", "example.com/other"))

	for _, tt := range []struct {
		who           string
		approve, sign bool
	}{
		{"writer", false, false}, {"approver", true, false}, {"signer", false, true}, {"other", false, false},
	} {
		t.Run(tt.who, func(t *testing.T) {
			csrs := kerneltest.Client(t, c.User(t, tt.who)).CertificatesV1().CertificateSigningRequests()
			r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: tt.who}, Spec: certificatesv1.CertificateSigningRequestSpec{
				Request: request(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}}), SignerName: own, Usages: clientUse}}
			r, err := csrs.Create(ctx, r, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, err error, want bool) {
				t.Helper()
				if (err == nil) != want || (err != nil && !apierrors.IsForbidden(err)) {
					t.Errorf("%s: got %v, want allowed=%v", what, err, want)
				}
			}
			approved := r.DeepCopy()
			approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "r"}}
			_, err = csrs.UpdateApproval(ctx, tt.who, approved, metav1.UpdateOptions{})
			check("approve", err, tt.approve)
			if r, err = csrs.Get(ctx, tt.who, metav1.GetOptions{}); err != nil {
				t.Fatal(err)
			}
			_, err = csrs.UpdateStatus(ctx, r, metav1.UpdateOptions{})
			check("status without a change", err, true)
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "r"})
			_, err = csrs.UpdateStatus(ctx, r, metav1.UpdateOptions{})
			check("fail", err, tt.sign)
		})
	}
}

func TestNobodyAsksToBeMaster(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "mallory"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    request(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "mallory", Organization: []string{"dev", "system:masters"}}}),
		SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: clientUse}}
	if _, err := kerneltest.Client(t, c.Admin()).CertificatesV1().CertificateSigningRequests().Create(t.Context(), r, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want it forbidden", err)
	}
}

// TestOneUsersRequestsAreBounded: a node must not fill the database with
// requests, nor keep others from asking.
func TestOneUsersRequestsAreBounded(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	n1, n2 := c.User(t, "system:node:n1", "system:nodes"), c.User(t, "system:node:n2", "system:nodes")
	ask := func(cfg *rest.Config, node string) error {
		r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{Request: request(t, &x509.CertificateRequest{Subject: nodeName(node)}), SignerName: clientSigner, Usages: clientUse}}
		_, err := kerneltest.Client(t, cfg).CertificatesV1().CertificateSigningRequests().Create(t.Context(), r, metav1.CreateOptions{})
		return err
	}
	for i := range signer.MaxRequests {
		if err := ask(n1, "n1"); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if err := ask(n1, "n1"); !apierrors.IsForbidden(err) {
		t.Errorf("one more: got %v, want it forbidden", err)
	}
	if err := ask(n2, "n2"); err != nil {
		t.Errorf("another node: %v", err)
	}
}

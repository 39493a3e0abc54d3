package serve_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/node/podcertificate"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// signs answers every request to a signer with a certificate for an hour, and
// denies those of pods named denied, until the test ends.
func signs(t *testing.T, c kubernetes.Interface, signer string) {
	t.Helper()
	_, ca, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.CertificatesV1().PodCertificateRequests("").Watch(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=" + signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	answer := func(r *certificatesv1.PodCertificateRequest) error {
		condition := metav1.Condition{Type: certificatesv1.PodCertificateRequestConditionTypeIssued, Status: metav1.ConditionTrue, Reason: "Signed", LastTransitionTime: metav1.Now()}
		if r.Spec.PodName == "denied" {
			condition.Type, condition.Message = certificatesv1.PodCertificateRequestConditionTypeDenied, "not you"
		} else {
			stub, err := x509.ParseCertificateRequest(r.Spec.StubPKCS10Request)
			if err != nil {
				return err
			}
			from := time.Now().Truncate(time.Second)
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(time.Hour), DNSNames: []string{r.Spec.UnverifiedUserAnnotations["example.com/name"]}}
			der, err := x509.CreateCertificate(rand.Reader, tmpl, &x509.Certificate{}, stub.PublicKey, ca)
			if err != nil {
				return err
			}
			r.Status = certificatesv1.PodCertificateRequestStatus{CertificateChain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
				NotBefore: ptr.To(metav1.NewTime(from)), NotAfter: ptr.To(metav1.NewTime(tmpl.NotAfter)), BeginRefreshAt: ptr.To(metav1.NewTime(from.Add(30 * time.Minute)))}
		}
		r.Status.Conditions = []metav1.Condition{condition}
		_, err := c.CertificatesV1().PodCertificateRequests(r.Namespace).UpdateStatus(t.Context(), r, metav1.UpdateOptions{})
		return err
	}
	go func() {
		for e := range w.ResultChan() {
			if r, ok := e.Object.(*certificatesv1.PodCertificateRequest); ok && len(r.Status.Conditions) == 0 && e.Type == "ADDED" {
				if err := answer(r); err != nil && t.Context().Err() == nil {
					t.Errorf("sign for %s: %v", r.Spec.PodName, err)
				}
			}
		}
	}()
}

// TestPodCertificates: a node asks the real API as a node, with keys of all
// types, and a signer that may no more than sign answers.
func TestPodCertificates(t *testing.T) {
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table})
	admin, ctx, create := kerneltest.Client(t, s.Admin()), t.Context(), metav1.CreateOptions{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const signer = "example.com/signer"
	for name, rule := range map[string]rbacv1.PolicyRule{
		"reader": {Verbs: []string{"get", "list", "watch"}, APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"podcertificaterequests"}},
		"writer": {Verbs: []string{"update"}, APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"podcertificaterequests/status"}},
		"signer": {Verbs: []string{"sign"}, APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"signers"}, ResourceNames: []string{signer}},
	} {
		subjects := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "the-signer"}}
		if name == "writer" {
			subjects = append(subjects, rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "mallory"})
		}
		_, err := admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule}}, create)
		must(err)
		_, err = admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}}, create)
		must(err)
	}
	_, err = admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, create)
	must(err)
	node, err := admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, create)
	must(err)
	pod := func(name, on, signer string, keyTypes ...string) *corev1.Pod {
		t.Helper()
		v := &corev1.ProjectedVolumeSource{}
		for _, k := range keyTypes {
			v.Sources = append(v.Sources, corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{SignerName: signer, KeyType: k, CredentialBundlePath: k + ".pem",
				UserAnnotations: map[string]string{"example.com/name": name + ".example.com"}}})
		}
		p, err := admin.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{NodeName: on, ServiceAccountName: "web",
			Containers: []corev1.Container{{Name: "c", Image: "i"}}, Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: v}}}}}, create)
		must(err)
		return p
	}
	signs(t, kerneltest.Client(t, s.User(t, "the-signer")), signer)
	events := record.NewFakeRecorder(10)
	m := podcertificate.New(podcertificate.Config{Client: kerneltest.Client(t, s.User(t, "system:node:n1", "system:nodes")), NodeName: "n1",
		NodeUID: func() (types.UID, error) { return node.UID, nil }, Changed: func(types.UID) {}, Recorder: events})
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- m.Run(running) }()
	defer func() {
		cancel()
		must(<-done)
	}()
	// until is what a source of a pod answers once it is what is wanted.
	until := func(p *corev1.Pod, index int, ok func(err error) bool) (key, chain []byte) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			key, chain, err := m.Credential(ctx, p, "v", index)
			if ok(err) {
				return key, chain
			}
			if time.Now().After(end) {
				t.Fatalf("source %d of pod %s: %v", index, p.Name, err)
			}
		}
	}

	types := []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}
	all := pod("all", "n1", signer, types...)
	m.Hold(all)
	for i, want := range types {
		key, chain := until(all, i, func(err error) bool { return err == nil })
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		got := "ED25519"
		switch k := pair.PrivateKey.(type) {
		case *rsa.PrivateKey:
			got = fmt.Sprintf("RSA%d", k.N.BitLen())
		case *ecdsa.PrivateKey:
			got = "ECDSA" + strings.ReplaceAll(k.Curve.Params().Name, "-", "")
		}
		if got != want || len(pair.Leaf.DNSNames) != 1 || pair.Leaf.DNSNames[0] != "all.example.com" {
			t.Errorf("%s: got a key %s for %v", want, got, pair.Leaf.DNSNames)
		}
	}

	denied := pod("denied", "n1", signer, "ECDSAP256")
	m.Hold(denied)
	until(denied, 0, func(err error) bool {
		return err != nil && err.Error() == `PodCertificateRequest was permanently denied: reason="Signed" message="not you"`
	})
	if got := <-events.Events; !strings.HasPrefix(got, "Warning Denied PodCertificateRequest default/req-") || !strings.HasSuffix(got, `was denied, reason="Signed", message="not you"`) {
		t.Errorf("event %q", got)
	}

	// A node asks for no pod of another node, and says why it does not get on.
	theirs := pod("theirs", "n2", signer, "ECDSAP256")
	m.Hold(theirs)
	until(theirs, 0, func(err error) bool {
		return err != nil && strings.HasPrefix(err.Error(), "credential bundle is not issued yet: ") && strings.Contains(err.Error(), "forbidden")
	})

	// Who may write statuses signs for no signer yet.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	stub, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(err)
	r, err := admin.CertificatesV1().PodCertificateRequests("default").Create(ctx, &certificatesv1.PodCertificateRequest{ObjectMeta: metav1.ObjectMeta{Name: "by-hand"},
		Spec: certificatesv1.PodCertificateRequestSpec{SignerName: "example.com/other", PodName: "p", PodUID: "p", ServiceAccountName: "web", ServiceAccountUID: "a", NodeName: "n1", NodeUID: "n", StubPKCS10Request: stub}}, create)
	must(err)
	r.Status.Conditions = []metav1.Condition{{Type: certificatesv1.PodCertificateRequestConditionTypeDenied, Status: metav1.ConditionTrue, Reason: "No", LastTransitionTime: metav1.Now()}}
	_, err = kerneltest.Client(t, s.User(t, "mallory")).CertificatesV1().PodCertificateRequests("default").UpdateStatus(ctx, r, metav1.UpdateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.signerName: Forbidden: User "mallory" is not permitted to "sign" for signer "example.com/other"`) {
		t.Errorf("another's signature: %v", err)
	}
}

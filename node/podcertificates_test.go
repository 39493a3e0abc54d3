package node_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"
)

// namedRequests makes the API name requests, which the fake one does not do.
func (c *cluster) namedRequests() {
	var n atomic.Int32
	c.client.PrependReactor("create", "podcertificaterequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*certificatesv1.PodCertificateRequest)
		i := n.Add(1)
		r.Name, r.UID = fmt.Sprintf("%s%d", r.GenerateName, i), types.UID(fmt.Sprint("request-", i))
		return false, nil, nil
	})
}

// sign waits for a request and answers it with a certificate that is to be
// renewed after a time.
func (c *cluster) sign(name string, renew time.Duration) {
	c.t.Helper()
	api := c.client.CertificatesV1().PodCertificateRequests("default")
	var r *certificatesv1.PodCertificateRequest
	eventually(c.t, "request "+name, func() (ok bool) {
		var err error
		r, err = api.Get(c.t.Context(), name, metav1.GetOptions{})
		return err == nil
	}, func() string { return "" })
	_, ca, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	stub, err := x509.ParseCertificateRequest(r.Spec.StubPKCS10Request)
	if err != nil {
		c.t.Fatal(err)
	}
	from := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, &x509.Certificate{}, stub.PublicKey, ca)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Status = certificatesv1.PodCertificateRequestStatus{CertificateChain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		NotAfter: ptr.To(metav1.NewTime(tmpl.NotAfter)), BeginRefreshAt: ptr.To(metav1.NewTime(from.Add(renew))),
		Conditions: []metav1.Condition{{Type: certificatesv1.PodCertificateRequestConditionTypeIssued, Status: metav1.ConditionTrue}}}
	if _, err := api.UpdateStatus(c.t.Context(), r, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// TestPodCertificates: a pod waits for its certificate and says so, reads it,
// and sees it renewed; an agent that begins asks anew, and the pod runs on.
func TestPodCertificates(t *testing.T) {
	c := newCluster(t)
	c.namedRequests()
	if _, err := c.client.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	app := shellLog("app", "cat /tls/bundle.pem; exec sleep 1000")
	app.VolumeMounts = []corev1.VolumeMount{{Name: "tls", MountPath: "/tls"}}
	p := c.pod("p", corev1.PodSpec{Containers: []corev1.Container{app}, Volumes: []corev1.Volume{{Name: "tls", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{PodCertificate: &corev1.PodCertificateProjection{
			SignerName: "example.com/s", KeyType: "ED25519", CredentialBundlePath: "bundle.pem"}}}}}}}})
	const why = `MountVolume.SetUp failed for volume "tls" : credential bundle is not issued yet: PodCertificateRequest default/req-1 waits for the signer example.com/s`
	eventually(t, "an event says what it waits for", func() bool {
		return slices.Contains(strings.Split(c.events("p"), "\n"), "FailedMount: "+why)
	}, func() string { return c.events("p") })
	c.await("p", "it waits", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodPending && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "ContainerCreating"
	})
	// bundle waits until the file shows the certificate that answered a request.
	bundle := func(name string) string {
		t.Helper()
		var text []byte
		eventually(t, "the file shows the answer to "+name, func() bool {
			var err error
			text, err = os.ReadFile(filepath.Join(c.cfg.Root, "pods", string(p.UID), "volumes/tls/bundle.pem"))
			if err != nil {
				return false
			}
			pair, err := tls.X509KeyPair(text, text)
			return err == nil && pair.Leaf.DNSNames[0] == name
		}, func() string { return string(text) })
		return string(text)
	}
	c.sign("req-1", -10*time.Minute) // which is to be renewed at once
	before := c.await("p", "it runs", ready)
	first := bundle("req-1")
	eventually(t, "it reads the bundle", func() bool {
		got := c.log("p", "app")
		return strings.HasPrefix(got, "-----BEGIN PRIVATE KEY-----") && strings.Contains(got, "-----BEGIN CERTIFICATE-----")
	}, func() string { return c.log("p", "app") })
	c.sign("req-2", time.Hour)
	if bundle("req-2") == first {
		t.Error("the same bundle")
	}

	c.halt()
	c.run()
	bundle("req-2") // the new agent knows nothing of it, and leaves it
	c.sign("req-3", time.Hour)
	bundle("req-3")
	if after := c.get("p"); after.Status.ContainerStatuses[0].ContainerID != before.Status.ContainerStatuses[0].ContainerID {
		t.Error("the container did not run on")
	}
}

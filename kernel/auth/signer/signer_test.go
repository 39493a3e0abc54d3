package signer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/resource"
)

// run starts a signer that ends with the test, on a machine with an address of
// its own. The server leads not, so that this is the only one.
func run(t *testing.T, c *kerneltest.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	as := c.Access().As // no more than its roles
	s := signer.New(signer.Config{Registry: as(auth.CertificateController), Tokens: as(auth.TokenCleaner), CA: c.PKI, Authorizer: c.Authorizer,
		Local: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.9")}
		}, Clock: late{}})
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// late takes everything for an hour older than it is.
type late struct{ clock.RealClock }

func (l late) Since(t time.Time) time.Duration { return l.RealClock.Since(t) + time.Hour }

// waits is what an event says of a request that nobody has answered; "" is none.
func waits(t *testing.T, cs *kubernetes.Clientset, name string) string {
	t.Helper()
	l, err := cs.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, e := range l.Items {
		if e.InvolvedObject.Kind == "CertificateSigningRequest" && e.InvolvedObject.Name == name {
			said += e.Reason + ": " + e.Message
		}
	}
	return said
}

func request(t *testing.T, tmpl *x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func nodeName(n string, orgs ...string) pkix.Name {
	if len(orgs) == 0 {
		orgs = []string{"system:nodes"}
	}
	return pkix.Name{CommonName: "system:node:" + n, Organization: orgs}
}

const (
	clientSigner  = certificatesv1.KubeAPIServerClientKubeletSignerName
	servingSigner = certificatesv1.KubeletServingSignerName
)

var (
	clientUse  = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	servingUse = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
)

// awaitAnswer waits until a request was answered, or stays unanswered for a while.
func awaitAnswer(t *testing.T, cs *kubernetes.Clientset, name string, wait time.Duration) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		r, err := cs.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		failed := false
		for _, c := range r.Status.Conditions {
			failed = failed || c.Type == certificatesv1.CertificateFailed || c.Type == certificatesv1.CertificateDenied
		}
		if len(r.Status.Certificate) > 0 || failed || time.Now().After(end) {
			return r
		}
	}
}

// withEvents is the small table, and Events.
func withEvents(t *testing.T) *resource.Table {
	t.Helper()
	table, err := kerneltest.Table()
	if err != nil {
		t.Fatal(err)
	}
	table.Definitions = append(table.Definitions, &resource.Definition{Resource: "events", Singular: "event", Kind: "Event", ListKind: "EventList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/events", Verbs: []string{"create", "list"}})
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestApproval(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{Follows: true, Table: withEvents(t)})
	run(t, c)
	admin := kerneltest.Client(t, c.Admin())
	ctx := t.Context()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-aaaaaa"}, Type: corev1.SecretTypeBootstrapToken, Data: map[string][]byte{
		"token-id": []byte("aaaaaa"), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-authentication": []byte("true")}}
	if _, err := admin.CoreV1().Secrets("kube-system").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Both write the API server's address and a Service's into their status, too.
	for _, name := range []string{"n1", "kubernetes.default.svc"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, a := range []string{"192.0.2.7", "192.0.2.1", "198.51.100.4", "10.96.0.1"} {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		if _, err := admin.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.NetworkingV1().IPAddresses().Create(ctx, &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: "10.96.0.1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	joiner := c.Bearer("aaaaaa.0123456789abcdef")
	n1 := c.User(t, "system:node:n1", "system:nodes")
	masked := c.User(t, "system:node:kubernetes.default.svc", "system:nodes")
	// from is a node that the server sees come from an address.
	from := func(addr string) *rest.Config {
		cfg := c.Admin()
		cfg.Impersonate = rest.ImpersonationConfig{UserName: "system:node:n1", Groups: []string{"system:nodes"}, Extra: map[string][]string{node.RemoteAddress: {addr}}}
		return cfg
	}
	ip := func(s string) []net.IP { return []net.IP{net.ParseIP(s)} }
	tests := []struct {
		name   string
		who    *rest.Config
		signer string
		usages []certificatesv1.KeyUsage
		csr    *x509.CertificateRequest
		ok     bool
	}{
		{"join", joiner, clientSigner, clientUse, &x509.CertificateRequest{Subject: nodeName("n9")}, true},
		{"renew", n1, clientSigner, clientUse, &x509.CertificateRequest{Subject: nodeName("n1")}, true},
		{"masters", joiner, clientSigner, clientUse, &x509.CertificateRequest{Subject: nodeName("n9", "system:nodes", "system:masters")}, false},
		{"no-node", joiner, clientSigner, clientUse, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "root", Organization: []string{"system:nodes"}}}, false},
		{"client-with-names", joiner, clientSigner, clientUse, &x509.CertificateRequest{Subject: nodeName("n9"), DNSNames: []string{"api"}}, false},
		{"client-for-serving", joiner, clientSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n9")}, false},
		{"serving", n1, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), DNSNames: []string{"n1"}, IPAddresses: ip("192.0.2.7")}, true},
		{"serving-foreign-address", n1, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: ip("192.0.2.8")}, false},
		{"serving-foreign-name", n1, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), DNSNames: []string{"kubernetes.default.svc"}}, false},
		{"serving-api-server", n1, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: ip("192.0.2.1")}, false},
		{"serving-one-too-many", n1, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: append(ip("192.0.2.7"), ip("192.0.2.1")...)}, false},
		{"serving-from-afar", from("198.51.100.4"), servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), DNSNames: []string{"n1"}, IPAddresses: ip("198.51.100.4")}, true},
		{"serving-from-afar-as-local", from("198.51.100.4"), servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: ip("192.0.2.7")}, false},
		{"serving-from-another-local", from("192.0.2.9"), servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: ip("192.0.2.7")}, true},
		{"serving-of-afar-from-local", from("192.0.2.9"), servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: ip("198.51.100.4")}, false},
		{"serving-from-a-service", from("10.96.0.1"), servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), IPAddresses: ip("10.96.0.1")}, false},
		{"serving-as-a-service", masked, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("kubernetes.default.svc"), DNSNames: []string{"kubernetes.default.svc"}}, false},
		{"serving-by-joiner", joiner, servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1"), DNSNames: []string{"n1"}}, false},
		{"other-signer", n1, "example.com/signer", clientUse, &x509.CertificateRequest{Subject: nodeName("n1")}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: tt.name},
				Spec: certificatesv1.CertificateSigningRequestSpec{Request: request(t, tt.csr), SignerName: tt.signer, Usages: tt.usages}}
			if _, err := kerneltest.Client(t, tt.who).CertificatesV1().CertificateSigningRequests().Create(ctx, r, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if !tt.ok {
				// One that is made later is signed: this one has been looked at.
				join(t, n1, "after-"+tt.name, "n1")
				if got := awaitAnswer(t, admin, "after-"+tt.name, time.Minute); len(got.Status.Certificate) == 0 {
					t.Fatal("the signer does not work")
				}
			}
			got := awaitAnswer(t, admin, tt.name, map[bool]time.Duration{true: time.Minute}[tt.ok])
			if signed := len(got.Status.Certificate) > 0; signed != tt.ok {
				t.Fatalf("signed: got %v, want %v (%+v)", signed, tt.ok, got.Status.Conditions)
			}
			if !tt.ok {
				if len(got.Status.Conditions) > 0 {
					t.Errorf("conditions %+v, want none: a person may still decide", got.Status.Conditions)
				}
				// Of clients' certificates nobody says anything: they are asked for by people, too.
				said := waits(t, admin, tt.name)
				if tt.signer == servingSigner != (strings.Count(said, "ApprovalRequired: not approved by itself") == 1 && strings.Contains(said, "certificate approve "+tt.name)) {
					t.Errorf("said %q", said)
				}
				return
			}
			b, _ := pem.Decode(got.Status.Certificate)
			cert, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			use, roots := x509.ExtKeyUsageClientAuth, c.PKI.Pool()
			if tt.signer == servingSigner {
				use, roots = x509.ExtKeyUsageServerAuth, c.PKI.KubeletTLS().RootCAs
				if _, err := cert.Verify(x509.VerifyOptions{Roots: c.PKI.Pool(), KeyUsages: []x509.ExtKeyUsage{use}}); err == nil {
					t.Error("clients of the API trust a node's serving certificate")
				}
			}
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Error(err)
			}
			if cert.Subject.CommonName != tt.csr.Subject.CommonName {
				t.Errorf("issued to %q", cert.Subject.CommonName)
			}
		})
	}
}

// TestApprovedByHand signs what a person approves.
func TestApprovedByHand(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	csrs := kerneltest.Client(t, c.Admin()).CertificatesV1().CertificateSigningRequests()
	ten := int32(1200)
	const name = "ann"
	r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    request(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name, Organization: []string{"dev"}}}),
		SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: clientUse, ExpirationSeconds: &ten}}
	r, err := csrs.Create(t.Context(), r, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "ByHand"})
	if _, err := csrs.UpdateApproval(t.Context(), name, r, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := awaitAnswer(t, kerneltest.Client(t, c.Admin()), name, time.Minute)
	b, _ := pem.Decode(got.Status.Certificate)
	if b == nil {
		t.Fatalf("not signed: %+v", got.Status.Conditions)
	}
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(cert.NotAfter); left > 20*time.Minute || left < 15*time.Minute {
		t.Errorf("lasts %s, want the twenty minutes asked for", left)
	}
}

// TestSignersSign what upstream's four do of a request, and say of what they do not sign
// why.
func TestSignersSign(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	admin := kerneltest.Client(t, c.Admin())
	csrs := admin.CertificatesV1().CertificateSigningRequests()
	person := pkix.Name{CommonName: "ann", Organization: []string{"dev"}, OrganizationalUnit: []string{"unit"}}
	const legacy = "kubernetes.io/legacy-unknown"
	encipher := []certificatesv1.KeyUsage{certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth}
	for name, tt := range map[string]struct {
		signer string
		usages []certificatesv1.KeyUsage
		csr    *x509.CertificateRequest
		failed string // "" is signed
	}{
		"person":          {certificatesv1.KubeAPIServerClientSignerName, encipher, &x509.CertificateRequest{Subject: person, EmailAddresses: []string{"ann@example.com"}}, ""},
		"person-serving":  {certificatesv1.KubeAPIServerClientSignerName, servingUse, &x509.CertificateRequest{Subject: person}, "invalid usage for client certificate: server auth"},
		"person-no-use":   {certificatesv1.KubeAPIServerClientSignerName, encipher[:1], &x509.CertificateRequest{Subject: person}, "missing required usage for client certificate: client auth"},
		"legacy":          {legacy, []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth, certificatesv1.UsageKeyEncipherment}, &x509.CertificateRequest{Subject: person, DNSNames: []string{"a.example.com"}}, ""},
		"legacy-bad-use":  {legacy, []certificatesv1.KeyUsage{"flying"}, &x509.CertificateRequest{Subject: person}, "unrecognized usage values"},
		"kubelet-names":   {clientSigner, clientUse, &x509.CertificateRequest{Subject: nodeName("n1"), EmailAddresses: []string{"a@example.com"}}, "Email subjectAltNames are not allowed"},
		"kubelet-use":     {clientSigner, encipher, &x509.CertificateRequest{Subject: nodeName("n1")}, "usages did not match [digital signature key encipherment client auth]"},
		"kubelet-group":   {clientSigner, clientUse, &x509.CertificateRequest{Subject: person}, "subject organization is not system:nodes"},
		"serving-unnamed": {servingSigner, servingUse, &x509.CertificateRequest{Subject: nodeName("n1")}, "only a node may ask for its serving certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: certificatesv1.CertificateSigningRequestSpec{Request: request(t, tt.csr), SignerName: tt.signer, Usages: tt.usages}}
			r, err := csrs.Create(t.Context(), r, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "ByHand"})
			if _, err := csrs.UpdateApproval(t.Context(), name, r, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			var got *certificatesv1.CertificateSigningRequest
			for end := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				if got, err = csrs.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
					t.Fatal(err)
				}
				if len(got.Status.Certificate) > 0 || len(got.Status.Conditions) > 1 {
					break
				}
				if time.Now().After(end) {
					t.Fatal("nobody signs")
				}
			}
			if tt.failed != "" {
				if len(got.Status.Conditions) != 2 || got.Status.Conditions[1].Reason != "SignerValidationFailure" || !strings.Contains(got.Status.Conditions[1].Message, tt.failed) {
					t.Errorf("conditions %+v, want %q", got.Status.Conditions, tt.failed)
				}
				return
			}
			b, _ := pem.Decode(got.Status.Certificate)
			if b == nil {
				t.Fatalf("not signed: %+v", got.Status.Conditions)
			}
			cert, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if cert.Subject.String() != tt.csr.Subject.String() || len(cert.EmailAddresses) != len(tt.csr.EmailAddresses) || len(cert.DNSNames) != len(tt.csr.DNSNames) ||
				cert.KeyUsage != x509.KeyUsageKeyEncipherment || len(cert.ExtKeyUsage) != 1 || cert.IsCA {
				t.Errorf("it is of %s, with usages %v %v", cert.Subject, cert.KeyUsage, cert.ExtKeyUsage)
			}
		})
	}
}

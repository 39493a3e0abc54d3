package bootstrap

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/internal/backoff"
)

// wanted is a certificate to ask for.
type wanted struct {
	template x509.CertificateRequest
	signer   string
	usage    certificatesv1.KeyUsage
	wait     time.Duration // for a signature, before it is asked for anew
}

func userName(node string) string { return "system:node:" + node }

func subject(node string) pkix.Name {
	return pkix.Name{CommonName: userName(node), Organization: []string{"system:nodes"}}
}

func clientRequest(node string) wanted {
	return wanted{x509.CertificateRequest{Subject: subject(node)}, certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.UsageClientAuth, signWait}
}

func servingRequest(node string, ips []netip.Addr) wanted {
	t := x509.CertificateRequest{Subject: subject(node), DNSNames: []string{node}}
	for _, ip := range ips {
		t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
	}
	return wanted{t, certificatesv1.KubeletServingSignerName, certificatesv1.UsageServerAuth, approvalWait}
}

// Waiting for a signature.
const (
	firstPoll = 50 * time.Millisecond
	maxPoll   = 5 * time.Second
	signWait  = 5 * time.Minute
	// approvalWait leaves time to a person, whom a serving certificate for an
	// address that the server does not see takes.
	approvalWait = time.Hour
)

// request makes a key, asks for a certificate of it, and waits until somebody
// has approved and signed it.
func (id *Identity) request(ctx context.Context, client kubernetes.Interface, w wanted) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &w.template, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.wait)
	defer cancel()
	requests := client.CertificatesV1().CertificateSigningRequests()
	csr, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: w.signer,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, w.usage},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	poll := backoff.New(firstPoll, maxPoll)
	for {
		if done, err := finished(csr); err != nil {
			return nil, err
		} else if done {
			return id.pair(csr.Status.Certificate, key)
		}
		t := id.cfg.Clock.NewTimer(poll.Again())
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("certificate request %[1]s waits for an administrator (kubectl certificate approve %[1]s): "+
				"the server approves by itself what a join token or the node asks for, with addresses that it sees the node come from: %[2]w", csr.Name, ctx.Err())
		case <-t.C():
		}
		if csr, err = requests.Get(ctx, csr.Name, metav1.GetOptions{}); err != nil {
			return nil, fmt.Errorf("wait for the certificate: %w", err)
		}
	}
}

func finished(csr *certificatesv1.CertificateSigningRequest) (bool, error) {
	for _, c := range csr.Status.Conditions {
		if c.Status == corev1.ConditionFalse {
			continue
		}
		switch c.Type {
		case certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			return false, fmt.Errorf("%w: %s (certificate request %s)", ErrDenied, c.Message, csr.Name)
		}
	}
	return len(csr.Status.Certificate) > 0, nil
}

// pair checks that a signed certificate is for the key.
func (id *Identity) pair(certificate []byte, key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	leaf, err := parseCert(certificate)
	if err != nil {
		return nil, fmt.Errorf("signed certificate: %w", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the signed certificate is for another key")
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (id *Identity) file(name string) string { return filepath.Join(id.cfg.Dir, name) }

// save stores a certificate and its key in one file.
func (id *Identity) save(name string, c *tls.Certificate) error {
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return errors.New("identity: the key cannot sign")
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return writeFile(id.file(name), append(certPEM(c.Leaf.Raw), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...))
}

func (id *Identity) read(name string) (*tls.Certificate, error) {
	b, err := os.ReadFile(id.file(name))
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// NodeTLS is the configuration towards one node's agent. It verifies a serving
// certificate by the node it was issued to rather than by the address dialled, which
// differs behind tunnels. base is the server's towards all.
func NodeTLS(base *tls.Config, node string) *tls.Config {
	cfg := base.Clone()
	cfg.InsecureSkipVerify = true // replaced by VerifyConnection
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		return verifyNode(cs, base.RootCAs, node)
	}
	return cfg
}

func verifyNode(cs tls.ConnectionState, roots *x509.CertPool, node string) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("node agent presented no certificate")
	}
	leaf := cs.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return err
	}
	if leaf.Subject.CommonName == "system:node:"+node || slices.Contains(leaf.DNSNames, node) {
		return nil
	}
	return fmt.Errorf("certificate of %q is not node %s's", leaf.Subject.CommonName, node)
}

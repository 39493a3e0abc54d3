package bootstrap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/pintle-io/pintle/internal/atomicfile"
	"github.com/pintle-io/pintle/internal/jointoken"
)

const dialTimeout = 10 * time.Second

// verifyServer connects to the server, finds the CA that the token names among
// the certificates that it presents, and verifies the server's own by it.
// Nothing is sent but the handshake.
func (id *Identity) verifyServer(ctx context.Context, token jointoken.Token) error {
	u, err := url.Parse(id.cfg.Server)
	if err != nil {
		return err
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var ca *x509.Certificate
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: u.Hostname(),
		InsecureSkipVerify: true, // verified below, by the hash
		VerifyConnection: func(s tls.ConnectionState) error {
			var err error
			ca, err = verifyChain(s.PeerCertificates, u.Hostname(), token, id.cfg.Clock.Now())
			return err
		},
	}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		if errors.Is(err, ErrWrongCluster) {
			return fmt.Errorf("%s: %w", id.cfg.Server, ErrWrongCluster)
		}
		return fmt.Errorf("reach the server: %w", err)
	}
	_ = conn.Close()
	id.ca, id.caPEM = ca, certPEM(ca.Raw)
	return writeFile(id.file(caFile), id.caPEM)
}

func verifyChain(chain []*x509.Certificate, host string, token jointoken.Token, now time.Time) (*x509.Certificate, error) {
	for _, c := range chain {
		if !token.Matches(c) {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(c)
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now}); err != nil {
			return nil, fmt.Errorf("the server's certificate: %w", err)
		}
		return c, nil
	}
	return nil, ErrWrongCluster
}

// writeFile replaces a file whole; only root may read it.
func writeFile(name string, b []byte) error {
	if err := atomicfile.Write(name, b, 0o600); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

package servers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// StartUpstream starts etcd and kube-apiserver, which Build put into bin, with
// their data in dir, and returns when they serve. The caller closes the server.
func StartUpstream(ctx context.Context, bin, dir string) (*Server, error) {
	return startUpstream(ctx, bin, dir, Quick)
}

func startUpstream(ctx context.Context, bin, dir string, d Disk) (_ *Server, err error) {
	s := &Server{Name: "upstream"}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	etcd, err := s.startEtcd(ctx, bin, dir, d)
	if err != nil {
		return nil, err
	}
	args, address, err := apiserverArgs(dir, etcd)
	if err != nil {
		return nil, err
	}
	p, err := start(dir, "kube-apiserver", filepath.Join(bin, "kube-apiserver"), args...)
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	s.URL = "https://" + address
	// The certificate is made by the server, for itself.
	s.CAFile = filepath.Join(dir, "certs", "apiserver.crt")
	return s, p.until(ctx, func(ctx context.Context) (err error) {
		if s.Client, err = trusting(s.CAFile); err != nil {
			return err
		}
		return fetch(ctx, s.Client, s.URL+"/readyz")
	})
}

func (s *Server) startEtcd(ctx context.Context, bin, dir string, d Disk) (endpoint string, err error) {
	client, err := freeAddress()
	if err != nil {
		return "", err
	}
	peer, err := freeAddress()
	if err != nil {
		return "", err
	}
	endpoint, peer = "http://"+client, "http://"+peer
	p, err := start(dir, "etcd", filepath.Join(bin, "etcd"),
		"--data-dir", filepath.Join(dir, "etcd"), "--log-level", "warn", fmt.Sprintf("--unsafe-no-fsync=%t", d == Quick),
		"--listen-client-urls", endpoint, "--advertise-client-urls", endpoint,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	if err != nil {
		return "", err
	}
	s.processes = append(s.processes, p)
	return endpoint, p.until(ctx, func(ctx context.Context) error {
		return fetch(ctx, http.DefaultClient, endpoint+"/health")
	})
}

func apiserverArgs(dir, etcd string) (args []string, address string, err error) {
	tokens, err := writeTokens(dir)
	if err != nil {
		return nil, "", err
	}
	key, err := writeKey(dir)
	if err != nil {
		return nil, "", err
	}
	if address, err = freeAddress(); err != nil {
		return nil, "", err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	return []string{
		"--etcd-servers", etcd,
		"--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", filepath.Join(dir, "certs"),
		"--advertise-address", advertised,
		"--service-cluster-ip-range", clusterIPs,
		"--service-account-issuer", issuer,
		"--service-account-signing-key-file", key, "--service-account-key-file", key,
		"--token-auth-file", tokens, "--authorization-mode", "Node,RBAC",
		"--allow-privileged",
		// Pintle has it on.
		"--enable-bootstrap-token-auth",
	}, address, nil
}

// writeKey makes the key that signs tokens of service accounts.
func writeKey(dir string) (path string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "sa.key")
	b := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return path, os.WriteFile(path, b, 0o600)
}

// Package servers starts the two servers that are compared, each alone on the
// loopback with an empty store: kube-apiserver with etcd, and Pintle.
//
// StartUpstream and StartPintle compare answers. Nothing but the API servers
// acts on objects: Kubernetes' side has no controller manager and no scheduler,
// and of Pintle's plugins only those in the admission chain run. So what an
// answer shows is what the server did with the request.
//
// StartKubernetes and StartWholePintle compare costs, with all controllers, on
// the same etcd.
package servers

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// The users of both servers, by their tokens.
const (
	// Admin may do everything.
	Admin = "admin-token"
	// Nobody is authenticated and may do what everybody may.
	Nobody = "nobody-token"
)

const tokens = Admin + `,admin,uid-admin,"system:masters"
` + Nobody + `,nobody,uid-nobody,"testers"
`

// What both are told alike.
const (
	clusterIPs = "10.96.0.0/16"                                 // where addresses of Services come from
	advertised = "192.0.2.1"                                    // the address in Service kubernetes: RFC 5737, nobody's
	issuer     = "https://kubernetes.default.svc.cluster.local" // of service accounts' tokens
)

// Server is a server that serves.
type Server struct {
	// Name says which in reports.
	Name string
	// URL is where, without a slash at the end.
	URL string
	// Client trusts its certificate. It does not follow redirections.
	Client *http.Client
	// CAFile has the certificate of who signed its certificate.
	CAFile string

	processes []*process // ended in the reverse order
}

// Disk is what etcd does with what it writes.
type Disk int

const (
	// Safe: a write is answered when it is on the disk.
	Safe Disk = iota
	// Quick: it may be lost with the machine.
	Quick
)

// Process is a program that a Server consists of.
type Process struct {
	Name string
	PID  int
}

// Processes are the programs of the server, those of others first that it
// needs.
func (s *Server) Processes() (list []Process) {
	for _, p := range s.processes {
		list = append(list, Process{p.name, p.cmd.Process.Pid})
	}
	return list
}

// Close ends the server and what it needs.
func (s *Server) Close() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].stop()
	}
}

// writeTokens writes the file with the users and returns its path.
func writeTokens(dir string) (string, error) {
	path := filepath.Join(dir, "tokens.csv")
	return path, os.WriteFile(path, []byte(tokens), 0o600)
}

// trusting is a client that trusts what the authorities in a file signed.
func trusting(file string) (*http.Client, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	t := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // a request asks for it itself
		TLSHandshakeTimeout: 30 * time.Second,
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

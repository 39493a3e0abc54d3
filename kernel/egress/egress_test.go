package egress

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/resource"
)

// agent is a node's agent that connects to nothing but answers itself, in the pod's
// name, or fails as it is told.
type agent struct {
	*httptest.Server
	roots  *x509.CertPool
	failed string
	asked  atomic.Int32
}

func startAgent(t *testing.T, node string) *agent {
	t.Helper()
	a := &agent{roots: x509.NewCertPool()}
	a.Server = httptest.NewUnstartedServer(a)
	cert := certificate(t, node)
	a.roots.AddCert(cert.Leaf)
	a.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func certificate(t *testing.T, node string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "system:node:" + node}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	if a.failed != "" {
		w.Header().Set(failedHeader, a.failed)
		http.Error(w, "no", http.StatusBadGateway)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nto "+r.URL.Query().Get("to")+"\n")
	_, _ = io.Copy(conn, conn)
}

// network is what the direct way does.
type network struct {
	pod   func(ctx context.Context) (net.Conn, error)
	tried atomic.Int32
}

func (n *network) dial(ctx context.Context, nw, address string) (net.Conn, error) {
	if strings.HasPrefix(address, "10.244.") {
		n.tried.Add(1)
		return n.pod(ctx)
	}
	return (&net.Dialer{}).DialContext(ctx, nw, address)
}

func fails(err error) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: err} }
}

func silent(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }

func opens(context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	go func() { _, _ = io.WriteString(there, "direct\n") }()
	return here, nil
}

func dialer(a *agent, node string, n *network, c *testingclock.FakePassiveClock) *Dialer {
	return New(Config{Direct: n.dial, Clock: c, TLS: &tls.Config{RootCAs: a.roots}, AgentOf: func(_ context.Context, ip netip.Addr) (*resource.Target, error) {
		if !netip.MustParsePrefix("10.244.3.0/24").Contains(ip) {
			return nil, nil
		}
		return &resource.Target{Node: node, Host: a.Listener.Addr().String()}, nil
	}})
}

// TestWays: the way that is open is taken, and remembered for a while.
func TestWays(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pod     func(context.Context) (net.Conn, error)
		failed  string
		want    string
		err     error
		through bool // what is remembered, if anything
	}{
		{"no route", fails(syscall.ENETUNREACH), "", "to 10.244.3.7:80\n", nil, true},
		{"nobody answers", silent, "", "to 10.244.3.7:80\n", nil, true},
		{"nobody answers, and refused there", silent, "refused", "", syscall.ECONNREFUSED, true},
		{"direct", opens, "", "direct\n", nil, false},
		{"refused", fails(syscall.ECONNREFUSED), "", "", syscall.ECONNREFUSED, false},
		{"no route, and refused there", fails(syscall.ENETUNREACH), "refused", "", syscall.ECONNREFUSED, false},
		{"no route, and none there", fails(syscall.EHOSTUNREACH), "unreachable", "", syscall.EHOSTUNREACH, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, n, c := startAgent(t, "n3"), &network{pod: tt.pod}, testingclock.NewFakePassiveClock(time.Now())
			a.failed = tt.failed
			d := dialer(a, "n3", n, c)
			for range 2 {
				conn, err := d.DialContext(t.Context(), "tcp", "10.244.3.7:80")
				if !errors.Is(err, tt.err) {
					t.Fatalf("error %v, want %v", err, tt.err)
				}
				if err != nil {
					var timeout net.Error
					if !errors.As(err, &timeout) {
						t.Errorf("%T is no error of the network", err)
					}
					continue
				}
				if got, err := bufio.NewReader(conn).ReadString('\n'); got != tt.want {
					t.Errorf("%q, %v; want %q", got, err, tt.want)
				}
				if tt.through && conn.RemoteAddr().String() != "10.244.3.7:80" {
					t.Errorf("connected to %s", conn.RemoteAddr())
				}
				_ = conn.Close()
			}
			if tt.err != nil {
				return
			}
			if tried, asked := n.tried.Load(), a.asked.Load(); tt.through && tried != 1 || !tt.through && asked != 0 {
				t.Errorf("tried directly %d times, through the agent %d times", tried, asked)
			}
			c.SetTime(c.Now().Add(remembered + time.Second))
			if conn, err := d.DialContext(t.Context(), "tcp", "10.244.3.7:80"); err == nil {
				_ = conn.Close()
			}
			if tried := n.tried.Load(); tt.through && tried != 2 {
				t.Errorf("the direct way is tried %d times, want a second time after a while", tried)
			}
		})
	}
}

// TestRouteGoes: a direct way that closes is left for the agent's at once.
func TestRouteGoes(t *testing.T) {
	a, n := startAgent(t, "n3"), &network{pod: opens}
	d := dialer(a, "n3", n, testingclock.NewFakePassiveClock(time.Now()))
	for i, pod := range []func(context.Context) (net.Conn, error){opens, fails(syscall.ENETUNREACH), silent} {
		n.pod = pod
		conn, err := d.DialContext(t.Context(), "tcp", "10.244.3.7:80")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if asked := a.asked.Load(); asked != int32(i) {
			t.Errorf("dial %d: the agent was asked %d times", i, asked)
		}
	}
}

// TestOtherAddresses are nobody's pods: they are dialled directly.
func TestOtherAddresses(t *testing.T) {
	a, n := startAgent(t, "n3"), &network{pod: fails(syscall.ENETUNREACH)}
	d := dialer(a, "n3", n, testingclock.NewFakePassiveClock(time.Now()))
	for _, address := range []string{"10.244.4.7:80", "10.244.4.8:443"} {
		if _, err := d.DialContext(t.Context(), "tcp", address); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if a.asked.Load() != 0 {
		t.Error("an agent was asked for what is not its own")
	}
}

// TestAgentIsTheNodes: another node's agent gets nothing.
func TestAgentIsTheNodes(t *testing.T) {
	a, n := startAgent(t, "n4"), &network{pod: fails(syscall.ENETUNREACH)}
	_, err := dialer(a, "n3", n, testingclock.NewFakePassiveClock(time.Now())).DialContext(t.Context(), "tcp", "10.244.3.7:80")
	if err == nil || !strings.Contains(err.Error(), `certificate of "system:node:n4" is not node n3's`) || a.asked.Load() != 0 {
		t.Errorf("%v; asked %d times", err, a.asked.Load())
	}
}

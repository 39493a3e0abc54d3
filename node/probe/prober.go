package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/node/cri"
)

// maxOutput bounds what is read of an answer, in bytes.
const maxOutput = 10 << 10

// userAgent is kubelet's.
var userAgent = "kube-probe/" + version.Major() + "." + version.Minor()

// Exec runs a command in a container; *cri.Client's method is one.
type Exec func(ctx context.Context, id string, cmd []string, timeout time.Duration) ([]byte, error)

// Network is a Prober for real containers. The process must be able to reach
// the pods' addresses.
type Network struct {
	Exec Exec
}

// Probe makes one attempt.
func (n Network) Probe(ctx context.Context, p *corev1.Probe, t Target) (bool, string, error) {
	timeout := max(time.Duration(p.TimeoutSeconds)*time.Second, time.Second)
	switch {
	case p.Exec != nil:
		return n.exec(ctx, p.Exec, t, timeout)
	case p.HTTPGet != nil:
		u, err := URL(p.HTTPGet, t.Container, t.IP)
		if err != nil {
			return false, "", err
		}
		return HTTP(ctx, u, p.HTTPGet.HTTPHeaders, timeout)
	case p.TCPSocket != nil:
		port, err := Port(p.TCPSocket.Port, t.Container)
		if err != nil {
			return false, "", err
		}
		return tcp(ctx, orElse(p.TCPSocket.Host, t.IP), port, timeout)
	case p.GRPC != nil:
		service := ""
		if p.GRPC.Service != nil {
			service = *p.GRPC.Service
		}
		return rpc(ctx, t.IP, int(p.GRPC.Port), service, timeout)
	}
	return false, "", errors.New("probe without a handler")
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (n Network) exec(ctx context.Context, a *corev1.ExecAction, t Target, timeout time.Duration) (bool, string, error) {
	out, err := n.Exec(ctx, t.ID, a.Command, timeout)
	var exit *cri.ExitError
	switch {
	case err == nil:
		return true, cut(out), nil
	case errors.As(err, &exit):
		return false, cut(out), nil
	case errors.Is(err, cri.ErrExecTimeout):
		return false, fmt.Sprintf("command %q timed out", strings.Join(a.Command, " ")), nil
	}
	return false, "", err
}

func cut(b []byte) string {
	return strings.ToValidUTF8(string(b[:min(len(b), maxOutput)]), "")
}

// Port resolves a port that may be a name of one of the container's ports.
func Port(p intstr.IntOrString, c *corev1.Container) (int, error) {
	port := p.IntValue()
	if p.Type == intstr.String {
		if n, err := strconv.Atoi(p.StrVal); err == nil {
			port = n
		} else {
			port = 0
			for _, cp := range c.Ports {
				if cp.Name == p.StrVal {
					port = int(cp.ContainerPort)
				}
			}
		}
	}
	if port < 1 || port > 65535 {
		return 0, fmt.Errorf("invalid port number: %s", p.String())
	}
	return port, nil
}

// URL is where an HTTP action goes.
func URL(a *corev1.HTTPGetAction, c *corev1.Container, ip string) (*url.URL, error) {
	port, err := Port(a.Port, c)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if a.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	u, err := url.Parse(a.Path)
	if err != nil {
		u = &url.URL{Path: a.Path}
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(orElse(a.Host, ip), strconv.Itoa(port))
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	return u, nil
}

// HTTP makes a GET request; any status from 200 to 399 is a success. A
// redirect to another host is not followed and counts as a success.
func HTTP(ctx context.Context, u *url.URL, headers []corev1.HTTPHeader, timeout time.Duration) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, "", err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "*/*")
	for _, h := range headers {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
			continue
		}
		req.Header.Set(h.Name, h.Value)
	}
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, // as the API says: the probe does not verify
		DisableKeepAlives:  true,
		DisableCompression: true,
		Proxy:              nil,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if next.URL.Hostname() != req.URL.Hostname() {
			return http.ErrUseLastResponse
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return false, err.Error(), nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	if err != nil && len(body) == 0 {
		return false, err.Error(), nil
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return true, cut(body), nil
	}
	return false, fmt.Sprintf("HTTP probe failed with statuscode: %d", resp.StatusCode), nil
}

func tcp(ctx context.Context, host string, port int, timeout time.Duration) (bool, string, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false, err.Error(), nil
	}
	_ = conn.Close()
	return true, "", nil
}

func rpc(ctx context.Context, host string, port int, service string, timeout time.Duration) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(userAgent))
	if err != nil {
		return false, err.Error(), nil
	}
	defer conn.Close()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		switch status.Code(err) {
		case codes.Unimplemented:
			return false, fmt.Sprintf("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s", status.Convert(err).Message()), nil
		case codes.DeadlineExceeded:
			return false, fmt.Sprintf("timeout: health rpc did not complete within %v", timeout), nil
		}
		return false, fmt.Sprintf("error: health rpc probe failed: %v", err), nil
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return false, fmt.Sprintf("service unhealthy (responded with %q)", resp.GetStatus()), nil
	}
	return true, "service healthy", nil
}

var _ Prober = Network{}

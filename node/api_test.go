package node_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node"
)

// pki is an authority with a serving certificate and clients.
type pki struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{t: t}
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var der []byte
	der, p.key = p.issue(tmpl)
	var err error
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pki) issue(tmpl *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := p.cert, p.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		p.t.Fatal(err)
	}
	return der, key
}

func (p *pki) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.cert)
	return pool
}

func (p *pki) serving() *tls.Config {
	der, key := p.issue(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// client is the way to the node's API of somebody with the given name; of
// nobody when it is "".
func (p *pki) client(name string) *rest.Config {
	p.t.Helper()
	c := &rest.Config{Host: "https://" + apiAddr}
	c.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	if name == "" {
		return c
	}
	der, key := p.issue(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	c.CertData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.KeyData = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return c
}

func httpClient(t *testing.T, c *rest.Config) *http.Client {
	t.Helper()
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const apiAddr = "127.0.0.1:10250"

// api calls the node's API as the API server does.
type api struct {
	t    *testing.T
	rest *rest.Config
	http *http.Client
}

func newAPI(t *testing.T) (*cluster, *api, *pki) {
	t.Helper()
	p := newPKI(t)
	c := newCluster(t, func(cfg *node.Config) {
		cfg.Listen, cfg.Serving, cfg.ClientCAs = apiAddr, p.serving(), p.pool()
		cfg.Profiling = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	})
	rc := p.client("kube-apiserver-kubelet-client")
	return c, &api{t: t, rest: rc, http: httpClient(t, rc)}, p
}

func (a *api) get(path string) (int, string) {
	a.t.Helper()
	r, err := a.http.Get("https://" + apiAddr + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func (a *api) execURL(path string, o remotecommand.StreamOptions, command ...string) *url.URL {
	q := url.Values{"command": command}
	for name, wanted := range map[string]bool{"input": o.Stdin != nil, "output": o.Stdout != nil, "error": o.Stderr != nil, "tty": o.Tty} {
		if wanted {
			q.Set(name, "1")
		}
	}
	return &url.URL{Scheme: "https", Host: apiAddr, Path: path, RawQuery: q.Encode()}
}

// exec runs a command over SPDY, as an API server that has translated does.
func (a *api) exec(o remotecommand.StreamOptions, command ...string) error {
	a.t.Helper()
	ex, err := remotecommand.NewSPDYExecutor(a.rest, http.MethodPost, a.execURL("/exec/default/box/app", o, command...))
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	return ex.StreamWithContext(ctx, o)
}

func TestNodeAPI(t *testing.T) {
	c, a, p := newAPI(t)
	port := freePort()
	box := shellLog("app", "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; while true; do sleep 0.1; done")
	c.pod("box", corev1.PodSpec{Containers: []corev1.Container{box, {Name: "web", Image: demo(port).Image, Args: demo(port).Args}}, TerminationGracePeriodSeconds: ptr.To[int64](0)})
	c.await("box", "pod is ready", ready)

	t.Run("callers", func(t *testing.T) {
		stranger, nobody := httpClient(t, p.client("mallory")), httpClient(t, p.client(""))
		for who, want := range map[*http.Client]int{stranger: http.StatusForbidden, nobody: http.StatusUnauthorized, a.http: http.StatusOK} {
			for _, path := range []string{"/pods", "/debug/pprof/", "/debug/pprof/heap"} {
				r, err := who.Get("https://" + apiAddr + path)
				if err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
				if r.StatusCode != want {
					t.Errorf("%s: got %d, want %d", path, r.StatusCode, want)
				}
			}
		}
	})
	t.Run("logs", func(t *testing.T) {
		eventually(t, "three lines", func() bool { return strings.Contains(c.log("box", "app"), "three") }, func() string { return c.log("box", "app") })
		for path, want := range map[string]string{
			"":                                "one\ntwo\nthree\n",
			"?tailLines=1":                    "three\n",
			"?tailLines=0":                    "",
			"?limitBytes=5":                   "one\nt",
			"?stream=Stderr":                  "two\n",
			"?sinceTime=2100-01-01T00:00:00Z": "",
		} {
			if code, got := a.get("/containerLogs/default/box/app" + path); code != 200 || got != want {
				t.Errorf("%s: got %d %q, want %q", path, code, got, want)
			}
		}
		if code, got := a.get("/containerLogs/default/box/app?timestamps=true&tailLines=1"); code != 200 || !strings.HasSuffix(got, "Z three\n") {
			t.Errorf("timestamps: got %d %q", code, got)
		}
		for path, want := range map[string]int{"/containerLogs/default/box/none": 400, "/containerLogs/default/none/app": 404,
			"/containerLogs/default/box/app?tailLines=-1": 400, "/containerLogs/default/box/app?previous=true": 400} {
			if code, got := a.get(path); code != want {
				t.Errorf("%s: got %d %q, want %d", path, code, got, want)
			}
		}
	})
	t.Run("exec", func(t *testing.T) {
		var out, errs bytes.Buffer
		o := remotecommand.StreamOptions{Stdin: strings.NewReader("from stdin"), Stdout: &out, Stderr: &errs}
		if err := a.exec(o, "/bin/sh", "-c", "cat; echo oops >&2"); err != nil {
			t.Fatal(err)
		}
		if out.String() != "from stdin" || errs.String() != "oops\n" {
			t.Errorf("got %q and %q", out.String(), errs.String())
		}
		err := a.exec(remotecommand.StreamOptions{Stdout: &out}, "/bin/sh", "-c", "exit 7")
		var exit exec.CodeExitError
		if !errors.As(err, &exit) || exit.ExitStatus() != 7 {
			t.Errorf("exit code: got %v", err)
		}
	})
	t.Run("exec with a terminal whose input ends at once", func(t *testing.T) {
		for range 5 {
			var out bytes.Buffer
			if err := a.exec(remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: &out, Tty: true}, "/bin/sh", "-c", "sleep 0.1; tty >/dev/null && echo terminal"); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != "terminal\r\n" {
				t.Errorf("got %q", got)
			}
		}
	})
	t.Run("terminal size", func(t *testing.T) {
		var out bytes.Buffer
		sizes := make(sizes, 1)
		sizes <- remotecommand.TerminalSize{Width: 123, Height: 45}
		if err := a.exec(remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: &out, Tty: true, TerminalSizeQueue: sizes}, "/bin/sh", "-c", "sleep 0.3; stty size"); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "45 123\r\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("exec over WebSocket v5", func(t *testing.T) {
		var out bytes.Buffer
		o := remotecommand.StreamOptions{Stdin: strings.NewReader("through v5"), Stdout: &out}
		ex, err := remotecommand.NewWebSocketExecutor(a.rest, http.MethodGet, a.execURL("/exec/default/box/app", o, "/bin/sh", "-c", "cat; exit 3").String())
		if err != nil {
			t.Fatal(err)
		}
		err = ex.StreamWithContext(t.Context(), o)
		var exit exec.CodeExitError
		if !errors.As(err, &exit) || exit.ExitStatus() != 3 || out.String() != "through v5" {
			t.Errorf("got %q %v", out.String(), err)
		}
	})
	t.Run("port-forward", func(t *testing.T) { forward(t, a, port) })
	t.Run("figures", func(t *testing.T) {
		for path, want := range map[string]string{
			"/metrics/resource": `container_memory_working_set_bytes{container="web",namespace="default",pod="box"}`,
			"/stats/summary":    `"podRef":{"name":"box"`, "/metrics": "kubelet_running_pods 1", "/pods": `"name":"box"`, "/healthz": "ok",
		} {
			if code, got := a.get(path); code != 200 || !strings.Contains(got, want) {
				t.Errorf("%s: got %d %s", path, code, got)
			}
		}
	})
	t.Run("following a log", func(t *testing.T) {
		type answer struct {
			code int
			text string
		}
		done := make(chan answer, 1)
		go func() {
			code, text := a.get("/containerLogs/default/box/web?follow=true")
			done <- answer{code, text}
		}()
		time.Sleep(200 * time.Millisecond)
		fetch(t, fmt.Sprintf("http://127.0.0.1:%d/version", port))
		time.Sleep(200 * time.Millisecond)
		c.delete("box", 0)
		select {
		case got := <-done:
			if got.code != 200 || !strings.Contains(got.text, "path=/version") {
				t.Errorf("got %d %q", got.code, got.text)
			}
		case <-time.After(20 * time.Second):
			t.Error("the log does not end with the container")
		}
	})
}

type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	v, ok := <-s
	if !ok {
		return nil
	}
	return &v
}

func forward(t *testing.T, a *api, port int) {
	rt, up, err := spdy.RoundTripperFor(a.rest)
	if err != nil {
		t.Fatal(err)
	}
	d := spdy.NewDialer(up, &http.Client{Transport: rt}, http.MethodPost, &url.URL{Scheme: "https", Host: apiAddr, Path: "/portForward/default/box"})
	stop, ready := make(chan struct{}), make(chan struct{})
	var errs bytes.Buffer
	pf, err := portforward.NewOnAddresses(d, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, &errs)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- pf.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("port-forward: %v %s", err, errs.String())
	}
	ports, err := pf.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, fmt.Sprintf("http://127.0.0.1:%d/version", ports[0].Local)); got != "v1\n" {
		t.Errorf("got %q %s", got, errs.String())
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

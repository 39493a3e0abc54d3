package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"
)

// attempt is a row of the access table: who tries what, and is answered what.
type attempt struct {
	who    string
	what   string
	method string
	path   string
	body   string // JSON; a patch is a merge patch
	header map[string]string
	code   int
	reason string // of the Status; "" for an answer without one
	says   string // part of the message
}

// actor is somebody who asks the API server.
type actor struct {
	client *http.Client
	header map[string]string
}

// answer is what he is told.
type answer struct {
	code            int
	reason, message string
	body            []byte
}

func (a answer) String() string {
	if a.reason == "" && a.code < 400 {
		return fmt.Sprint(a.code)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.code, a.reason))
}

// controlPlane is a control plane without nodes, and everybody who talks to it.
type controlPlane struct {
	*cluster
	url    string
	pid    int
	actors map[string]*actor
	ca     *x509.CertPool
}

// startPlane starts `pintle server` for one test.
func startPlane(t *testing.T) *controlPlane {
	t.Helper()
	dir := t.TempDir()
	ports := freeAddresses(t, 2)
	api, images := ports[0], ports[1]
	p := &controlPlane{cluster: &cluster{bin: pintleBin(t), dir: dir, kubeconfig: filepath.Join(dir, "admin.kubeconfig"), registry: images},
		url: "https://" + api, actors: map[string]*actor{}}
	log, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(p.bin, "server", "--data-dir", dir, "--listen", api, "--registry-listen", images, "--unsafe-no-fsync")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		ended := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // it was told to end
		ended.Stop()
		log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("server's log:\n%s", tail(b, 4000))
		}
	})
	eventually(t, time.Minute, "the server is ready", func() error {
		out, err := p.tryKubectl(t.Context(), "", "get", "--raw", "/readyz")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	p.meet(t)
	return p
}

// freeAddresses are addresses of the loopback that differ, and that nobody
// listens at now.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// meet makes the administrator and the anonymous client from the kubeconfig.
func (p *controlPlane) meet(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var cfg struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(b, &cfg); err != nil {
		t.Fatal(err)
	}
	p.url = cfg.Clusters[0].Cluster.Server
	p.ca = x509.NewCertPool()
	p.ca.AppendCertsFromPEM(cfg.Clusters[0].Cluster.CA)
	pair, err := tls.X509KeyPair(cfg.Users[0].User.Cert, cfg.Users[0].User.Key)
	if err != nil {
		t.Fatal(err)
	}
	p.enter("admin", &pair, nil)
	p.enter("anonymous", nil, nil)
}

// enter makes an actor with a certificate or with headers.
func (p *controlPlane) enter(name string, cert *tls.Certificate, header map[string]string) {
	cfg := &tls.Config{RootCAs: p.ca}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	// HTTP/1.1, so that an upgrade can be asked for.
	p.actors[name] = &actor{header: header, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: cfg, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, MaxIdleConnsPerHost: 64}}}
}

func (p *controlPlane) bearer(name, token string) {
	p.enter(name, nil, map[string]string{"Authorization": "Bearer " + token})
}

// ask sends one request.
func (p *controlPlane) ask(ctx context.Context, a attempt) (answer, error) {
	who := p.actors[a.who]
	if who == nil {
		return answer{}, fmt.Errorf("nobody is called %q", a.who)
	}
	url := a.path
	if strings.HasPrefix(url, "/") {
		url = p.url + url
	}
	req, err := http.NewRequestWithContext(ctx, a.method, url, strings.NewReader(a.body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if a.method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for _, h := range []map[string]string{who.header, a.header} {
		for k, v := range h {
			req.Header.Set(k, v)
		}
	}
	resp, err := who.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, err
	}
	var status struct{ Kind, Reason, Message string }
	if json.Unmarshal(b, &status) != nil || status.Kind != "Status" {
		status.Reason, status.Message = "", string(b)
	}
	return answer{resp.StatusCode, status.Reason, status.Message, b}, nil
}

// must asks as the administrator what the test itself needs.
func (p *controlPlane) must(t *testing.T, method, path, body string, into any) {
	t.Helper()
	got, err := p.ask(t.Context(), attempt{who: "admin", method: method, path: path, body: body})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if got.code >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, got, got.message)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		t.Fatal(err)
	}
}

// token is a token of a service account, with the TokenRequest's spec.
func (p *controlPlane) token(t *testing.T, namespace, account, spec string) string {
	t.Helper()
	var r struct{ Status struct{ Token string } }
	p.must(t, "POST", "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":`+spec+`}`, &r)
	return r.Status.Token
}

// try makes the attempts in order, checks each answer and prints the table.
func (p *controlPlane) try(t *testing.T, table []attempt) {
	t.Helper()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHO\tTRIES\tIS ANSWERED")
	for _, a := range table {
		got, err := p.ask(t.Context(), a)
		if err != nil {
			t.Errorf("%s: %s: %v", a.who, a.what, err)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", a.who, a.what, got)
		if got.code != a.code || got.reason != a.reason || !strings.Contains(got.message, a.says) {
			t.Errorf("%s: %s: got %s: %.300s\nwant %d %s %q", a.who, a.what, got, got.message, a.code, a.reason, a.says)
		}
	}
	_ = w.Flush()
	t.Logf("\n%s", out.String())
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

package kinds_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// extension is an extension API server: one kind, Order of shop.example, of which the
// one object says who asked. Whom it believes it learns as k8s.io/apiserver's delegated
// authentication does.
type extension struct {
	*httptest.Server
	ca    []byte
	auth  atomic.Pointer[authenticator.Request]
	does  atomic.Pointer[http.HandlerFunc] // instead of all that follows
	event chan struct{}                    // lets a watch go on
}

func newExtension(t testing.TB, names ...string) *extension {
	t.Helper()
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(names[0], nil, names)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	e := &extension{ca: certPEM, event: make(chan struct{}, 10)}
	e.Server = httptest.NewUnstartedServer(e)
	e.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	e.EnableHTTP2 = true
	e.StartTLS()
	t.Cleanup(func() {
		e.CloseClientConnections()
		e.Close()
	})
	return e
}

// believe reads whom to believe, as a server that runs unmodified does.
func (e *extension) believe(t testing.TB, m *corev1.ConfigMap) {
	t.Helper()
	list := func(key string) headerrequest.StringSliceProvider {
		var out headerrequest.StaticStringSlice
		if err := json.Unmarshal([]byte(m.Data[key]), &out); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return out
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(m.Data["requestheader-client-ca-file"])) {
		t.Fatalf("no authority in %v", m.Data)
	}
	verify := func() (x509.VerifyOptions, bool) {
		return x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, true
	}
	a := headerrequest.NewDynamicVerifyOptionsSecure(verify, list("requestheader-allowed-names"), list("requestheader-username-headers"),
		list("requestheader-uid-headers"), list("requestheader-group-headers"), list("requestheader-extra-headers-prefix"))
	e.auth.Store(&a)
}

const orderList = `{"kind":"OrderList","apiVersion":"shop.example/v1","metadata":{"resourceVersion":"1"},"items":[%s]}`

func order(name, by string) string {
	return fmt.Sprintf(`{"kind":"Order","apiVersion":"shop.example/v1","metadata":{"name":%q,"namespace":"default","resourceVersion":"1"},"by":%q}`, name, by)
}

func (e *extension) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := e.does.Load(); f != nil {
		(*f)(w, r)
		return
	}
	res, ok, err := (*e.auth.Load()).AuthenticateRequest(r)
	if err != nil || !ok {
		http.Error(w, fmt.Sprintf("not believed: %v", err), http.StatusUnauthorized)
		return
	}
	u := res.User
	by := fmt.Sprintf("%s %s %s %v", u.GetName(), u.GetUID(), strings.Join(u.GetGroups(), ","), u.GetExtra()["example.com/team"])
	w.Header().Set("Content-Type", "application/json")
	const orders = "/apis/shop.example/v1/namespaces/default/orders"
	switch r.URL.Path {
	case "/apis/shop.example/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"shop.example/v1","resources":[
			{"name":"orders","singularName":"order","namespaced":true,"kind":"Order","verbs":["get","list","watch"],"shortNames":["ord"]},
			{"name":"orders/exec","singularName":"","namespaced":true,"kind":"Order","verbs":["create"]}]}`)
	case "/openapi/v3":
		fmt.Fprint(w, `{"paths":{"apis/shop.example/v1":{"serverRelativeURL":"/openapi/v3/apis/shop.example/v1?hash=ABC"},"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=EVIL"}}}`)
	case "/openapi/v2": // a model of this server's under another shape, and paths that are not his
		fmt.Fprint(w, `{"swagger":"2.0","info":{"title":"shop","version":"v1"},"paths":{`+
			`"/apis/shop.example/v1/namespaces/{namespace}/orders":{"get":{"operationId":"listOrders","responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/example.shop.v1.Order"}}}}},`+
			`"/apis/apps/v1/deployments":{"get":{"operationId":"EVIL","responses":{"200":{"description":"OK"}}}}},`+
			`"definitions":{"example.shop.v1.Order":{"description":"Order is what somebody wants.","type":"object","properties":{"metadata":{"$ref":"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}}},`+
			`"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":{"description":"Another one.","type":"object"}}}`)
	case "/openapi/v3/apis/shop.example/v1":
		fmt.Fprint(w, `{"openapi":"3.0.0","info":{"title":"shop","version":"v1"},"paths":{`+
			`"/apis/shop.example/v1/namespaces/{namespace}/orders":{"get":{"x-kubernetes-action":"list","x-kubernetes-group-version-kind":{"group":"shop.example","version":"v1","kind":"Order"},"responses":{"200":{"description":"OK"}}}}},`+
			`"components":{"schemas":{"example.shop.v1.Order":{"description":"Order is what somebody wants.","type":"object","x-kubernetes-group-version-kind":[{"group":"shop.example","version":"v1","kind":"Order"}]}}}}`)
	case orders:
		if r.URL.Query().Get("watch") == "" {
			fmt.Fprintf(w, orderList, order("o1", by))
			return
		}
		for n := 1; ; n++ {
			fmt.Fprintf(w, `{"type":"ADDED","object":%s}`+"\n", order(fmt.Sprint("o", n), by))
			w.(http.Flusher).Flush()
			select {
			case <-e.event:
			case <-r.Context().Done():
				return
			}
		}
	case orders + "/o1":
		fmt.Fprint(w, order("o1", by))
	case orders + "/o1/exec":
		echo(w, by)
	default:
		http.NotFound(w, r)
	}
}

// echo upgrades the connection, says who asked, and then what it hears.
func echo(w http.ResponseWriter, by string) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n%s\n", by)
	_, _ = io.Copy(conn, rw)
}

// shop is a control plane beside extension servers, which are at addresses of pods.
type shop struct {
	*governed
	kubeconfig string
	program    string // kubectl
}

func newShop(t testing.TB, at map[string]*httptest.Server) *shop {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			if s := at[host]; s != nil {
				address = s.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	})
	s := &shop{g, filepath.Join(t.TempDir(), "kubeconfig"), kerneltest.Kubectl(t)}
	if err := g.PKI.WriteKubeconfig(s.kubeconfig, g.URL, "admin", g.PKI.Admin()); err != nil {
		t.Fatal(err)
	}
	return s
}

// kubectl runs the program; what it says on either stream.
func (s *shop) kubectl(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.program, append([]string{"--kubeconfig", s.kubeconfig, "--cache-dir", t.TempDir()}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECTL_KUBERC=false")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sees waits until kubectl says all of these, regular expressions over words.
func (s *shop) sees(t testing.TB, want []string, args ...string) {
	t.Helper()
	var out string
	defer func() {
		if t.Failed() {
			t.Logf("kubectl %v:\n%s", args, out)
		}
	}()
	says := func() bool {
		out, _ = s.kubectl(t, args...)
		flat := strings.Join(strings.Fields(out), " ")
		return !slices.ContainsFunc(want, func(w string) bool { return !regexp.MustCompile(w).MatchString(flat) })
	}
	for deadline := time.Now().Add(40 * time.Second); !says(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("kubectl %v does not say %q within 40 seconds", args, want)
		}
	}
}

func (s *shop) raw(t testing.TB, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.HTTP().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// service makes a Service that somebody at an address serves; "": nobody.
func (s *shop) service(t testing.TB, name, address string) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 443}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if address != "" {
		s.endpoint(t, name, address)
	}
}

func (s *shop) endpoint(t testing.TB, name, address string) {
	t.Helper()
	if _, err := s.DiscoveryV1().EndpointSlices("default").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address}}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(int32(8443))}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// register makes an APIService.
func (s *shop) register(t testing.TB, group, version, service string, ca []byte) {
	t.Helper()
	object := map[string]any{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": version + "." + group},
		"spec": map[string]any{"group": group, "version": version, "groupPriorityMinimum": 1500, "versionPriority": 10, "caBundle": ca,
			"service": map[string]any{"namespace": "default", "name": service}}}
	b, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "apiservice.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.kubectl(t, "apply", "-f", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

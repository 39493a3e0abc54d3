package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientstream "k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // the interface of client-go's dialers
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	spdystream "k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// agent is a node's agent: it speaks SPDY, as kubelets and containerd do, and
// asks for the API server's certificate.
type agent struct {
	t       *testing.T
	release chan struct{} // a followed log goes on when it closes
}

// withAgent makes node n1 with an agent and a pod p on it.
func withAgent(t *testing.T, c *kerneltest.Server, certFor string) (*agent, *kubernetes.Clientset) {
	t.Helper()
	a := &agent{t: t, release: make(chan struct{})}
	serving, err := c.PKI.IssueNodeServing(certFor, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(a)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{*serving.TLS()}, ClientCAs: c.PKI.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	host, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	cs := kerneltest.Client(t, c.Admin())
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(n)}},
	}}
	if _, err := cs.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := pod("p")
	p.Spec.NodeName = "n1"
	if _, err := cs.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return a, cs
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cn := r.TLS.PeerCertificates[0].Subject.CommonName; cn != "kube-apiserver-kubelet-client" {
		a.t.Errorf("the agent was called by %q", cn)
	}
	if r.Header.Get("Authorization") != "" {
		a.t.Error("a client's credentials reached the agent")
	}
	switch path := strings.Split(r.URL.Path, "/")[1]; path {
	case "exec", "attach":
		a.exec(w, r)
	case "portForward":
		a.portForward(w, r)
	case "containerLogs":
		a.logs(w, r)
	default:
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.RequestURI())
	}
}

// exec echoes stdin to stdout in upper case and exits with what the command
// says.
func (a *agent) exec(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if _, err := httpstream.Handshake(r, w, []string{"v4.channel.k8s.io"}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	want := 1
	for _, k := range []string{"input", "output", "error"} {
		if q.Get(k) == "1" {
			want++
		}
	}
	streams := make(chan httpstream.Stream, 8)
	conn := spdystream.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	byType := map[string]httpstream.Stream{}
	for len(byType) < want {
		select {
		case s := <-streams:
			byType[s.Headers().Get("streamType")] = s
		case <-time.After(10 * time.Second):
			a.t.Error("streams did not arrive")
			return
		}
	}
	if s := byType["stderr"]; s != nil {
		fmt.Fprint(s, "complaint")
		s.Close()
	}
	if in, out := byType["stdin"], byType["stdout"]; in != nil && out != nil {
		data, err := io.ReadAll(in)
		if err != nil {
			a.t.Errorf("stdin: %v", err)
		}
		out.Write(bytes.ToUpper(data))
	} else if out != nil {
		fmt.Fprint(out, strings.Join(q["command"], " "))
	}
	if s := byType["stdout"]; s != nil {
		s.Close()
	}
	st := metav1.Status{Status: metav1.StatusSuccess}
	if q.Get("command") == "fail" {
		st = metav1.Status{Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Message: "exit 3",
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: "3"}}}}
	}
	if err := json.NewEncoder(byType["error"]).Encode(st); err != nil {
		a.t.Error(err)
	}
	byType["error"].Close()
	select {
	case <-conn.CloseChan():
	case <-time.After(10 * time.Second):
	}
}

// portForward answers each connection with a greeting and what was sent.
func (a *agent) portForward(w http.ResponseWriter, r *http.Request) {
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	conn := spdystream.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		if s.Headers().Get("streamType") != "data" {
			return nil
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-replied
			line, err := bufio.NewReader(s).ReadString('\n')
			if err != nil {
				a.t.Errorf("port-forward: %v", err)
			}
			fmt.Fprintf(s, "port %s got %s", s.Headers().Get("port"), line)
			s.Close()
		}()
		return nil
	})
	if conn != nil {
		<-conn.CloseChan()
	}
}

func (a *agent) logs(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("tailLines") == "0" {
		http.Error(w, "no such container", http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, "first")
	if r.URL.Query().Get("follow") == "true" {
		w.(http.Flusher).Flush()
		<-a.release
		fmt.Fprintln(w, "second")
	}
}

func executor(t *testing.T, cfg *rest.Config, cs *kubernetes.Clientset, ws bool, o *corev1.PodExecOptions) remotecommand.Executor {
	t.Helper()
	u := cs.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("exec").VersionedParams(o, scheme.ParameterCodec).URL()
	var ex remotecommand.Executor
	var err error
	if ws {
		ex, err = remotecommand.NewWebSocketExecutor(cfg, "GET", u.String())
	} else {
		ex, err = remotecommand.NewSPDYExecutor(cfg, "POST", u)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ex
}

func TestExec(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, cs := withAgent(t, c, "n1")
	for _, ws := range []bool{false, true} {
		t.Run(map[bool]string{false: "spdy", true: "websocket"}[ws], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var out, errOut bytes.Buffer
			ex := executor(t, c.Admin(), cs, ws, &corev1.PodExecOptions{Command: []string{"cat"}, Stdin: true, Stdout: true, Stderr: true})
			err := ex.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errOut})
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != "HELLO" || errOut.String() != "complaint" {
				t.Errorf("stdout %q, stderr %q", &out, &errOut)
			}
			out.Reset()
			ex = executor(t, c.Admin(), cs, ws, &corev1.PodExecOptions{Command: []string{"fail", "a b"}, Stdout: true})
			err = ex.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out})
			if err == nil || !strings.Contains(err.Error(), "exit code 3") {
				t.Errorf("failing command: got %v, want exit code 3", err)
			}
			if out.String() != "fail a b" {
				t.Errorf("command arrived as %q", &out)
			}
		})
	}
}

func TestExecNeedsTheRightToCreate(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, admin := withAgent(t, c, "n1")
	grant(t, c, "reader", "get", "pods/exec")
	cfg := c.User(t, "reader")
	for _, ws := range []bool{false, true} {
		ex := executor(t, cfg, admin, ws, &corev1.PodExecOptions{Command: []string{"x"}, Stdout: true})
		err := ex.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "forbidden") && !strings.Contains(err.Error(), "403") {
			t.Errorf("websocket=%v: got %v, want forbidden", ws, err)
		}
	}
}

// Commands are run through a node's proxy as well: what opens a stream there
// needs the right to create, and a plain GET does not.
func TestANodesProxyStreamsNeedTheRightToCreate(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	withAgent(t, c, "n1")
	grant(t, c, "reader", "get", "nodes/proxy")
	reader := c.User(t, "reader")
	path := "GET /api/v1/nodes/n1/proxy/exec/default/p/c?command=id&output=1 HTTP/1.1"
	for name, head := range map[string]string{
		"WebSocket": "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io",
		"SPDY":      "\r\nConnection: keep-alive, upgrade\r\nUpgrade: SPDY/3.1",
	} {
		if _, _, got := raw(t, c, reader, path+head); !strings.HasPrefix(got, "403") {
			t.Errorf("%s: %s, want 403", name, got)
		}
	}
	if _, _, got := raw(t, c, reader, "GET /api/v1/nodes/n1/proxy/stats/summary HTTP/1.1"); got != "200 OK" {
		t.Errorf("a plain GET: %s", got)
	}
}

func TestPortForward(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, cs := withAgent(t, c, "n1")
	u := cs.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("portforward").URL()
	dialers := map[string]func() (clientstream.Dialer, error){
		"spdy": func() (clientstream.Dialer, error) {
			rt, up, err := spdy.RoundTripperFor(c.Admin())
			if err != nil {
				return nil, err
			}
			return spdy.NewDialer(up, &http.Client{Transport: rt}, "POST", u), nil
		},
		"websocket": func() (clientstream.Dialer, error) { return portforward.NewSPDYOverWebsocketDialer(u, c.Admin()) },
	}
	for name, dialer := range dialers {
		t.Run(name, func(t *testing.T) {
			d, err := dialer()
			if err != nil {
				t.Fatal(err)
			}
			stop, ready := make(chan struct{}), make(chan struct{})
			fw, err := portforward.NewOnAddresses(d, []string{"127.0.0.1"}, []string{":8080"}, stop, ready, io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- fw.ForwardPorts() }()
			select {
			case <-ready:
			case err := <-done:
				t.Fatalf("forward ports: %v", err)
			}
			ports, err := fw.GetPorts()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // one tunnel, several connections
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(conn, "ping")
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				got, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil || got != "port 8080 got ping\n" {
					t.Errorf("got %q, %v", got, err)
				}
				conn.Close()
			}
			close(stop)
			if err := <-done; err != nil {
				t.Errorf("forward ports: %v", err)
			}
		})
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	a, cs := withAgent(t, c, "n1")
	pods := cs.CoreV1().Pods("default")
	data, err := pods.GetLogs("p", &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil || string(data) != "first\n" {
		t.Errorf("log: %q, %v", data, err)
	}
	zero := int64(0)
	_, err = pods.GetLogs("p", &corev1.PodLogOptions{TailLines: &zero}).DoRaw(t.Context())
	if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "the server could not find the requested resource") {
		t.Errorf("an agent's refusal: %v", err)
	}
	s, err := pods.GetLogs("p", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := bufio.NewReader(s)
	for _, want := range []string{"first\n", "second\n"} {
		// The first line must arrive while the log is still open.
		if got, err := r.ReadString('\n'); err != nil || got != want {
			t.Errorf("followed log: got %q, %v, want %q", got, err, want)
		}
		if want == "first\n" {
			close(a.release)
		}
	}
	if _, err = pods.GetLogs("none", &corev1.PodLogOptions{}).DoRaw(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("log of no pod: %v", err)
	}
}

func TestAnotherNodesCertificateIsRefused(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, cs := withAgent(t, c, "n2")
	_, err := cs.CoreV1().Pods("default").GetLogs("p", &corev1.PodLogOptions{}).DoRaw(t.Context())
	if !apierrors.IsServiceUnavailable(err) {
		t.Errorf("log from an agent with another node's certificate: %v", err)
	}
	for _, ws := range []bool{false, true} {
		ex := executor(t, c.Admin(), cs, ws, &corev1.PodExecOptions{Command: []string{"x"}, Stdout: true})
		err := ex.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "is not node n1's") {
			t.Errorf("exec, websocket=%v: got %v", ws, err)
		}
	}
}

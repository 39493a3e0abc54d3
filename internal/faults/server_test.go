package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var built struct {
	once sync.Once
	bin  string
	err  error
}

func TestMain(m *testing.M) {
	if config := os.Getenv(memberEnv); config != "" {
		fmt.Fprintln(os.Stderr, runMember(config))
		os.Exit(1)
	}
	code := m.Run()
	if built.bin != "" {
		_ = os.RemoveAll(filepath.Dir(built.bin))
	}
	os.Exit(code)
}

// pintle builds the program under test, once; PINTLE_BIN names another.
func pintle(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("PINTLE_BIN"); bin != "" {
		return bin
	}
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "pintle-faults-")
		if err != nil {
			built.err = err
			return
		}
		built.bin = filepath.Join(dir, "pintle")
		if out, err := exec.Command("go", "build", "-o", built.bin, "../../cmd/pintle").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.bin
}

// startLimit is how long a server may take to serve, on a busy machine.
const startLimit = 90 * time.Second

// server is a control plane as a process of its own.
type server struct {
	t    testing.TB
	dir  string
	addr string
	args []string

	cmd   *exec.Cmd
	out   *output
	ended chan struct{} // closed when the process has ended
}

// output keeps what a process said.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newServer describes a server; start starts it.
func newServer(t testing.TB, dir string, args ...string) *server {
	s := &server{t: t, dir: dir, addr: freeAddress(t), args: args}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if t.Failed() && s.out != nil {
			t.Logf("the last server said:\n%s", s.out)
		}
	})
	return s
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts the process and does not wait until it serves.
func (s *server) launch() {
	s.t.Helper()
	args := append([]string{"server", "--data-dir", s.dir, "--listen", s.addr, "--registry-listen", "127.0.0.1:0", "--plugin-host", "native"}, s.args...)
	s.cmd = exec.Command(pintle(s.t), args...)
	s.out, s.ended = &output{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, ended := s.cmd, s.ended
	go func() { _ = cmd.Wait(); close(ended) }()
}

// start starts the process and waits until it serves.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.ready()
}

// ready waits until the API answers.
func (s *server) ready() {
	s.t.Helper()
	deadline := time.Now().Add(startLimit)
	for ; ; time.Sleep(20 * time.Millisecond) {
		if err := s.readyz(); err == nil {
			return
		} else if time.Now().After(deadline) {
			s.t.Fatalf("the server does not serve: %v", err)
		}
		select {
		case <-s.ended:
			s.t.Fatalf("the server ended: %v", s.cmd.ProcessState)
		default:
		}
	}
}

func (s *server) readyz() error {
	c, err := s.config()
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + s.addr + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// kill ends the process at once and waits for it.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// stop ends it in good order.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.end(time.Minute); err != nil {
		s.t.Errorf("SIGTERM: %v", err)
	}
}

var errRuns = errors.New("the process still runs")

// end waits until the process ends by itself and returns how it did.
func (s *server) end(limit time.Duration) error {
	select {
	case <-s.ended:
	case <-time.After(limit):
		return errRuns
	}
	if !s.cmd.ProcessState.Success() {
		return errors.New(s.cmd.ProcessState.String())
	}
	return nil
}

// config is the administrator's, straight to the server.
func (s *server) config() (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.dir, "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	c.Host, c.QPS, c.Burst, c.Timeout = "https://"+s.addr, 1000, 2000, 10*time.Second
	return c, nil
}

func (s *server) client() *kubernetes.Clientset {
	s.t.Helper()
	c, err := s.config()
	if err != nil {
		s.t.Fatal(err)
	}
	return kubernetes.NewForConfigOrDie(c)
}

// run runs another command of the program and returns what it printed.
func (s *server) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, pintle(s.t), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(s.dir, "admin.kubeconfig"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

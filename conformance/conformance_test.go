package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pintle-io/pintle/conformance"
)

// TestConformance runs the suite against the cluster of $CONFORMANCE_KUBECONFIG
// or, when it is not set, against a control plane of the built binary, without
// a node. It is not $KUBECONFIG: a test must not write into whatever cluster
// its user happens to work with.
func TestConformance(t *testing.T) {
	kubeconfig := os.Getenv("CONFORMANCE_KUBECONFIG")
	if kubeconfig == "" {
		kubeconfig = startServer(t)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	results, err := conformance.Run(t.Context(), conformance.Config{REST: cfg})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, r := range results {
		t.Run(r.Case.Name, func(t *testing.T) {
			t.Log(r.Case.Stands)
			if r.LeftOut != "" {
				t.Log("left out: " + r.LeftOut)
				return
			}
			ran++
			if r.Err != nil {
				t.Error(r.Err)
			}
		})
	}
	if ran < len(results)-5 {
		t.Errorf("%d of %d cases ran: too few", ran, len(results))
	}
}

// startServer runs a control plane on the loopback for as long as the test
// lasts and returns its administrator's kubeconfig.
func startServer(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs("../bin/pintle")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	dir := t.TempDir()
	cmd := exec.Command(bin, "server", "--data-dir", dir, "--listen", freePort(t), "--registry-listen", freePort(t))
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			// The last step: controllers and policies are at work.
			if f := strings.Fields(sc.Text()); len(f) > 1 && f[1] == "plugins" {
				close(up)
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() {
			t.Log(log.String()[max(0, log.Len()-20000):])
		}
	})
	select {
	case <-up:
	case <-read:
		t.Fatal("the server ended while it started")
	case <-time.After(90 * time.Second):
		t.Fatal("the server was not up within 90 s")
	}
	return filepath.Join(dir, "admin.kubeconfig")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The suite itself: every case has a name of its own and says what it stands
// for, and a cluster that cannot be reached is the run's error.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range conformance.Cases() {
		if c.Name == "" || c.Stands == "" || c.Run == nil || seen[c.Name] {
			t.Errorf("case %q stands for %q: want a name of its own, what it stands for, and a function", c.Name, c.Stands)
		}
		seen[c.Name] = true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := conformance.Run(ctx, conformance.Config{REST: &rest.Config{Host: fmt.Sprintf("https://%s", freePort(t))}}); err == nil {
		t.Error("a run without a cluster passed")
	}
}

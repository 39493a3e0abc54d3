package probe_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/probe"
)

// script answers probes by the time since the test began.
type script struct {
	mu    sync.Mutex // also of the log
	began time.Time
	ok    func(p *corev1.Probe, at time.Duration) bool
	err   error // of attempts, which are not made then
	made  []time.Duration
}

func (s *script) Probe(_ context.Context, p *corev1.Probe, _ probe.Target) (bool, string, error) {
	at := time.Since(s.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, at)
	if s.err != nil {
		return false, "", s.err
	}
	return s.ok(p, at), "out", nil
}

// watch runs the probes of one container for a while of fake time, and lists
// how its health changed.
func watch(t *testing.T, c *corev1.Container, was probe.Health, d time.Duration, ok func(p *corev1.Probe, at time.Duration) bool) (log []string, s *script) {
	t.Helper()
	return play(t, c, was, d, &script{ok: ok})
}

func play(t *testing.T, c *corev1.Container, was probe.Health, d time.Duration, s *script) ([]string, *script) {
	t.Helper()
	var log []string
	synctest.Test(t, func(t *testing.T) {
		s.began = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var m *probe.Manager
		note := func(what string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			log = append(log, what+" at "+time.Since(s.began).String())
		}
		m = probe.New(probe.Config{Prober: s, Changed: func(types.UID) {
			h := m.Health("id")
			switch {
			case h.Fault != "":
				note("fault: " + h.Fault)
			case h.Ready:
				note("ready")
			case h.Started:
				note("started, not ready")
			}
		}, Unhealthy: func(_ probe.Target, text string) { note(text) }})
		pod := &corev1.Pod{}
		pod.UID = "u"
		m.Sync(ctx, "u", []probe.Target{{Pod: pod, Container: c, ID: "id", StartedAt: s.began, Was: was}})
		time.Sleep(d)
		synctest.Wait()
		cancel()
		m.Wait()
	})
	return log, s
}

func join(log []string) string { return strings.Join(log, "\n") }

func TestReadiness(t *testing.T) {
	c := &corev1.Container{Name: "app", ReadinessProbe: &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 2, SuccessThreshold: 1}}
	log, _ := watch(t, c, probe.Health{}, 61*time.Second, func(_ *corev1.Probe, at time.Duration) bool {
		return at > 300*time.Millisecond && at < 15*time.Second || at > 45*time.Second
	})
	// Ready long before the first period is over; two failures make it
	// unready; one success ready again.
	want := `ready at 350ms
Readiness probe failed: out at 20.35s
Readiness probe failed: out at 30.35s
started, not ready at 30.35s
Readiness probe failed: out at 40.35s
ready at 50.35s`
	if got := join(log); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestInitialDelayIsKept(t *testing.T) {
	c := &corev1.Container{Name: "app", ReadinessProbe: &corev1.Probe{InitialDelaySeconds: 30, PeriodSeconds: 5}}
	log, s := watch(t, c, probe.Health{}, 40*time.Second, func(*corev1.Probe, time.Duration) bool { return true })
	if len(s.made) == 0 || s.made[0] != 30*time.Second || join(log) != "ready at 30s" {
		t.Errorf("got %v, first attempt at %v", log, s.made)
	}
}

func TestSlowToBecomeReady(t *testing.T) {
	c := &corev1.Container{Name: "app", ReadinessProbe: &corev1.Probe{PeriodSeconds: 5, FailureThreshold: 1}}
	log, s := watch(t, c, probe.Health{}, 20*time.Second, func(*corev1.Probe, time.Duration) bool { return false })
	// Events come once per period, attempts more often at first.
	if len(s.made) > 15 || len(log) < 2 || len(log) > 4 {
		t.Errorf("%d attempts, log:\n%s", len(s.made), join(log))
	}
}

func TestLivenessAfterStartup(t *testing.T) {
	c := &corev1.Container{Name: "app",
		StartupProbe:  &corev1.Probe{PeriodSeconds: 2, FailureThreshold: 10},
		LivenessProbe: &corev1.Probe{PeriodSeconds: 3, FailureThreshold: 2, TerminationGracePeriodSeconds: ptr.To[int64](7)}}
	log, _ := watch(t, c, probe.Health{}, 60*time.Second, func(p *corev1.Probe, at time.Duration) bool {
		if p == c.StartupProbe {
			return at >= 5*time.Second
		}
		return at < 10*time.Second
	})
	want := `Startup probe failed: out at 0s
Startup probe failed: out at 2s
Startup probe failed: out at 4s
ready at 6s
Liveness probe failed: out at 12s
Liveness probe failed: out at 15s
fault: Container app failed liveness probe, will be restarted at 15s`
	if got := join(log); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestStartupFails(t *testing.T) {
	c := &corev1.Container{Name: "app", StartupProbe: &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 3}}
	log, _ := watch(t, c, probe.Health{}, 30*time.Second, func(*corev1.Probe, time.Duration) bool { return false })
	if got := join(log); !strings.HasSuffix(got, "fault: Container app failed startup probe, will be restarted at 2s") {
		t.Errorf("got:\n%s", got)
	}
}

// TestProbeThatCannotBeMade: it makes nothing unhealthy and nothing ready, and
// is told once per period.
func TestProbeThatCannotBeMade(t *testing.T) {
	none := &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 1}
	for kind, c := range map[string]*corev1.Container{
		"Startup": {Name: "app", StartupProbe: none}, "Readiness": {Name: "app", ReadinessProbe: none}, "Liveness": {Name: "app", LivenessProbe: none},
	} {
		log, s := play(t, c, probe.Health{}, 55*time.Second, &script{err: errors.New("no such file")})
		if len(log) < 4 || len(log) > 6 || len(s.made) < 5 {
			t.Errorf("%s: %d attempts, log:\n%s", kind, len(s.made), join(log))
		}
		for _, line := range log {
			if want := kind + " probe errored and resulted in unknown state: no such file at "; !strings.HasPrefix(line, want) {
				t.Errorf("got %q, want %q", line, want)
			}
		}
	}
}

// TestTakenOver: what an earlier agent found out holds until a probe differs.
func TestTakenOver(t *testing.T) {
	c := &corev1.Container{Name: "app", StartupProbe: &corev1.Probe{PeriodSeconds: 1}, ReadinessProbe: &corev1.Probe{PeriodSeconds: 5, FailureThreshold: 3}}
	log, _ := watch(t, c, probe.Health{Started: true, Ready: true}, 30*time.Second, func(p *corev1.Probe, at time.Duration) bool {
		if p == c.StartupProbe {
			t.Error("the startup probe was made again")
		}
		return true
	})
	if len(log) > 0 {
		t.Errorf("got %v", log)
	}
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "v" || r.Host != "virtual.example" || !strings.HasPrefix(r.UserAgent(), "kube-probe/") {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.Handle("/away", http.RedirectHandler("http://elsewhere.invalid/", http.StatusFound))
	mux.Handle("/near", http.RedirectHandler("/bad", http.StatusFound))
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	headers := []corev1.HTTPHeader{{Name: "X-Key", Value: "v"}, {Name: "host", Value: "virtual.example"}}
	for _, c := range []struct {
		url  string
		want bool
	}{{plain.URL + "/ok", true}, {secure.URL + "/ok", true}, {plain.URL + "/bad", false}, {plain.URL + "/slow", false},
		{plain.URL + "/away", true}, {plain.URL + "/near", false}, {"http://127.0.0.1:1/", false}} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		ok, text, err := probe.HTTP(t.Context(), u, headers, 300*time.Millisecond)
		if ok != c.want || err != nil {
			t.Errorf("%s: got %t %q %v, want %t", c.url, ok, text, err, c.want)
		}
	}
}

func TestNetwork(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	hs := health.NewServer()
	hs.SetServingStatus("sick", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(srv, hs)
	go func() { _ = srv.Serve(ln) }()
	defer srv.Stop()
	port := int32(ln.Addr().(*net.TCPAddr).Port)
	n := probe.Network{Exec: func(_ context.Context, _ string, cmd []string, _ time.Duration) ([]byte, error) {
		switch cmd[0] {
		case "good":
			return []byte("fine"), nil
		case "bad":
			return []byte("oops"), &cri.ExitError{Code: 1}
		case "slow":
			return nil, cri.ErrExecTimeout
		}
		return nil, errors.New("runtime is down")
	}}
	target := probe.Target{IP: "127.0.0.1", Container: &corev1.Container{Ports: []corev1.ContainerPort{{Name: "rpc", ContainerPort: port}}}}
	exec := func(c string) corev1.ProbeHandler {
		return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{c}}}
	}
	for name, c := range map[string]struct {
		h    corev1.ProbeHandler
		ok   bool
		fail bool
	}{
		"exec": {exec("good"), true, false}, "exec fails": {exec("bad"), false, false}, "exec times out": {exec("slow"), false, false}, "exec cannot be made": {exec("x"), false, true},
		"tcp by name":  {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("rpc")}}, true, false},
		"tcp, no port": {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("none")}}, false, true},
		"tcp refused":  {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}, false, false},
		"grpc":         {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port}}, true, false},
		"grpc sick":    {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port, Service: ptr.To("sick")}}, false, false},
		"grpc unknown": {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: port, Service: ptr.To("none")}}, false, false},
		"nothing":      {corev1.ProbeHandler{}, false, true},
	} {
		ok, text, err := n.Probe(t.Context(), &corev1.Probe{ProbeHandler: c.h, TimeoutSeconds: 1}, target)
		if ok != c.ok || (err != nil) != c.fail {
			t.Errorf("%s (port %s): got %t %q %v", name, strconv.Itoa(int(port)), ok, text, err)
		}
	}
}

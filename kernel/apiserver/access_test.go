package apiserver_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
)

// grant lets a user do something everywhere.
func grant(t *testing.T, c *kerneltest.Server, user, verb, res string) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{verb}, APIGroups: []string{""}, Resources: []string{res}}}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}}
	cs := kerneltest.Client(t, c.Admin()).RbacV1()
	if _, err := cs.ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	grant(t, c, "reader", "get", "configmaps")
	tests := []struct {
		name string
		cfg  *rest.Config
		path string
		code int
		text string
	}{
		{"anonymous reads health", c.Bearer(""), "/healthz", 200, "ok"},
		{"anonymous reads the version", c.Bearer(""), "/version", 200, "gitVersion"},
		{"anonymous does not discover", c.Bearer(""), "/api", 403, `forbidden: User "system:anonymous" cannot get path "/api"`},
		{"a bad token is no anonymous", c.Bearer("nonsense"), "/healthz", 401, "Unauthorized"},
		{"a user discovers", c.User(t, "reader"), "/api", 200, "APIVersions"},
		{"what was granted", c.User(t, "reader"), "/api/v1/namespaces/default/configmaps/x", 404, "not found"},
		{"and no more", c.User(t, "reader"), "/api/v1/namespaces/default/secrets/x", 403, `secrets "x" is forbidden: User "reader" cannot get resource "secrets" in API group "" in the namespace "default"`},
		{"cluster scope", c.User(t, "reader"), "/api/v1/nodes", 403, `nodes is forbidden: User "reader" cannot list resource "nodes" in API group "" at the cluster scope`},
		{"unknown things are forbidden, not missing", c.User(t, "reader"), "/api/v1/nopes", 403, `nopes is forbidden`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hc, err := rest.HTTPClientFor(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := hc.Get(c.URL + tt.path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := strings.ReplaceAll(text(t, resp), `\"`, `"`)
			if resp.StatusCode != tt.code || !strings.Contains(body, tt.text) {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, tt.code, tt.text)
			}
		})
	}
}

func TestImpersonation(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	grant(t, c, "reader", "get", "configmaps")
	as := func(cfg *rest.Config, who rest.ImpersonationConfig) error {
		cfg.Impersonate = who
		_, err := kerneltest.Client(t, cfg).CoreV1().Secrets("default").Get(t.Context(), "x", metav1.GetOptions{})
		return err
	}
	if err := as(c.Admin(), rest.ImpersonationConfig{UserName: "reader"}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "reader"`) {
		t.Errorf("admin as reader: %v", err)
	}
	if err := as(c.Admin(), rest.ImpersonationConfig{UserName: "x", Groups: []string{"system:masters"}}); !apierrors.IsNotFound(err) {
		t.Errorf("admin as member of system:masters: %v", err)
	}
	if err := as(c.User(t, "reader"), rest.ImpersonationConfig{UserName: "other"}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `cannot impersonate-on:user-info:get resource "secrets"`) {
		t.Errorf("reader as other: %v", err)
	}
	resp := get(t, c, "/api/v1/nodes", map[string]string{"Impersonate-Group": "g"})
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("group without user: %d", resp.StatusCode)
	}
}

// slow lets requests wait inside the registry.
type slow struct {
	registry.Registry
	enter, leave chan struct{}
}

// accessFunc is a function as registry.Access.
type accessFunc func(u user.Info) registry.Registry

func (f accessFunc) As(u user.Info) registry.Registry { return f(u) }

// over lets requests to a registry wait.
func (s *slow) over(all registry.Access) registry.Access {
	return accessFunc(func(u user.Info) registry.Registry { return &slow{all.As(u), s.enter, s.leave} })
}

func (s *slow) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	if t.Resource.Resource != "configmaps" {
		return s.Registry.List(ctx, t, o)
	}
	s.enter <- struct{}{}
	select {
	case <-s.leave:
		return s.Registry.List(ctx, t, o)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestInFlightLimit(t *testing.T) {
	t.Parallel()
	s := &slow{enter: make(chan struct{}, 10), leave: make(chan struct{})}
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Registry = s.over(cfg.Registry)
		cfg.Limits.ReadInFlight = 1
	}}})
	grant(t, c, "reader", "list", "configmaps")
	hc, err := rest.HTTPClientFor(c.User(t, "reader"))
	if err != nil {
		t.Fatal(err)
	}
	path := c.URL + "/api/v1/configmaps"
	first := make(chan int, 1)
	go func() {
		resp, err := hc.Get(path)
		if err != nil {
			first <- 0
			return
		}
		resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-s.enter
	resp, err := hc.Get(path)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("second request: %d %v, want 429 and Retry-After", resp.StatusCode, resp.Header)
	}
	if resp, err = hc.Get(c.URL + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Errorf("health of a busy server: %v, %v", resp, err)
	}
	close(s.leave)
	if code := <-first; code != 200 {
		t.Errorf("first request: %d", code)
	}
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	s := &slow{enter: make(chan struct{}, 10), leave: make(chan struct{})}
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Registry = s.over(cfg.Registry)
	}}})
	start := time.Now()
	resp := get(t, c, "/api/v1/configmaps?timeout=100ms", nil)
	if resp.StatusCode != http.StatusGatewayTimeout || time.Since(start) > 10*time.Second {
		t.Errorf("got %d after %s: %s", resp.StatusCode, time.Since(start), text(t, resp))
	}
}

type panics struct{ registry.Registry }

func (p panics) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	if t.Resource.Resource == "configmaps" {
		panic("private detail")
	}
	return p.Registry.List(ctx, t, o)
}

func TestPanicBecomesAnAnswer(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		all := cfg.Registry
		cfg.Registry = accessFunc(func(u user.Info) registry.Registry { return panics{all.As(u)} })
	}}})
	resp := get(t, c, "/api/v1/configmaps", nil)
	body := text(t, resp)
	id := resp.Header.Get("Audit-Id")
	if resp.StatusCode != http.StatusInternalServerError || id == "" || !strings.Contains(body, id) || strings.Contains(body, "private detail") {
		t.Errorf("got %d, id %q: %s", resp.StatusCode, id, body)
	}
	if resp := get(t, c, "/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("after a panic: %d", resp.StatusCode)
	}
}

type expired struct{ registry.Registry }

func (expired) Watch(context.Context, registry.Target, metav1.ListOptions) (registry.Watcher, error) {
	return nil, apierrors.NewResourceExpired("too old resource version: 1 (5)")
}

// TestExpiredWatchIsToldInTheStream: clients look for a 410 among the events.
func TestExpiredWatchIsToldInTheStream(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		all := cfg.Registry
		cfg.Registry = accessFunc(func(u user.Info) registry.Registry { return expired{all.As(u)} })
	}}})
	resp := get(t, c, "/api/v1/configmaps?watch=1&resourceVersion=1", nil)
	body := text(t, resp)
	if resp.StatusCode != 200 || !strings.HasPrefix(body, `{"type":"ERROR","object":{"kind":"Status"`) || !strings.Contains(body, `"code":410`) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	w, err := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if e := next(t, w); e.Type != "ERROR" || !apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
		t.Errorf("client sees %v %v", e.Type, e.Object)
	}
}

// TestASlowBodyIsCutOff: the timeout covers a client that stops sending.
func TestASlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) { cfg.Limits.RequestTimeout = 200 * time.Millisecond }}})
	r, w := io.Pipe()
	defer w.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.URL+"/api/v1/namespaces/default/configmaps", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := c.HTTP().Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a silent body was waited for %s", took)
	}
}

// Profiles are for those who may get the path: cluster administrators. They
// take the time that they need, whatever the time-out of a request.
func TestProfilesAreGuarded(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Profiling = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, bounded := r.Context().Deadline(); bounded {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = io.WriteString(w, "profile "+r.URL.Path)
		})
	}}})
	without := kerneltest.Start(t, kerneltest.Options{})
	grant(t, c, "reader", "get", "nodes")
	for _, tt := range []struct {
		name    string
		cfg     *rest.Config
		code    int
		text    string
		cluster *kerneltest.Server
	}{
		{"admin", c.Admin(), 200, "profile /debug/pprof", c},
		{"a user", c.User(t, "reader"), 403, "cannot get path", c},
		{"anonymous", c.Bearer(""), 403, "cannot get path", c},
		{"switched off", without.Admin(), 404, "not found", without},
	} {
		hc, err := rest.HTTPClientFor(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=40&timeout=1s"} {
			resp, err := hc.Get(tt.cluster.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			if body := text(t, resp); resp.StatusCode != tt.code || !strings.Contains(body, tt.text) {
				t.Errorf("%s, %s: got %d %s, want %d %s", tt.name, path, resp.StatusCode, body, tt.code, tt.text)
			}
			resp.Body.Close()
		}
	}
}

// notes counts what is logged at each level.
type notes struct {
	slog.Handler
	mu   sync.Mutex
	seen map[slog.Level]int // guarded by mu
}

func (n *notes) Enabled(context.Context, slog.Level) bool { return true }

func (n *notes) Handle(_ context.Context, r slog.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Message == "request failed" {
		n.seen[r.Level]++
	}
	return nil
}

func (n *notes) at(l slog.Level) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[l]
}

// A client that goes in the middle is nothing to wake somebody for.
func TestAClientThatGoesIsNoFault(t *testing.T) {
	t.Parallel()
	s := &slow{enter: make(chan struct{}, 10), leave: make(chan struct{})}
	log := &notes{Handler: slog.DiscardHandler, seen: map[slog.Level]int{}}
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Registry = s.over(cfg.Registry)
		cfg.Log = slog.New(log)
	}}})
	hc, err := rest.HTTPClientFor(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", c.URL+"/api/v1/configmaps", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-s.enter; cancel() }()
	if resp, err := hc.Do(req); err == nil {
		resp.Body.Close()
		t.Error("the request was answered")
	}
	for deadline := time.Now().Add(10 * time.Second); log.at(slog.LevelDebug)+log.at(slog.LevelError) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if log.at(slog.LevelDebug) != 1 || log.at(slog.LevelError) != 0 {
		t.Errorf("logged %v, want one line at DEBUG", log.seen)
	}
}

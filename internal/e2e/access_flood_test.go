package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A flood is bounded in time and in what is in flight at once.
const (
	floodFor     = 3 * time.Second
	floodWorkers = 64
	slowBodies   = 300
)

// TestFloods: whatever one client sends, another tenant's requests are all
// answered. How long they take is printed, quiet and meanwhile.
func TestFloods(t *testing.T) {
	p := startPlane(t)
	for _, ns := range []string{"tenant", "other"} {
		p.must(t, "POST", "/api/v1/namespaces", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+ns+`"}}`, nil)
	}
	for who, ns := range map[string]string{"editor": "tenant", "neighbour": "other"} {
		p.person(t, who, "tenants")
		p.bind(t, who, ns, "edit")
	}
	p.person(t, "nobody", "tenants")
	p.must(t, "POST", other+"/configmaps", configMap("c"), nil)
	big := strings.Repeat("x", 512<<10)
	var n atomic.Int64
	for _, f := range []struct {
		name  string
		flood func(context.Context)
	}{
		{"quiet", nil},
		{"anonymous requests that are refused", p.repeat(attempt{who: "anonymous", method: "GET", path: "/api/v1/secrets"})},
		{"bad tokens", p.repeat(attempt{who: "anonymous", method: "GET", path: "/api", header: map[string]string{"Authorization": "Bearer aaaaaa.0123456789abcdef"}})},
		{"requests of nobody that are refused", p.repeat(attempt{who: "nobody", method: "GET", path: "/api/v1/pods"})},
		{"a tenant's reads", p.repeat(attempt{who: "editor", method: "GET", path: tenant + "/configmaps"})},
		{"a tenant's writes", func(ctx context.Context) {
			p.repeatWith(ctx, func() attempt {
				return attempt{who: "editor", method: "POST", path: tenant + "/configmaps", body: configMap(fmt.Sprintf("f%d", n.Add(1)))}
			})
		}},
		{"a tenant's large dry runs", p.repeat(attempt{who: "editor", method: "POST", path: tenant + "/configmaps?dryRun=All",
			body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{"k":"` + big + `"}}`})},
		{"bodies of nobody that never end", p.slow(tenant + "/configmaps")},
		{"bodies of nobody that never end, where he may", p.slow("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")},
	} {
		t.Run(f.name, func(t *testing.T) { p.underFlood(t, f.flood) })
	}
}

// repeat sends the same request again and again.
func (p *controlPlane) repeat(a attempt) func(context.Context) {
	return func(ctx context.Context) { p.repeatWith(ctx, func() attempt { return a }) }
}

func (p *controlPlane) repeatWith(ctx context.Context, next func() attempt) {
	var wg sync.WaitGroup
	for range floodWorkers {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = p.ask(ctx, next()) // refused or not: that is not the question
			}
		})
	}
	wg.Wait()
}

// slow opens requests whose bodies are announced and do not come.
func (p *controlPlane) slow(path string) func(context.Context) {
	return func(ctx context.Context) { p.slowWith(ctx, path) }
}

func (p *controlPlane) slowWith(ctx context.Context, path string) {
	cfg := p.actors["nobody"].client.Transport.(*http.Transport).TLSClientConfig
	addr := strings.TrimPrefix(p.url, "https://")
	var conns []net.Conn
	for range slowBodies {
		c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
		if err != nil {
			break
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", path, addr)
	}
	<-ctx.Done()
	for _, c := range conns {
		_ = c.Close() // they were to hang
	}
}

// underFlood measures a neighbour's reads and writes while a flood runs.
func (p *controlPlane) underFlood(t *testing.T, flood func(context.Context)) {
	ctx, cancel := context.WithTimeout(t.Context(), floodFor)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if flood != nil {
			flood(ctx)
		}
	}()
	var reads, writes []time.Duration
	for i := 0; ctx.Err() == nil; i++ {
		for _, x := range []struct {
			a    attempt
			into *[]time.Duration
		}{
			{attempt{method: "GET", path: other + "/configmaps/c"}, &reads},
			{attempt{method: "PATCH", path: other + "/configmaps/c", body: fmt.Sprintf(`{"data":{"i":"%d"}}`, i)}, &writes},
		} {
			x.a.who = "neighbour"
			start := time.Now()
			got, err := p.ask(t.Context(), x.a)
			if err != nil || got.code != 200 {
				t.Errorf("the neighbour's %s: %v %s %s", x.a.method, err, got, got.message)
			}
			*x.into = append(*x.into, time.Since(start))
		}
	}
	<-done
	t.Logf("the neighbour's reads: %s; writes: %s", spread(reads), spread(writes))
}

func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	at := func(f float64) time.Duration { return d[int(float64(len(d)-1)*f)].Round(100 * time.Microsecond) }
	return fmt.Sprintf("%d, p50 %s, p99 %s, longest %s", len(d), at(0.5), at(0.99), at(1))
}

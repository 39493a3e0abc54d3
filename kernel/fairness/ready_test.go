package fairness_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// withheld is a store that writes FlowSchemas once a test lets it.
type withheld struct {
	store.Store
	let chan struct{}
}

func (w *withheld) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	for _, op := range ops {
		if !op.Check && strings.HasPrefix(op.Key, "/registry/flowschemas/") {
			select {
			case <-w.let:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
	return w.Store.Commit(ctx, ops)
}

// A server is not ready before requests are sorted by what every cluster has; once it
// is, the first request is, at the first start and at the next.
func TestReady(t *testing.T) {
	const check = "poststarthook/priority-and-fairness-config-producer"
	w := &withheld{Store: memory.New(), let: make(chan struct{})}
	told := make(chan bool, 1)
	o := kerneltest.Options{Table: table(t), Dir: t.TempDir(), Store: w}
	o.Config = func(c *kernel.Config) {
		url := "https://" + c.Listeners[0].Addr().String() + "/readyz?verbose"
		go func() {
			defer close(w.let)
			hc := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			defer hc.CloseIdleConnections()
			for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				a := do(context.Background(), hc, "GET", url, "")
				if a.code == http.StatusInternalServerError && strings.Contains(a.body, "[-]"+check+" failed") {
					told <- true
					return
				}
			}
			told <- false
		}()
	}
	sorted := func() {
		t.Helper()
		s := &server{Server: kerneltest.Start(t, o)}
		s.client = kerneltest.Client(t, s.Admin())
		ann := s.User(t, "ann")
		if got := s.sorted(t, s.ask(t, ann, "GET", "/version", "")); got != "global-default/global-default" {
			t.Errorf("the first request is sorted into %s", got)
		}
		if a := s.ask(t, s.Admin(), "GET", "/readyz?verbose", ""); a.code != http.StatusOK || !strings.Contains(a.body, "[+]"+check+" ok") {
			t.Errorf("/readyz: %d %s", a.code, a.body)
		}
		s.Stop()
	}
	sorted()
	if !<-told {
		t.Error("/readyz never said that it waits for the FlowSchemas")
	}
	o.Config = nil
	sorted()
}

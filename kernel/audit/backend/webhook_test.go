package backend_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/pintle-io/pintle/kernel/audit/backend"
)

// kubeconfig names a server.
func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	content := "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {server: '" + url + "'}\ncontexts:\n- name: a\n  context: {cluster: a, user: ''}\ncurrent-context: a\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// collector is a webhook that may be down.
type collector struct {
	down atomic.Bool
	came chan auditv1.EventList
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	var list auditv1.EventList
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.came <- list
}

// A webhook that is down is tried again; what waited comes when it is back.
func TestWebhookDownAndUp(t *testing.T) {
	f := newFixture()
	c := &collector{came: make(chan auditv1.EventList, 10)}
	server := httptest.NewServer(c)
	defer server.Close()
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := backend.NewWebhook(backend.WebhookConfig{File: kubeconfig(t, server.URL), InitialBackoff: time.Second, Stop: stop, Clock: f.clock, Health: f.health(backend.WebhookName)})
	if err != nil {
		t.Fatal(err)
	}
	if !w.ProcessEvents(event("a"), event("b")) {
		t.Fatal("it was up")
	}
	if list := <-c.came; list.Kind != "EventList" || list.APIVersion != "audit.k8s.io/v1" || len(list.Items) != 2 || list.Items[1].AuditID != "b" {
		t.Errorf("%+v", list)
	}

	c.down.Store(true)
	done := make(chan bool)
	go func() { done <- w.ProcessEvents(event("c")) }()
	waits := func() {
		for !f.clock.HasWaiters() {
			time.Sleep(time.Millisecond)
		}
	}
	step := func() {
		waits()
		f.clock.Step(30 * time.Second)
	}
	step()
	step()
	waits()
	c.down.Store(false)
	step()
	if !<-done || string((<-c.came).Items[0].AuditID) != "c" || f.lostBy("webhook") != 0 || f.lines("WARN") != 1 {
		t.Errorf("%v lost, said %s", f.lostBy("webhook"), f.said)
	}
	f.clock.Step(time.Minute)
	if !w.ProcessEvents(event("d")) || f.lines("INFO") != 1 {
		t.Errorf("said %s", f.said)
	}

	c.down.Store(true)
	go func() { done <- w.ProcessEvents(event("e")) }()
	for range 4 { // after the fifth try it is given up
		step()
	}
	if <-done || f.lostBy("webhook") != 1 || f.lines("WARN") != 2 {
		t.Errorf("%v lost, said %s", f.lostBy("webhook"), f.said)
	}
	cancel() // the server ends: nothing is waited for
	if w.ProcessEvents(event("f")) || f.lostBy("webhook") != 2 {
		t.Errorf("%v lost", f.lostBy("webhook"))
	}
}

func TestWebhookConfig(t *testing.T) {
	if _, err := backend.NewWebhook(backend.WebhookConfig{File: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a file that is not there")
	}
}

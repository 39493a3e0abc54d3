package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestEndpoints(t *testing.T) {
	s := newServer(slog.New(slog.DiscardHandler))
	code := -1
	s.exit = func(c int) { code = c }
	for _, step := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/version", 200, version},
		{"GET", "/", 200, `"version":"` + version + `"`},
		{"GET", "/healthz", 200, "ok"},
		{"POST", "/fail/health", 200, ""},
		{"GET", "/healthz", 500, "failing"},
		{"GET", "/readyz", 200, "ok"},
		{"DELETE", "/fail/health", 200, ""},
		{"GET", "/healthz", 200, "ok"},
		{"POST", "/fail/ready", 200, ""},
		{"GET", "/readyz", 503, "failing"},
		{"PUT", "/fail/ready", 405, ""},
		{"POST", "/fail/other", 404, ""},
		{"GET", "/slow?ms=1", 200, version},
		{"GET", "/slow?ms=-1", 400, ""},
		{"GET", "/slow?ms=x", 400, ""},
		{"GET", "/burn?ms=1", 200, podName()},
		{"GET", "/burn?ms=10001", 400, ""},
		{"GET", "/burn", 400, ""},
		{"GET", "/exit?code=256", 400, ""},
		{"GET", "/exit?code=7", 200, "exiting"},
		{"GET", "/nothing", 404, ""},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(step.method, step.path, nil))
		if w.Code != step.status || !strings.Contains(w.Body.String(), step.body) {
			t.Errorf("%s %s: got %d %q, want %d with %q", step.method, step.path, w.Code, w.Body, step.status, step.body)
		}
	}
	if code != 7 {
		t.Errorf("exit code: got %d, want 7", code)
	}
}

func TestShutdownFinishesRequests(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, newServer(slog.New(slog.DiscardHandler)), addr, 10*time.Second) }()
	get := func(path string) (*http.Response, error) {
		for end := time.Now().Add(5 * time.Second); ; {
			r, err := http.Get("http://" + addr + path)
			if err == nil || time.Now().After(end) {
				return r, err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if r, err := get("/readyz"); err != nil {
		t.Fatal(err)
	} else {
		r.Body.Close()
	}
	answer := make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + addr + "/slow?ms=300")
		if err == nil {
			r.Body.Close()
		}
		answer <- err
	}()
	time.Sleep(100 * time.Millisecond)
	cancel()
	if err := <-answer; err != nil {
		t.Errorf("request under way: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := http.Get("http://" + addr + "/"); err == nil {
		t.Error("still serving after the end")
	}
}

package backoff_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/node/backoff"
)

// apiServer is one that is killed and started again, without a network.
type apiServer struct {
	mu    sync.Mutex
	up    bool
	rev   int
	open  []*io.PipeWriter
	tries int // of watches while it was away
}

func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		s.tries++
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	body, w := io.Pipe()
	s.open = append(s.open, w)
	context.AfterFunc(r.Context(), func() { _ = w.CloseWithError(r.Context().Err()) })
	first := []watchEvent{}
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		first = append(first, watchEvent{"ADDED", s.object(nil)}, watchEvent{"BOOKMARK", s.object(map[string]string{metav1.InitialEventsAnnotationKey: "true"})})
	} else if r.URL.Query().Get("resourceVersion") != fmt.Sprint(s.rev) {
		first = append(first, watchEvent{"MODIFIED", s.object(nil)})
	}
	go func() {
		for _, e := range first {
			_ = json.NewEncoder(w).Encode(e)
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Request: r}, nil
}

type watchEvent struct {
	Type   string            `json:"type"`
	Object *corev1.ConfigMap `json:"object"`
}

func (s *apiServer) object(annotations map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "c", ResourceVersion: fmt.Sprint(s.rev), Annotations: annotations}}
}

// kill ends the server, as a process ends.
func (s *apiServer) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = false
	for _, w := range s.open {
		_ = w.CloseWithError(&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET})
	}
	s.open = nil
}

// state is what the object is at, and how often somebody tried since it was
// asked last.
func (s *apiServer) state() (rev, tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rev, tries, s.tries = s.rev, s.tries, 0
	return rev, tries
}

// start starts it; meanwhile the object has changed.
func (s *apiServer) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.rev = true, s.rev+1
}

// TestWatchesComeBack restarts a server time and again. An informer knows what
// changed within a second and a quarter of the start, each time.
func TestWatchesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{}
		s.start()
		client := kubernetes.NewForConfigOrDie(&rest.Config{Host: "http://server", QPS: -1, Transport: backoff.Watches(s)})
		f := informers.NewSharedInformerFactory(client, 0)
		informer := f.Core().V1().ConfigMaps().Informer()
		ctx, cancel := context.WithCancel(t.Context())
		f.StartWithContext(ctx)
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			t.Fatal("not synced")
		}
		total := 0
		for i := range 8 {
			time.Sleep(5 * time.Second) // a pod's rollout
			s.kill()
			time.Sleep(3 * time.Second) // a server's start
			s.start()
			time.Sleep(1250 * time.Millisecond)
			synctest.Wait()
			obj, _, _ := informer.GetStore().GetByKey("default/c")
			rev, tries := s.state()
			total += tries
			if got, want := obj.(*corev1.ConfigMap).ResourceVersion, fmt.Sprint(rev); got != want {
				t.Errorf("restart %d: the informer is at %s, the server at %s", i, got, want)
			}
		}
		if total > 8*10 {
			t.Errorf("%d tries in eight times three seconds", total)
		}
		// Nobody knocks every second at a server that is away for long.
		s.kill()
		time.Sleep(time.Minute)
		s.state()
		time.Sleep(time.Minute)
		if _, tries := s.state(); tries < 10 || tries > 20 {
			t.Errorf("%d tries in a minute of an outage", tries)
		}
		cancel()
		f.Shutdown()
	})
}

// TestOtherRequests are not held back: their callers have back-offs.
func TestOtherRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		path string
		err  error
	}{
		"list":                {"/api/v1/pods", syscall.ECONNREFUSED},
		"stranger's identity": {"/api/v1/pods?watch=true", errors.New("x509: certificate signed by unknown authority")},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			rt := backoff.Watches(roundTripper(func(*http.Request) (*http.Response, error) { tries++; return nil, tc.err }))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server"+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rt.RoundTrip(req); !errors.Is(err, tc.err) || tries != 1 {
				t.Errorf("%v after %d tries", err, tries)
			}
		})
	}
}

// TestWatchEndsWithContext, while it waits for a server.
func TestWatchEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/api/v1/pods?watch=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backoff.Watches(&apiServer{}).RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

package apiserver

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/resource"
)

func (s *Server) get(c *call) error {
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	var o metav1.GetOptions
	if err := decodeQuery(c.r.URL.Query(), &o); err != nil {
		return err
	}
	if c.sub != nil && c.sub.Style == resource.StyleProjection {
		obj, err := s.Registry.GetProjection(c.r.Context(), c.target, o)
		if err != nil {
			return err
		}
		return s.writeAnswer(c, http.StatusOK, a, obj)
	}
	obj, err := s.Registry.Get(c.r.Context(), c.target, o)
	if err != nil {
		return err
	}
	return s.writeObject(c, http.StatusOK, a, obj)
}

func (s *Server) listOrWatch(c *call, verb string) error {
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	o, err := s.listOptions(c)
	if err != nil {
		return err
	}
	if o.Watch || verb == "watch" {
		if !c.allows("watch") {
			return apierrors.NewMethodNotSupported(c.target.Resource.GroupResource(), "watch")
		}
		return s.watch(c, a, o)
	}
	t := c.target
	t.Name = ""
	l, err := s.Registry.List(c.r.Context(), t, o)
	if err != nil {
		return err
	}
	return s.writeList(c, a, l)
}

// watchTimeout is how long a watch lasts. Without a wish it is spread, so
// that the watches of a fleet do not all come back at once.
func (s *Server) watchTimeout(o metav1.ListOptions) time.Duration {
	if o.TimeoutSeconds != nil && *o.TimeoutSeconds > 0 {
		return time.Duration(*o.TimeoutSeconds) * time.Second
	}
	return time.Duration(float64(s.Limits.MinWatchTimeout) * (1 + rand.Float64()))
}

// streamContext ends with the request, after d (0 means never), and when the
// server stops.
func (s *Server) streamContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var timer *time.Timer
	if d > 0 {
		timer = time.AfterFunc(d, cancel)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-done:
		}
	}()
	return ctx, func() {
		if timer != nil {
			timer.Stop()
		}
		close(done)
		cancel()
	}
}

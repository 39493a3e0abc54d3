package service_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/node/service"
)

// strayed is a balancer of which only strays are asked.
type strayed struct {
	poke  chan struct{}
	looks []time.Time
	bad   time.Time // until then looks fail
}

func (s *strayed) Strays() <-chan struct{} { return s.poke }

func (s *strayed) MoveStrays() (lb.Moved, error) {
	s.looks = append(s.looks, time.Now())
	if time.Now().Before(s.bad) {
		return lb.Moved{}, errors.New("too many open files")
	}
	return lb.Moved{}, nil
}

// Each announcement is looked at at once and a moment later, however many come.
func TestFollowStrays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &strayed{poke: make(chan struct{}, 1)}
		done := make(chan error)
		go func() { done <- service.FollowStrays(ctx, s, nil, nil) }()
		start := time.Now()
		s.poke <- struct{}{}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(s.looks) != 2 || s.looks[0] != start || s.looks[1].Sub(start) < time.Second {
			t.Errorf("looks %v from %v, want one at once and one later", s.looks, start)
		}
		s.looks = nil
		for range 100 { // a service that changes all the time
			s.poke <- struct{}{}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i := range s.looks[1:] {
			if s.looks[i+1].Equal(s.looks[i]) {
				t.Fatal("looks without a pause")
			}
		}
		if len(s.looks) < 2 {
			t.Errorf("%d looks", len(s.looks))
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// What could not be moved is tried again without an announcement, ever more
// seldom, and told of once.
func TestFollowStraysAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &strayed{poke: make(chan struct{}, 1), bad: time.Now().Add(time.Hour)}
		var out bytes.Buffer
		done := make(chan error)
		go func() { done <- service.FollowStrays(ctx, s, slog.New(slog.NewTextHandler(&out, nil)), nil) }()
		s.poke <- struct{}{}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		failed := len(s.looks) - 1
		if failed < 30 || failed > 60 || s.looks[failed-1].After(s.bad) {
			t.Errorf("looks %v, want some forty in an hour of failures, and one afterwards", s.looks)
		}
		cancel()
		<-done
		if log := out.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "over:") {
			t.Errorf("want one warning, called off:\n%s", log)
		}
	})
}

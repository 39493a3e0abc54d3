package probe_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/probe"
)

// Without a readiness probe an instance is ready when it listens where
// Services send connections to, or after two seconds all the same.
func TestReadyWhenListening(t *testing.T) {
	ports := func(p ...uint16) func() []uint16 { return func() []uint16 { return p } }
	startup := &corev1.Container{Name: "app", StartupProbe: &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 5}}
	asks := &corev1.Container{Name: "app", ReadinessProbe: &corev1.Probe{PeriodSeconds: 1}}
	for what, c := range map[string]struct {
		target  probe.Target
		listens func(at time.Duration) (map[uint16]bool, error)
		ready   time.Duration // not before, and at most a look later
	}{
		"no Service":         {target: probe.Target{Ports: ports()}, ready: 0},
		"listens at once":    {target: probe.Target{Ports: ports(80)}, ready: 0},
		"listens later":      {target: probe.Target{Ports: ports(80, 443)}, ready: 400 * time.Millisecond, listens: from(400*time.Millisecond, 80, 443)},
		"on one of two":      {target: probe.Target{Ports: ports(80, 443)}, ready: 2 * time.Second, listens: from(0, 443)},
		"never listens":      {target: probe.Target{Ports: ports(80)}, ready: 2 * time.Second, listens: from(0)},
		"cannot be seen":     {target: probe.Target{Ports: ports(80)}, ready: 2 * time.Second, listens: func(time.Duration) (map[uint16]bool, error) { return nil, errors.New("no") }},
		"was ready":          {target: probe.Target{Ports: ports(80), Was: probe.Health{Started: true, Ready: true}}, ready: 0, listens: from(time.Hour, 80)},
		"has a probe":        {target: probe.Target{Ports: ports(80), Container: asks}, ready: 0, listens: from(time.Hour, 80)},
		"startup probe":      {target: probe.Target{Ports: ports(80), Container: startup}, ready: 1200 * time.Millisecond, listens: from(1200*time.Millisecond, 80)},
		"late startup probe": {target: probe.Target{Ports: ports(80), Container: startup, StartedAt: time.Unix(1, 0)}, ready: time.Second, listens: from(time.Hour, 80)},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := &script{began: time.Now(), ok: func(p *corev1.Probe, at time.Duration) bool { return p != startup.StartupProbe || at >= time.Second }}
				m := probe.New(probe.Config{Prober: s, Listening: func(types.UID) (map[uint16]bool, error) {
					if c.listens == nil {
						return map[uint16]bool{80: true}, nil
					}
					return c.listens(time.Since(s.began))
				}})
				target := c.target
				target.Pod, target.ID = &corev1.Pod{}, "id"
				if target.Container == nil {
					target.Container = &corev1.Container{Name: "app"}
				}
				if target.StartedAt.IsZero() {
					target.StartedAt = s.began
				}
				m.Sync(ctx, "", []probe.Target{target})
				synctest.Wait()
				for !m.Health("id").Ready && time.Since(s.began) < time.Minute {
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				if at := time.Since(s.began); at < c.ready || at > c.ready+60*time.Millisecond {
					t.Errorf("ready after %s, want %s", at, c.ready)
				}
				cancel()
				m.Wait()
			})
		})
	}
}

func from(since time.Duration, ports ...uint16) func(at time.Duration) (map[uint16]bool, error) {
	return func(at time.Duration) (map[uint16]bool, error) {
		out := map[uint16]bool{}
		for _, p := range ports {
			out[p] = at >= since
		}
		return out, nil
	}
}

func TestListeningSeesSockets(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
	open, err := probe.Listening(os.Getpid())
	if err != nil || !open[port] {
		t.Errorf("port %d is not among %v (%v)", port, open, err)
	}
	ln.Close()
	if open, err = probe.Listening(os.Getpid()); err != nil || open[port] {
		t.Errorf("port %d is still among %v (%v)", port, open, err)
	}
	if _, err = probe.Listening(1 << 30); err == nil {
		t.Error("no error for a process that there is not")
	}
}

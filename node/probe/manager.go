// Package probe asks running containers how they are: startup, readiness and
// liveness probes over HTTP, TCP, gRPC or a command, with the API's delays,
// periods and thresholds. It decides nothing: package plan reads the answers
// as Health.
//
// One goroutine runs per probe of each running instance. Before an instance
// has been ready for the first time, its readiness probe is repeated at short
// intervals rather than once per period, so that a pod is Ready when it is,
// and not up to a period later.
package probe

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/cri"
)

// Health is what the probes have found out about an instance.
type Health struct {
	// Started: the startup probe has succeeded, or there is none.
	Started bool
	// Ready: started, and the readiness probe succeeds; without one, the ports
	// are listened on or have been waited for.
	Ready bool
	// Fault, when set, is why the instance must be killed.
	Fault string
	// Grace is the grace period, in seconds, of the probe that found the
	// fault; nil is the pod's.
	Grace *int64
}

// Target is a running instance of a container.
type Target struct {
	Pod       *corev1.Pod
	Container *corev1.Container
	// ID is the runtime's name of the instance.
	ID        string
	StartedAt time.Time
	// IP is where its ports are.
	IP string
	// Ports are those that Services send connections to; asked for once, when
	// the instance is new and has no readiness probe. May be nil.
	Ports func() []uint16
	// Was is what an earlier agent said about the same instance; it holds
	// until a probe says otherwise.
	Was Health
}

// Config of a Manager.
type Config struct {
	// Prober makes one attempt; required.
	Prober Prober
	// Changed is called when the health of an instance of the pod changed.
	Changed func(types.UID)
	// Listening are the TCP ports that the pod's processes listen on. Nil does
	// not wait for ports.
	Listening func(pod types.UID) (map[uint16]bool, error)
	// Unhealthy is called for every failed attempt that counts, and for those
	// that could not be made.
	Unhealthy func(t Target, message string)
	// Clock is the real one when nil.
	Clock clock.WithTicker
	// Log receives debugging details; nil discards.
	Log *slog.Logger
}

// Prober makes one attempt of a probe. It returns whether it succeeded and
// what there is to say about it. An error means that the attempt could not be
// made; it counts as neither.
type Prober interface {
	Probe(ctx context.Context, p *corev1.Probe, t Target) (ok bool, output string, err error)
}

// Manager runs the probes of all instances on the node. It may be used
// concurrently.
type Manager struct {
	cfg Config

	mu        sync.Mutex
	instances map[string]*instance // by id; guarded by mu
	running   sync.WaitGroup
}

type instance struct {
	Target
	cancel  context.CancelFunc
	asked   bool // readiness is found out, not given by the start
	health  Health
	started chan struct{} // closed when health.Started becomes true
}

// New makes a manager.
func New(cfg Config) *Manager {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, instances: map[string]*instance{}}
}

// Sync makes the given instances of a pod, and no others of it, be probed.
// It may be called as often as one likes. Probing ends with ctx.
func (m *Manager) Sync(ctx context.Context, pod types.UID, running []Target) {
	ports := m.awaited(running)
	m.mu.Lock()
	defer m.mu.Unlock()
	keep := make(map[string]bool, len(running))
	for _, t := range running {
		keep[t.ID] = true
		if _, known := m.instances[t.ID]; !known {
			m.instances[t.ID] = m.begin(ctx, t, ports[t.ID])
		}
	}
	for id, i := range m.instances {
		if i.Pod.UID == pod && !keep[id] {
			i.cancel()
			delete(m.instances, id)
		}
	}
}

// Health of an instance; zero for one that is not being probed.
func (m *Manager) Health(id string) Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i, ok := m.instances[id]; ok {
		return i.health
	}
	return Health{}
}

// Wait returns when all probing has ended, after the contexts given to Sync.
func (m *Manager) Wait() { m.running.Wait() }

func (m *Manager) begin(ctx context.Context, t Target, ports []uint16) *instance {
	ctx, cancel := context.WithCancel(ctx)
	c := t.Container
	i := &instance{Target: t, cancel: cancel, started: make(chan struct{})}
	i.health.Started = c.StartupProbe == nil || t.Was.Started
	i.asked = c.ReadinessProbe != nil || len(ports) > 0
	i.health.Ready = i.health.Started && (!i.asked || t.Was.Ready)
	if i.health.Started {
		close(i.started)
	}
	if c.StartupProbe != nil && !i.health.Started {
		m.goRun(func() { m.startup(ctx, i) })
	}
	if c.ReadinessProbe != nil {
		m.goRun(func() { m.readiness(ctx, i) })
	}
	if len(ports) > 0 {
		m.goRun(func() { m.listening(ctx, i, ports) })
	}
	if c.LivenessProbe != nil {
		m.goRun(func() { m.liveness(ctx, i) })
	}
	return i
}

// awaited are the ports that new instances are to listen on before they are
// ready, by instance. To find them may take long, so that no lock is held.
func (m *Manager) awaited(running []Target) map[string][]uint16 {
	if m.cfg.Listening == nil {
		return nil
	}
	out := map[string][]uint16{}
	for _, t := range running {
		if t.Container.ReadinessProbe != nil || t.Was.Ready || t.Ports == nil || m.known(t.ID) ||
			t.Container.StartupProbe == nil && !m.cfg.Clock.Now().Before(t.StartedAt.Add(listenGrace)) {
			continue
		}
		out[t.ID] = t.Ports()
	}
	return out
}

func (m *Manager) known(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instances[id] != nil
}

func (m *Manager) goRun(f func()) {
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		f()
	}()
}

// change applies f to the instance's health and tells when it changed.
func (m *Manager) change(i *instance, f func(*Health)) {
	m.mu.Lock()
	before := i.health
	f(&i.health)
	if i.health.Started && !before.Started {
		i.health.Ready = !i.asked
		close(i.started)
	}
	after := i.health
	_, current := m.instances[i.ID]
	m.mu.Unlock()
	if after != before && current && m.cfg.Changed != nil {
		m.cfg.Changed(i.Pod.UID)
	}
}

func (m *Manager) startup(ctx context.Context, i *instance) {
	p := i.Container.StartupProbe
	m.repeat(ctx, i, p, "Startup", nil, func(ok bool) bool {
		m.change(i, func(h *Health) {
			if ok {
				h.Started = true
				return
			}
			h.Fault = fmt.Sprintf("Container %s failed startup probe, will be restarted", i.Container.Name)
			h.Grace = p.TerminationGracePeriodSeconds
		})
		return false
	})
}

func (m *Manager) readiness(ctx context.Context, i *instance) {
	if !wait(ctx, i.started) {
		return
	}
	eager := func() bool { return !m.Health(i.ID).Ready }
	m.repeat(ctx, i, i.Container.ReadinessProbe, "Readiness", eager, func(ok bool) bool {
		m.change(i, func(h *Health) { h.Ready = ok })
		return true
	})
}

func (m *Manager) liveness(ctx context.Context, i *instance) {
	if !wait(ctx, i.started) {
		return
	}
	p := i.Container.LivenessProbe
	m.repeat(ctx, i, p, "Liveness", nil, func(ok bool) bool {
		if ok {
			return true
		}
		m.change(i, func(h *Health) {
			h.Fault = fmt.Sprintf("Container %s failed liveness probe, will be restarted", i.Container.Name)
			h.Grace = p.TerminationGracePeriodSeconds
		})
		return false
	})
}

func wait(ctx context.Context, ch <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-ch:
		return true
	}
}

// firstPause is the first interval of a readiness probe that has not
// succeeded yet; it doubles up to the period.
const firstPause = 50 * time.Millisecond

// repeat makes attempts until ctx ends or crossed, which is called with the
// result whenever a threshold is reached, returns false. eager, if not nil,
// allows short intervals before the first success.
func (m *Manager) repeat(ctx context.Context, i *instance, p *corev1.Probe, kind string, eager func() bool, crossed func(ok bool) bool) {
	period := max(time.Duration(p.PeriodSeconds)*time.Second, time.Second)
	delay := i.StartedAt.Add(time.Duration(p.InitialDelaySeconds) * time.Second).Sub(m.cfg.Clock.Now())
	if !m.sleep(ctx, delay) {
		return
	}
	var (
		successes, failures int32
		ever                bool
		pause               = firstPause
		reported            = m.cfg.Clock.Now()
		errored             time.Time // when that was told last
	)
	for {
		ok, output, err := m.cfg.Prober.Probe(ctx, p, i.Target)
		if ctx.Err() != nil {
			return
		}
		now := m.cfg.Clock.Now()
		quick := eager != nil && !ever && eager()
		switch {
		case err != nil:
			// The attempt counts as neither, but whoever mistyped the command
			// must find out.
			if now.Sub(errored) >= period {
				errored = now
				m.unhealthy(i, fmt.Sprintf("%s probe errored and resulted in unknown state: %s", kind, cri.Message(err)))
			}
		case ok:
			ever, failures = true, 0
			if successes++; successes == max(p.SuccessThreshold, 1) && !crossed(true) {
				return
			}
		case quick && now.Sub(reported) < period:
			// An early attempt out of turn: it may succeed, but not fail.
		default:
			successes, reported = 0, now
			m.unhealthy(i, fmt.Sprintf("%s probe failed: %s", kind, output))
			if failures++; failures == max(p.FailureThreshold, 1) && !crossed(false) {
				return
			}
		}
		next := period
		if quick && !ok && pause < period {
			next, pause = pause, 2*pause
		}
		if !m.sleep(ctx, next) {
			return
		}
	}
}

func (m *Manager) unhealthy(i *instance, message string) {
	if m.cfg.Unhealthy != nil {
		m.cfg.Unhealthy(i.Target, message)
	}
}

func (m *Manager) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := m.cfg.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C():
		return true
	}
}

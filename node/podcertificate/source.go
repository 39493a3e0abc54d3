package podcertificate

import (
	"context"
	"fmt"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/podspec"
)

// source is one podCertificate source of a pod. Only its goroutine changes its
// state.
type source struct {
	m      *Manager
	pod    *corev1.Pod
	volume string
	spec   *corev1.PodCertificateProjection
	since  time.Time
	wake   chan struct{}
	retry  *backoff.Retry
	again  time.Time // when asking may be tried again

	mu       sync.Mutex
	state    state         // guarded by mu
	trouble  error         // why there is no request; guarded by mu
	answered chan struct{} // closed once state is held or refused
}

func newSource(m *Manager, pod *corev1.Pod, volume string, spec *corev1.PodCertificateProjection) *source {
	return &source{m: m, pod: pod, volume: volume, spec: spec, since: m.cfg.Clock.Now(), wake: make(chan struct{}, 1),
		retry: backoff.New(firstRetry, maxRetry), answered: make(chan struct{})}
}

// nudge has the source look at its request.
func (s *source) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Pauses between tries to ask, when that fails.
const (
	firstRetry = 500 * time.Millisecond
	maxRetry   = time.Minute
)

// idle is how often a source looks to which nothing happens: clocks are set.
const idle = 10 * time.Minute

// run sees to the source until ctx ends.
func (s *source) run(ctx context.Context) {
	for {
		timer := s.m.cfg.Clock.NewTimer(s.step(ctx))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// step looks once, asks if it is time, and returns how long there is nothing to
// do.
func (s *source) step(ctx context.Context) time.Duration {
	s.look()
	now := s.m.cfg.Clock.Now()
	switch {
	case !s.due(now):
	case now.Before(s.again):
		return s.again.Sub(now)
	default:
		if err := s.ask(ctx); err != nil {
			return s.failed(err)
		}
		// One that is deleted at once is not made again at once.
		s.again = s.m.cfg.Clock.Now().Add(backoff.Jitter(firstRetry))
		s.retry.Succeeded(s.m.cfg.Log)
		s.look() // it may be there already
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now = s.m.cfg.Clock.Now()
	if s.state.due(now) {
		return firstRetry
	}
	if next := s.state.next(now); !next.IsZero() {
		return min(next.Sub(now), idle)
	}
	return idle
}

func (s *source) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.due(now)
}

// failed notes why there is no request, which the pod's events tell, and returns
// how long to wait.
func (s *source) failed(err error) time.Duration {
	s.mu.Lock()
	s.trouble = err
	s.mu.Unlock()
	wait := s.retry.Again()
	s.again = s.m.cfg.Clock.Now().Add(wait)
	s.m.cfg.Log.Debug("no certificate asked for a pod", "namespace", s.pod.Namespace, "name", s.pod.Name, "volume", s.volume, "error", err)
	return wait
}

// look takes in what has become of the open request.
func (s *source) look() {
	s.mu.Lock()
	var r *certificatesv1.PodCertificateRequest
	if p := s.state.pending; p != nil {
		r = s.m.requests.get(p.namespace, p.name)
	}
	changed, events := s.state.look(s.m.cfg.Clock.Now(), r, s.m.cfg.Jitter)
	if s.state.held != nil || s.state.refused != nil {
		select {
		case <-s.answered:
		default:
			close(s.answered)
		}
	}
	s.mu.Unlock()
	for _, e := range events {
		s.m.cfg.Recorder.Event(involved(s.pod), corev1.EventTypeWarning, e.reason, e.message)
	}
	if changed {
		s.m.cfg.Changed(s.pod.UID)
	}
}

// ask makes a key and a request for it.
func (s *source) ask(ctx context.Context) error {
	open, spec, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	r := &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.pod.Namespace, GenerateName: "req-",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: s.pod.Name, UID: s.pod.UID}}},
		Spec: *spec,
	}
	r, err = s.m.cfg.Client.CertificatesV1().PodCertificateRequests(s.pod.Namespace).Create(ctx, r, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create PodCertificateRequest: %w", err)
	}
	open.namespace, open.name, open.uid = r.Namespace, r.Name, r.UID
	open.abandonAt = s.m.cfg.Clock.Now().Add(assumeDeleted + s.m.cfg.Jitter())
	s.mu.Lock()
	s.state.pending, s.trouble = open, nil
	s.mu.Unlock()
	return nil
}

// prepare finds out who is asking, and makes the key. Kinds of keys that take
// long are made by a few at a time.
func (s *source) prepare(ctx context.Context) (*request, *certificatesv1.PodCertificateRequestSpec, error) {
	node, err := s.m.cfg.NodeUID()
	if err != nil {
		return nil, nil, fmt.Errorf("UID of node %s: %w", s.m.cfg.NodeName, err)
	}
	name := s.pod.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	account, err := s.m.cfg.Client.CoreV1().ServiceAccounts(s.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("service account: %w", err)
	}
	select {
	case s.m.making <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	defer func() { <-s.m.making }()
	key, err := newKey(s.spec.KeyType)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	stub, err := proof(key)
	if err != nil {
		return nil, nil, fmt.Errorf("proof of possession: %w", err)
	}
	text, err := encode(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key: %w", err)
	}
	return &request{key: text, public: key.Public()}, &certificatesv1.PodCertificateRequestSpec{
		SignerName: s.spec.SignerName, PodName: s.pod.Name, PodUID: s.pod.UID,
		ServiceAccountName: name, ServiceAccountUID: account.UID, NodeName: types.NodeName(s.m.cfg.NodeName), NodeUID: node,
		MaxExpirationSeconds: s.spec.MaxExpirationSeconds, StubPKCS10Request: stub, UnverifiedUserAnnotations: s.spec.UserAnnotations,
	}, nil
}

// credential is what Manager.Credential answers.
func (s *source) credential(ctx context.Context) (key, chain []byte, err error) {
	if wait := patience - s.m.cfg.Clock.Since(s.since); wait > 0 {
		timer := s.m.cfg.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.answered:
		case <-timer.C():
		}
		timer.Stop()
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch st := &s.state; {
	case st.refused != nil:
		return nil, nil, st.refused
	case st.held != nil:
		return st.held.key, st.held.chain, nil
	case st.pending != nil:
		return nil, nil, podspec.Missing("credential bundle is not issued yet: PodCertificateRequest %s/%s waits for the signer %s", st.pending.namespace, st.pending.name, s.spec.SignerName)
	case s.trouble != nil:
		return nil, nil, podspec.Missing("credential bundle is not issued yet: %v", s.trouble)
	}
	return nil, nil, podspec.Missing("credential bundle is not issued yet")
}

// involved is what an event is about.
func involved(pod *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
}

// Package podcertificate gets certificates for the pods of a node: for each
// podCertificate source of their projected volumes (KEP-4317) it makes a key,
// asks a signer by a PodCertificateRequest, takes in the answer, and asks again
// with a new key when the signer says that it is time.
//
// Keys and certificates are in memory only, as upstream's: an agent that begins
// knows of none and asks for all anew, while the files of running pods stay as
// they are. What a signer denies or fails stays so for that pod.
//
// Each source has a goroutine (source.go), whose state decides and does nothing
// (state.go). Requests are followed only while a pod needs it (requests.go).
// Begin with New; everything may be called concurrently.
package podcertificate

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/podspec"
)

// Config of a Manager.
type Config struct {
	// Client speaks to the API as the node; required.
	Client kubernetes.Interface
	// NodeName is the node's, NodeUID its UID in the API; required.
	NodeName string
	NodeUID  func() (types.UID, error)
	// Changed is told of each pod for which Credential answers otherwise than
	// before; required. It must not call the Manager.
	Changed func(types.UID)
	// Recorder tells pods what became of their requests; required.
	Recorder record.EventRecorder
	// Jitter is added to when a certificate is renewed, so that those that were
	// issued together are not renewed together. Nil: up to five minutes,
	// upstream's.
	Jitter func() time.Duration
	// Clock is the real one when nil.
	Clock clock.Clock
	// Log may be nil.
	Log *slog.Logger
}

// maxJitter is less than what lies between a certificate's beginRefreshAt and
// its end, which the API has be ten minutes at least.
const maxJitter = 5 * time.Minute

// makers is how many keys are made at once: an RSA key takes a core for seconds.
const makers = 2

// Manager keeps the certificates of the pods of a node.
type Manager struct {
	cfg      Config
	requests *requests
	making   chan struct{} // has room for those who make a key

	mu    sync.Mutex
	ctx   context.Context       // of Run; guarded by mu
	pods  map[types.UID]*podRun // guarded by mu
	group sync.WaitGroup
}

// podRun is what is done for one pod.
type podRun struct {
	cancel  context.CancelFunc // nil before Run
	sources map[place]*source
}

// place is where a pod asks for a certificate.
type place struct {
	volume string
	index  int // among the volume's sources
}

// New makes a Manager, which does nothing until Run.
func New(cfg Config) *Manager {
	if cfg.Jitter == nil {
		cfg.Jitter = func() time.Duration { return rand.N(maxJitter) }
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, making: make(chan struct{}, makers), pods: map[types.UID]*podRun{}}
	m.requests = &requests{client: cfg.Client, node: cfg.NodeName, told: m.wake}
	return m
}

// Run asks for certificates until ctx ends, and returns after its goroutines
// did.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	for _, p := range m.pods {
		m.launch(p)
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.mu.Unlock() //nolint:staticcheck // an empty section: nothing is launched after it
	m.group.Wait()
	m.requests.stop()
	m.requests.group.Wait()
	return nil
}

// Hold sees to the certificates that a pod asks for, from now on until Release.
// A pod that has ended needs none any more.
func (m *Manager) Hold(pod *corev1.Pod) {
	if podspec.Final(pod) {
		m.Release(pod.UID)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pods[pod.UID] != nil {
		return // volumes do not change
	}
	p := &podRun{sources: map[place]*source{}}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for i, s := range v.Projected.Sources {
			if s.PodCertificate != nil {
				p.sources[place{v.Name, i}] = newSource(m, pod, v.Name, s.PodCertificate)
			}
		}
	}
	if len(p.sources) == 0 {
		return
	}
	m.pods[pod.UID] = p
	m.launch(p)
}

// launch starts what is done for a pod, if there is anything to run it in;
// called with mu held.
func (m *Manager) launch(p *podRun) {
	if m.ctx == nil || m.ctx.Err() != nil {
		return
	}
	m.requests.start(m.ctx)
	ctx, cancel := context.WithCancel(m.ctx)
	p.cancel = cancel
	for _, s := range p.sources {
		m.group.Go(func() { s.run(ctx) })
	}
}

// Release forgets a pod with its keys and certificates.
func (m *Manager) Release(pod types.UID) {
	m.mu.Lock()
	p := m.pods[pod]
	delete(m.pods, pod)
	last := p != nil && len(m.pods) == 0
	if p != nil && p.cancel != nil {
		p.cancel()
	}
	if last {
		m.requests.stop()
	}
	m.mu.Unlock()
}

// wake has the sources of a pod look at their requests.
func (m *Manager) wake(pod types.UID) {
	m.mu.Lock()
	p := m.pods[pod]
	m.mu.Unlock()
	if p == nil {
		return
	}
	for _, s := range p.sources {
		s.nudge()
	}
}

// patience is how long a pod's first certificate is waited for before it is said
// to be missing: most signers are quick.
const patience = 3 * time.Second

// Credential returns the key and the certificate chain for a source of a pod's
// volume, both in PEM, waiting a moment for the first. They are not to be
// changed.
//
// # Errors
//
// *podspec.MissingError before the first certificate is issued; another error
// when a signer has denied or failed a request, which stays so.
func (m *Manager) Credential(ctx context.Context, pod *corev1.Pod, volume string, index int) (key, chain []byte, err error) {
	m.mu.Lock()
	var s *source
	if p := m.pods[pod.UID]; p != nil {
		s = p.sources[place{volume, index}]
	}
	m.mu.Unlock()
	if s == nil {
		return nil, nil, fmt.Errorf("no credentials for source %d: nobody asks for them", index)
	}
	return s.credential(ctx)
}

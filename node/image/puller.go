// Package image sees to it that the images of pods are on the node: it applies
// the pull policy, finds credentials, pulls each image once however many
// containers wait for it, and backs off from those that cannot be had. It also
// removes images that nobody uses when the disk fills up.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/cri"
)

// Reasons of waiting containers, upstream's.
const (
	ErrImagePull      = "ErrImagePull"
	ImagePullBackOff  = "ImagePullBackOff"
	ErrImageNeverPull = "ErrImageNeverPull"
	InvalidImageName  = "InvalidImageName"
)

// Back-off from an image that could not be pulled.
const (
	firstBackOff = 10 * time.Second
	maxBackOff   = 5 * time.Minute
	forgetAfter  = 2 * maxBackOff
)

// Error is why a container's image is not there.
type Error struct {
	// Reason is the container's waiting reason.
	Reason string
	Err    error
	// Retry is when to try again.
	Retry time.Time
}

// Error is the cause's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Runtime is the image service; *cri.Images is one.
type Runtime interface {
	Get(ctx context.Context, ref string) (*cri.Image, error)
	List(ctx context.Context) ([]*cri.Image, error)
	Pull(ctx context.Context, ref string, auth *cri.Auth, pod *runtimeapi.PodSandboxConfig) (string, error)
	Remove(ctx context.Context, ref string) error
	FS(ctx context.Context) (cri.ImageFS, error)
}

// Config of a Puller.
type Config struct {
	Runtime Runtime
	// Secret finds a pull secret; nil and no error when it does not exist.
	Secret func(namespace, name string) (*corev1.Secret, error)
	// Parallel bounds pulls at the same time; 0 is 4.
	Parallel int
	// Clock is the real one when nil.
	Clock clock.PassiveClock
	// Log may be nil.
	Log *slog.Logger
}

// Puller may be used concurrently.
type Puller struct {
	cfg  Config
	slot chan struct{}

	mu      sync.Mutex
	present map[string]*cri.Image // guarded by mu
	pulls   map[string]*pull      // under way; guarded by mu
	backs   map[string]backOff    // guarded by mu
	used    map[string]time.Time  // last use by image id; guarded by mu
}

type pull struct {
	done chan struct{}
	img  *cri.Image
	err  error
}

type backOff struct {
	wait  time.Duration
	until time.Time
	err   error
}

// New makes a puller.
func New(cfg Config) *Puller {
	if cfg.Parallel == 0 {
		cfg.Parallel = 4
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Puller{cfg: cfg, slot: make(chan struct{}, cfg.Parallel), present: map[string]*cri.Image{},
		pulls: map[string]*pull{}, backs: map[string]backOff{}, used: map[string]time.Time{}}
}

// Reporter is told what happens, for events. Each may be nil.
type Reporter struct {
	Pulling func()
	// Pulled is called with took 0 when the image was there already.
	Pulled func(took time.Duration, size uint64)
}

// Policy is the container's pull policy; the default depends on the tag.
func Policy(c *corev1.Container) corev1.PullPolicy {
	if c.ImagePullPolicy != "" {
		return c.ImagePullPolicy
	}
	if ref, err := name.ParseReference(c.Image); err == nil && ref.Identifier() == "latest" {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// Ensure returns the image of a container, pulling it if the policy says so.
//
// # Errors
//
// *Error with the reason that the container waits for.
func (p *Puller) Ensure(ctx context.Context, pod *corev1.Pod, c *corev1.Container, report Reporter) (*cri.Image, error) {
	if strings.TrimSpace(c.Image) == "" {
		return nil, &Error{InvalidImageName, errors.New("the container has no image"), p.later(maxBackOff)}
	}
	if _, err := name.ParseReference(c.Image); err != nil {
		return nil, &Error{InvalidImageName, fmt.Errorf("Failed to apply default image tag %q: %w", c.Image, err), p.later(maxBackOff)}
	}
	policy := Policy(c)
	if policy != corev1.PullAlways {
		img, err := p.lookup(ctx, c.Image)
		if err != nil {
			return nil, &Error{"ImageInspectError", err, p.later(firstBackOff)}
		}
		if img != nil {
			if report.Pulled != nil {
				report.Pulled(0, img.Size)
			}
			return img, nil
		}
		if policy == corev1.PullNever {
			return nil, &Error{ErrImageNeverPull, fmt.Errorf("Container image %q is not present with pull policy of Never", c.Image), p.later(maxBackOff)}
		}
	}
	return p.pull(ctx, pod, c.Image, report)
}

func (p *Puller) later(d time.Duration) time.Time { return p.cfg.Clock.Now().Add(d) }

// lookup asks the runtime once per image; Forget makes it ask again.
func (p *Puller) lookup(ctx context.Context, ref string) (*cri.Image, error) {
	p.mu.Lock()
	img := p.present[ref]
	p.mu.Unlock()
	if img != nil {
		return img, nil
	}
	img, err := p.cfg.Runtime.Get(ctx, ref)
	if err != nil || img == nil {
		return nil, err
	}
	p.mu.Lock()
	p.present[ref] = img
	p.mu.Unlock()
	return img, nil
}

// Forget drops what is known about an image: the runtime did not find it.
func (p *Puller) Forget(ref string) {
	p.mu.Lock()
	delete(p.present, ref)
	p.mu.Unlock()
}

func (p *Puller) pull(ctx context.Context, pod *corev1.Pod, ref string, report Reporter) (*cri.Image, error) {
	key := string(pod.UID) + " " + ref
	if err := p.backingOff(key, ref); err != nil {
		return nil, err
	}
	auths, err := p.credentials(pod, ref)
	if err != nil {
		p.cfg.Log.Debug("pull secrets", "namespace", pod.Namespace, "name", pod.Name, "error", err)
	}
	if report.Pulling != nil {
		report.Pulling()
	}
	began := p.cfg.Clock.Now()
	img, err := p.once(ctx, ref, auths)
	if err != nil {
		if ctx.Err() != nil {
			return nil, &Error{ErrImagePull, ctx.Err(), p.cfg.Clock.Now()}
		}
		return nil, p.failed(key, ref, err)
	}
	p.mu.Lock()
	delete(p.backs, key)
	p.mu.Unlock()
	if report.Pulled != nil {
		report.Pulled(max(p.cfg.Clock.Since(began), time.Millisecond), img.Size)
	}
	return img, nil
}

func (p *Puller) backingOff(key, ref string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.backs[key]
	if !ok || !p.cfg.Clock.Now().Before(b.until) {
		return nil
	}
	return &Error{ImagePullBackOff, fmt.Errorf("Back-off pulling image %q: %w", ref, b.err), b.until}
}

func (p *Puller) failed(key, ref string, err error) *Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock.Now()
	b := p.backs[key]
	if b.wait == 0 || now.Sub(b.until) > forgetAfter {
		b.wait = firstBackOff
	} else {
		b.wait = min(2*b.wait, maxBackOff)
	}
	b.until, b.err = now.Add(backoff.Jitter(b.wait)), fmt.Errorf("%s: %s", ErrImagePull, cri.Message(err))
	p.backs[key] = b
	for k, old := range p.backs { // those of pods long gone
		if now.Sub(old.until) > forgetAfter {
			delete(p.backs, k)
		}
	}
	return &Error{ErrImagePull, fmt.Errorf("Failed to pull image %q: %s", ref, cri.Message(err)), b.until}
}

// once joins a pull of the same image that is under way, or makes one. The
// pull outlives a caller that gives up while others wait.
func (p *Puller) once(ctx context.Context, ref string, auths []*cri.Auth) (*cri.Image, error) {
	key := ref
	for _, a := range auths {
		if a != nil {
			key += "\x00" + a.ServerAddress + "\x00" + a.Username + "\x00" + a.Password + a.Auth
		}
	}
	p.mu.Lock()
	job, ok := p.pulls[key]
	if !ok {
		job = &pull{done: make(chan struct{})}
		p.pulls[key] = job
		go func() {
			job.img, job.err = p.run(context.WithoutCancel(ctx), ref, auths)
			p.mu.Lock()
			delete(p.pulls, key)
			p.mu.Unlock()
			close(job.done)
		}()
	}
	p.mu.Unlock()
	select {
	case <-job.done:
		return job.img, job.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pullTimeout bounds a pull that nobody waits for any more.
const pullTimeout = 30 * time.Minute

func (p *Puller) run(ctx context.Context, ref string, auths []*cri.Auth) (*cri.Image, error) {
	p.slot <- struct{}{}
	defer func() { <-p.slot }()
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	var errs []error
	for _, auth := range auths {
		if _, err := p.cfg.Runtime.Pull(ctx, ref, auth, nil); err != nil {
			errs = append(errs, err)
			continue
		}
		img, err := p.cfg.Runtime.Get(ctx, ref)
		if err != nil {
			return nil, err
		}
		if img == nil {
			return nil, fmt.Errorf("image %s is not there after it was pulled", ref)
		}
		p.mu.Lock()
		p.present[ref] = img
		p.used[img.ID] = p.cfg.Clock.Now()
		p.mu.Unlock()
		return img, nil
	}
	return nil, errors.Join(errs...)
}

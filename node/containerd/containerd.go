// Package containerd runs a containerd of the node's own: with its own
// configuration, socket, images and state below one directory, in a session
// and a cgroup of its own. It outlives the agent: after the agent was killed,
// the next Start finds the running containerd by its pid file and socket, and
// leaves it and its containers alone.
//
// The package knows nothing of pods; it never touches a process, mount or
// cgroup that is not below its own directory and cgroup. Start reading at
// Start and Server.Run.
// RATIONALE.md: "Why a private containerd?"
package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/mount"
)

// Server is a running private containerd.
type Server struct {
	cfg     Config
	cgroups *cgroup.System
	adopted bool

	mu   sync.Mutex
	proc process // guarded by mu
}

// ErrNotRoot is returned when the caller may not run containers.
var ErrNotRoot = errors.New("running containers needs root: run as root (sudo)")

// Start returns when containerd's CRI answers: the one that runs already, if
// its configuration is the wanted one, else a new one.
//
// # Errors
//
// Wraps ErrNotRoot, ErrNoBinary, cgroup.ErrNoV2, or says what else is missing:
// a directory that is too long, a disk that is full, the end of the log of a
// containerd that does not come up.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	if cfg, err = cfg.locate(); err != nil {
		return nil, err
	}
	cgroups, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	if err := cgroups.RequireV2(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("containerd directory: %w", err)
	}
	if err := checkDisk(cfg.Dir); err != nil {
		return nil, err
	}
	major, err := Major(ctx, cfg.Binary)
	if err != nil {
		return nil, err
	}
	changed, err := cfg.write(major)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, cgroups: cgroups}
	if err := s.adopt(ctx, changed); err != nil {
		return nil, err
	}
	if s.adopted {
		return s, nil
	}
	return s, s.launch(ctx)
}

func checkDisk(dir string) error {
	free, _, inodes, total, err := mount.Free(dir)
	if err != nil {
		return err
	}
	if free < MinFree {
		return fmt.Errorf("disk of %s is full: %d MiB free, %d MiB needed", dir, free>>20, MinFree>>20)
	}
	if total > 0 && inodes < 1024 {
		return fmt.Errorf("disk of %s is full: %d inodes free", dir, inodes)
	}
	return nil
}

// adopt takes over the containerd of an earlier agent. One that has another
// configuration or does not answer is ended; its containers run on under
// their shims.
func (s *Server) adopt(ctx context.Context, changed bool) error {
	p, ok := readPID(s.cfg.pidFile())
	if !ok {
		return nil
	}
	if !changed {
		probe, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if ready(probe, s.cfg.Socket(), nil) == nil {
			s.proc, s.adopted = p, true
			s.cfg.Log.Info("containerd adopted", "pid", p.pid)
			return nil
		}
	}
	s.cfg.Log.Info("containerd replaced", "pid", p.pid, "configuration changed", changed)
	return p.end(ctx)
}

// launch starts containerd and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	_ = os.Remove(s.cfg.Socket())
	p, err := s.cfg.spawn()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	if s.cfg.Cgroup != "" {
		if err := s.cgroups.Create(s.cfg.Cgroup); err != nil {
			return errors.Join(err, p.end(ctx))
		}
		if err := s.cgroups.Join(s.cfg.Cgroup, p.pid); err != nil {
			return errors.Join(err, p.end(ctx))
		}
	}
	wait, cancel := context.WithTimeout(ctx, s.cfg.StartTimeout)
	defer cancel()
	done, err := p.done(wait)
	if err != nil {
		return err
	}
	if err := ready(wait, s.cfg.Socket(), done); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // it comes up; the next agent adopts it
		}
		return errors.Join(fmt.Errorf("containerd does not come up: %w; %s", err, s.cfg.lastWords()), p.end(ctx))
	}
	s.cfg.Log.Info("containerd started", "pid", p.pid, "socket", s.cfg.Socket())
	return nil
}

// ready polls the CRI until it answers, ctx ends, or gone is closed.
func ready(ctx context.Context, socket string, gone <-chan struct{}) error {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := runtimeapi.NewRuntimeServiceClient(conn)
	for {
		if _, err = os.Stat(socket); err == nil {
			call, cancel := context.WithTimeout(ctx, 2*time.Second)
			_, err = client.Version(call, &runtimeapi.VersionRequest{}, grpc.WaitForReady(true))
			cancel()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-gone:
			return errors.New("the process ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end asks the process to end and kills it when it does not within 5 s.
func (p process) end(ctx context.Context) error {
	if !p.alive() {
		return nil
	}
	wait, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done, err := p.done(wait)
	if err != nil {
		return err
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end containerd (process %d): %w", p.pid, err)
		}
		select {
		case <-done:
			return nil
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("containerd (process %d) does not end", p.pid)
}

// Endpoint is the CRI endpoint as a gRPC target.
func (s *Server) Endpoint() string { return s.cfg.Endpoint() }

// PID is the process id of containerd.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.pid
}

// Run starts containerd again when it ends, with a growing pause of 100 ms to
// 10 s, until ctx ends. It leaves containerd running.
func (s *Server) Run(ctx context.Context) error {
	retry := backoff.New(100*time.Millisecond, 10*time.Second)
	for {
		s.mu.Lock()
		p := s.proc
		s.mu.Unlock()
		done, err := p.done(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		if <-done; ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			retry.Succeeded(s.cfg.Log)
		}
		pause := retry.Failed(s.cfg.Log, "containerd ended; it is started again", errors.New(s.cfg.lastWords()), "pid", p.pid)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			err := s.launch(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			pause = retry.Failed(s.cfg.Log, "containerd not started", err)
		}
	}
}

// Stop ends containerd. Containers run on under their shims.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.end(ctx)
}

// Cleanup ends the containerd of cfg and everything that belongs to it: every
// process in the given cgroups (shims, containers), every mount below its
// directory, and the cgroups themselves in every hierarchy. Images and
// metadata stay on disk. Calling it when nothing runs is no error.
func Cleanup(ctx context.Context, cfg Config, groups ...string) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	cgroups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	// containerd first, so that it does not act upon the exits that follow.
	if p, ok := readPID(cfg.pidFile()); ok {
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, g := range groups {
		errs = append(errs, cgroups.Kill(ctx, g))
	}
	removeShimSockets(cfg.path("state"))
	errs = append(errs, mount.DetachBelow(cfg.Dir))
	for _, g := range groups {
		errs = append(errs, cgroups.Remove(g))
	}
	for _, f := range []string{cfg.pidFile(), cfg.Socket(), cfg.Socket() + ".ttrpc"} {
		_ = os.Remove(f)
	}
	// State describes what ran; nothing does. What is in it are plain files.
	errs = append(errs, os.RemoveAll(cfg.path("state")), os.RemoveAll(cfg.path("runc")))
	return errors.Join(errs...)
}

// removeShimSockets removes the sockets of shims that were killed; they lie
// outside of the state directory, in /run/containerd/s.
func removeShimSockets(state string) {
	files, err := filepath.Glob(filepath.Join(state, "io.containerd.runtime.v2.task", "*", "*", "address"))
	if err != nil {
		return
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		const scheme = "unix://"
		if path := string(b); len(path) > len(scheme) && path[:len(scheme)] == scheme {
			_ = os.Remove(path[len(scheme):])
		}
	}
}

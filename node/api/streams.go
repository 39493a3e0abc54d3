package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/stream"
)

// running finds the running instance that a request names, or answers why
// there is none.
func (s *Server) running(w http.ResponseWriter, r *http.Request) (*corev1.Pod, *state.Container) {
	pod := s.find(w, r)
	if pod == nil {
		return nil, nil
	}
	name := r.PathValue("container")
	if podspec.Find(pod, name) == nil {
		http.Error(w, fmt.Sprintf("container %q is not in pod %q", name, pod.Name), http.StatusNotFound)
		return nil, nil
	}
	seen, err := s.cfg.Runtime.Pod(r.Context(), pod.UID, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, nil
	}
	c := seen.Latest(name)
	if c == nil || c.Phase != state.Running {
		http.Error(w, fmt.Sprintf("container not found (%q)", name), http.StatusNotFound)
		return nil, nil
	}
	return pod, c
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	s.interactive(w, r, func(ctx context.Context, id string, _ *corev1.Container, o stream.Options) (string, stream.Options, error) {
		command := r.URL.Query()["command"]
		if len(command) == 0 {
			return "", o, fmt.Errorf("you must specify a command")
		}
		u, err := s.cfg.Runtime.ExecURL(ctx, id, command, streams(o))
		return u, o, err
	})
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	s.interactive(w, r, func(ctx context.Context, id string, c *corev1.Container, o stream.Options) (string, stream.Options, error) {
		// The container decides whether it has a terminal.
		if o.TTY = c.TTY; o.TTY {
			o.Stderr = false
		}
		u, err := s.cfg.Runtime.AttachURL(ctx, id, streams(o))
		return u, o, err
	})
}

func streams(o stream.Options) cri.Streams {
	return cri.Streams{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, TTY: o.TTY}
}

// interactive connects a client with the streaming URL that prepare gets.
func (s *Server) interactive(w http.ResponseWriter, r *http.Request, prepare func(context.Context, string, *corev1.Container, stream.Options) (string, stream.Options, error)) {
	o, err := stream.ParseOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod, c := s.running(w, r)
	if c == nil {
		return
	}
	text, o, err := prepare(r.Context(), c.ID, podspec.Find(pod, c.Name), o)
	if err != nil {
		http.Error(w, cri.Message(err), http.StatusBadRequest)
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		http.Error(w, "streaming URL: "+err.Error(), http.StatusInternalServerError)
		return
	}
	stream.Serve(w, r, u, o)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	pod := s.find(w, r)
	if pod == nil {
		return
	}
	var ports []int32
	for _, p := range append(r.URL.Query()["port"], r.URL.Query()["ports"]...) {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			http.Error(w, fmt.Sprintf("invalid port %q", p), http.StatusBadRequest)
			return
		}
		ports = append(ports, int32(n))
	}
	seen, err := s.cfg.Runtime.Pod(r.Context(), pod.UID, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sandbox := seen.ReadySandbox()
	if sandbox == nil {
		http.Error(w, fmt.Sprintf("pod %q is not running", pod.Name), http.StatusNotFound)
		return
	}
	text, err := s.cfg.Runtime.PortForwardURL(r.Context(), sandbox.ID, ports)
	if err != nil {
		http.Error(w, cri.Message(err), http.StatusInternalServerError)
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		http.Error(w, "streaming URL: "+err.Error(), http.StatusInternalServerError)
		return
	}
	stream.Forward(w, r, u)
}

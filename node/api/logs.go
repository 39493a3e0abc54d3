package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/logs"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// logRequest is what a client asks for.
type logRequest struct {
	logs.Options
	previous bool
}

func parseLogRequest(q url.Values, now time.Time) (logRequest, error) {
	var o logRequest
	flag := func(name string) bool { v := q.Get(name); return v == "true" || v == "1" }
	o.Follow, o.Timestamps, o.previous = flag("follow"), flag("timestamps"), flag("previous")
	number := func(name string) (*int64, error) {
		v := q.Get(name)
		if v == "" || v == "all" {
			return nil, nil
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s: want a number of at least 0, have %q", name, v)
		}
		return &n, nil
	}
	var err, err2, err3 error
	o.Tail, err = number("tailLines")
	o.Limit, err2 = number("limitBytes")
	since, err3 := number("sinceSeconds")
	if err := errors.Join(err, err2, err3); err != nil {
		return o, err
	}
	if since != nil {
		o.Since = now.Add(-time.Duration(*since) * time.Second)
	}
	if t := q.Get("sinceTime"); t != "" {
		if o.Since, err = time.Parse(time.RFC3339, t); err != nil {
			return o, fmt.Errorf("sinceTime: %w", err)
		}
	}
	switch s := q.Get("stream"); s {
	case "", "All":
	case "Stdout":
		o.Stream = "stdout"
	case "Stderr":
		o.Stream = "stderr"
	default:
		return o, fmt.Errorf("stream: want All, Stdout or Stderr, have %q", s)
	}
	return o, nil
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	o, err := parseLogRequest(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod := s.find(w, r)
	if pod == nil {
		return
	}
	c, err := s.instance(r.Context(), pod, r.PathValue("container"), o.previous)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.Running = func() bool { return s.stillRunning(r.Context(), pod, c.ID) }
	w.Header().Set("Content-Type", "text/plain")
	out := &started{ResponseWriter: w}
	if o.Follow {
		out.Flush() // the client learns that it is connected
	}
	err = logs.Read(r.Context(), c.LogPath, o.Options, out)
	switch {
	case err == nil || r.Context().Err() != nil:
	case out.begun:
		s.cfg.Log.Debug("log broken off", "namespace", pod.Namespace, "name", pod.Name, "error", err)
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, fmt.Sprintf("log of container %q is not there any more", c.Name), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// started remembers whether anything was written, after which no error can be
// answered.
type started struct {
	http.ResponseWriter
	begun bool
}

// Write passes on.
func (s *started) Write(p []byte) (int, error) {
	s.begun = true
	return s.ResponseWriter.Write(p)
}

// Flush sends what was written.
func (s *started) Flush() {
	s.begun = true
	_ = http.NewResponseController(s.ResponseWriter).Flush()
}

// instance finds the instance whose log is asked for, or says why there is no
// log.
func (s *Server) instance(ctx context.Context, pod *corev1.Pod, name string, previous bool) (*state.Container, error) {
	if podspec.Find(pod, name) == nil {
		return nil, fmt.Errorf("container %q in pod %q is not available", name, pod.Name)
	}
	seen, err := s.cfg.Runtime.Pod(ctx, pod.UID, nil)
	if err != nil {
		return nil, err
	}
	if previous {
		if c := seen.Previous(name); c != nil {
			return c, nil
		}
		if c := seen.Latest(name); c != nil && c.Phase == state.Exited && waiting(pod, name) != "" {
			return c, nil // the next instance has not been made yet
		}
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", name, pod.Name)
	}
	if c := seen.Latest(name); c != nil && c.Phase != state.Created {
		return c, nil
	}
	if reason := waiting(pod, name); reason != "" {
		return nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", name, pod.Name, reason)
	}
	return nil, fmt.Errorf("container %q in pod %q is not available", name, pod.Name)
}

// waiting is why a container waits, "" when it does not.
func waiting(pod *corev1.Pod, name string) string {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for _, c := range list {
			if c.Name == name && c.State.Waiting != nil {
				return c.State.Waiting.Reason
			}
		}
	}
	return ""
}

// starting are the reasons for which a container waits that was made and has
// not been started yet.
var starting = map[string]bool{"ContainerCreating": true, "PodInitializing": true}

// stillRunning is asked by followers several times a second; the answer is
// the status that the workers keep, which costs nothing.
func (s *Server) stillRunning(ctx context.Context, pod *corev1.Pod, id string) bool {
	if ctx.Err() != nil {
		return false
	}
	for _, p := range s.cfg.Pods() {
		if p.UID != pod.UID {
			continue
		}
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
			for _, c := range list {
				if (c.State.Running != nil || c.State.Waiting != nil && starting[c.State.Waiting.Reason]) && hasID(c.ContainerID, id) {
					return true
				}
			}
		}
	}
	return false
}

func hasID(ref, id string) bool {
	return len(ref) > len(id) && ref[len(ref)-len(id):] == id
}

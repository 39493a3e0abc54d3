// Package stream carries the streams of exec, attach and port-forward between
// a client, who speaks SPDY or WebSocket in any version that kubectl does, and
// the container runtime's streaming server, which speaks SPDY (and older
// WebSocket protocols). Exec and attach are ended here and begun anew towards
// the runtime, for two reasons: runtimes answer the newest WebSocket protocol
// with 403, and lose output of a TTY whose input ends at once.
package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	constants "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/tools/remotecommand"
	clientspdy "k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// Options say which streams a client asked for.
type Options struct {
	Stdin, Stdout, Stderr, TTY bool
}

// ParseOptions reads the options of an exec or attach request, in the words
// of the API (stdin) or of the kubelet's (input).
func ParseOptions(q url.Values) (Options, error) {
	is := func(names ...string) bool {
		for _, n := range names {
			if v := q.Get(n); v == "1" || v == "true" {
				return true
			}
		}
		return false
	}
	o := Options{Stdin: is("input", "stdin"), Stdout: is("output", "stdout"), Stderr: is("error", "stderr"), TTY: is("tty")}
	if o.TTY && o.Stderr {
		o.Stderr = false // a TTY has one output
	}
	if !o.Stdin && !o.Stdout && !o.Stderr {
		return o, errors.New("you must specify at least 1 of stdin, stdout, stderr")
	}
	return o, nil
}

// client is a connected client.
type client struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	resize         io.Reader
	status         io.Writer // takes a metav1.Status, or text in the oldest protocol
	plainStatus    bool
	gone           <-chan struct{} // closed when the connection is
	close          func()
}

const (
	idleTimeout   = 4 * time.Hour
	createTimeout = 30 * time.Second
	pingPeriod    = 5 * time.Second
)

// Serve connects the client of an upgrade request with the runtime's streaming
// URL, and returns when the command has ended or the client has gone.
func Serve(w http.ResponseWriter, r *http.Request, target *url.URL, o Options) {
	var (
		c   *client
		err error
	)
	if wsstream.IsWebSocketRequest(r) {
		c, err = acceptWebSocket(w, r, o)
	} else {
		c, err = acceptSPDY(w, r, o)
	}
	if err != nil {
		return // the client was answered
	}
	defer c.close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // the request's own context does not end with a hijacked connection
		select {
		case <-c.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	c.answer(run(ctx, target, c, o))
}

// run carries the streams to the runtime and back.
func run(ctx context.Context, target *url.URL, c *client, o Options) error {
	rt, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{PingPeriod: pingPeriod})
	if err != nil {
		return err
	}
	ex, err := remotecommand.NewSPDYExecutorRejectRedirects(rt, clientspdy.NewUpgraderForStreaming(rt), http.MethodPost, target)
	if err != nil {
		return err
	}
	so := remotecommand.StreamOptions{Tty: o.TTY}
	if o.Stdin {
		so.Stdin = c.stdin
		if o.TTY {
			so.Stdin = &held{ctx, c.stdin}
		}
	}
	if o.Stdout {
		so.Stdout = c.stdout
	}
	if o.Stderr {
		so.Stderr = c.stderr
	}
	if o.TTY && c.resize != nil {
		sizes := make(sizeQueue)
		go sizes.feed(ctx, c.resize)
		so.TerminalSizeQueue = sizes
	}
	return ex.StreamWithContext(ctx, so)
}

// held is an input whose end is kept back until ctx ends: with a TTY the
// runtime takes the end of input for the end of everything.
type held struct {
	ctx context.Context
	r   io.Reader
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		<-h.ctx.Done()
	}
	return n, err
}

// sizeQueue hands on changes of the terminal's size.
type sizeQueue chan remotecommand.TerminalSize

func (q sizeQueue) feed(ctx context.Context, r io.Reader) {
	defer close(q)
	dec := json.NewDecoder(r)
	for {
		var s remotecommand.TerminalSize
		if dec.Decode(&s) != nil {
			return
		}
		select {
		case q <- s:
		case <-ctx.Done():
			return
		}
	}
}

// Next returns the next size, nil when there will be none.
func (q sizeQueue) Next() *remotecommand.TerminalSize {
	s, ok := <-q
	if !ok {
		return nil
	}
	return &s
}

// answer tells the client how it went.
func (c *client) answer(err error) {
	status := metav1.Status{Status: metav1.StatusSuccess}
	var (
		exit exec.CodeExitError
		api  *apierrors.StatusError
	)
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.Exited():
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: constants.NonZeroExitCodeReason,
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", err),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{
				{Type: constants.ExitCodeCauseType, Message: fmt.Sprint(exit.ExitStatus())}}},
		}
	case errors.As(err, &api):
		status = api.ErrStatus
	default:
		status = apierrors.NewInternalError(err).ErrStatus
	}
	if c.plainStatus {
		if err != nil {
			_, _ = io.WriteString(c.status, err.Error())
		}
		return
	}
	if b, err := json.Marshal(status); err == nil {
		_, _ = c.status.Write(b)
	}
}

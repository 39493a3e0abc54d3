package stream

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	constants "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// acceptWebSocket upgrades to WebSocket; the streams are numbered channels.
func acceptWebSocket(w http.ResponseWriter, r *http.Request, o Options) (*client, error) {
	channels := make([]wsstream.ChannelType, 5)
	channels[constants.StreamStdIn] = when(o.Stdin, wsstream.ReadChannel)
	channels[constants.StreamStdOut] = when(o.Stdout, wsstream.WriteChannel)
	channels[constants.StreamStdErr] = when(o.Stderr, wsstream.WriteChannel)
	channels[constants.StreamErr] = wsstream.WriteChannel
	channels[constants.StreamResize] = wsstream.ReadChannel
	const base64V4 = "v4.base64.channel.k8s.io"
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		constants.StreamProtocolV5Name:          {Binary: true, Channels: channels},
		constants.StreamProtocolV4Name:          {Binary: true, Channels: channels},
		base64V4:                                {Binary: false, Channels: channels},
		"":                                      {Binary: true, Channels: channels},
		wsstream.ChannelWebSocketProtocol:       {Binary: true, Channels: channels},
		wsstream.Base64ChannelWebSocketProtocol: {Binary: false, Channels: channels},
	})
	conn.SetIdleTimeout(idleTimeout)
	protocol, streams, err := conn.Open(w, r)
	if err != nil {
		return nil, err
	}
	// An empty message tells the client that the connection stands.
	first := constants.StreamErr
	switch {
	case o.Stdout:
		first = constants.StreamStdOut
	case o.Stderr:
		first = constants.StreamStdErr
	}
	if _, err := streams[first].Write([]byte{}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	resize := &ended{r: streams[constants.StreamResize], at: make(chan struct{})}
	if !o.TTY {
		go func() { _, _ = io.Copy(io.Discard, resize) }()
	}
	plain := protocol != constants.StreamProtocolV5Name && protocol != constants.StreamProtocolV4Name && protocol != base64V4
	return &client{
		stdin: streams[constants.StreamStdIn], stdout: streams[constants.StreamStdOut], stderr: streams[constants.StreamStdErr],
		resize: resize, gone: resize.at, status: streams[constants.StreamErr], plainStatus: plain,
		close: func() { _ = conn.Close() },
	}, nil
}

// ended tells when a reader has come to its end. The resize channel ends only
// with the connection, while others may be closed by the client.
type ended struct {
	r    io.Reader
	once sync.Once
	at   chan struct{}
}

func (e *ended) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil {
		e.once.Do(func() { close(e.at) })
	}
	return n, err
}

func when(wanted bool, t wsstream.ChannelType) wsstream.ChannelType {
	if wanted {
		return t
	}
	return wsstream.IgnoreChannel
}

// acceptSPDY upgrades to SPDY and waits for the client to open the streams
// that it asked for.
func acceptSPDY(w http.ResponseWriter, r *http.Request, o Options) (*client, error) {
	protocol, err := httpstream.Handshake(r, w, []string{constants.StreamProtocolV4Name, constants.StreamProtocolV3Name,
		constants.StreamProtocolV2Name, constants.StreamProtocolV1Name})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, err
	}
	opened := make(chan httpstream.Stream)
	done := make(chan struct{})
	conn := spdy.NewResponseUpgraderWithPings(pingPeriod).UpgradeResponse(w, r, func(s httpstream.Stream, replySent <-chan struct{}) error {
		go func() {
			select {
			case <-replySent:
			case <-done:
				return
			}
			select {
			case opened <- s:
			case <-done:
			}
		}()
		return nil
	})
	if conn == nil {
		return nil, errors.New("not upgraded") // the upgrader has answered
	}
	conn.SetIdleTimeout(idleTimeout)
	gone := make(chan struct{})
	go func() {
		<-conn.CloseChan()
		close(gone)
	}()
	c := &client{close: func() { _ = conn.Close() }, gone: gone,
		plainStatus: protocol != constants.StreamProtocolV4Name}
	err = c.gather(conn, opened, wantedStreams(o, protocol))
	close(done)
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func wantedStreams(o Options, protocol string) int {
	n := 1 // the error stream
	for _, wanted := range []bool{o.Stdin, o.Stdout, o.Stderr,
		o.TTY && (protocol == constants.StreamProtocolV4Name || protocol == constants.StreamProtocolV3Name)} {
		if wanted {
			n++
		}
	}
	return n
}

func (c *client) gather(conn httpstream.Connection, opened <-chan httpstream.Stream, want int) error {
	timeout := time.NewTimer(createTimeout)
	defer timeout.Stop()
	for range want {
		select {
		case s := <-opened:
			switch s.Headers().Get(corev1.StreamType) {
			case corev1.StreamTypeStdin:
				c.stdin = s
			case corev1.StreamTypeStdout:
				c.stdout = s
			case corev1.StreamTypeStderr:
				c.stderr = s
			case corev1.StreamTypeResize:
				c.resize = s
			case corev1.StreamTypeError:
				c.status = s
			default:
				return errors.New("stream of an unknown type")
			}
		case <-conn.CloseChan():
			return io.ErrUnexpectedEOF
		case <-timeout.C:
			return errors.New("timed out waiting for the client to open its streams")
		}
	}
	if c.status == nil {
		return errors.New("the client opened no error stream")
	}
	return nil
}

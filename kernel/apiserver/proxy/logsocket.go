package proxy

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/net/websocket"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
)

// Subprotocols of a stream that goes to the client only: bytes as they are,
// which is also what a client gets that names none, or as text in base64.
const (
	binaryProtocol = "binary.k8s.io"
	base64Protocol = "base64.binary.k8s.io"
)

var errProtocol = errors.New("want subprotocol " + binaryProtocol + " or " + base64Protocol)

// fetchOverWebSocket is fetch for a client that opened a WebSocket: each piece
// of the agent's answer is one message. What the agent refuses is answered
// before the connection is upgraded.
func (s *Proxy) fetchOverWebSocket(c *endpoint.Request, loc *url.URL, rt http.RoundTripper) error {
	ctx, cancel := context.WithCancel(c.R.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, loc.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity")
	res, err := rt.RoundTrip(req)
	if err != nil {
		return unreachable(err)
	}
	defer res.Body.Close()
	if err := backendError(c, res); err != nil {
		return err
	}
	websocket.Server{
		Handshake: chooseProtocol,
		Handler: func(ws *websocket.Conn) {
			defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
			go func() {
				_, _ = io.Copy(io.Discard, ws) // until the client goes
				cancel()
			}()
			copyMessages(ws, res.Body)
		},
	}.ServeHTTP(c.W, c.R)
	return nil
}

// chooseProtocol takes the first subprotocol of the client's that we speak.
func chooseProtocol(config *websocket.Config, _ *http.Request) error {
	if len(config.Protocol) == 0 {
		return nil
	}
	for _, p := range config.Protocol {
		if slices.Contains([]string{binaryProtocol, base64Protocol}, p) {
			config.Protocol = []string{p}
			return nil
		}
	}
	return errProtocol
}

// copyMessages sends what body yields until it ends or the client is gone. As
// upstream it begins with an empty message: the client sees that it is
// connected.
func copyMessages(ws *websocket.Conn, body io.Reader) {
	send := func(b []byte) error { return websocket.Message.Send(ws, b) }
	if p := ws.Config().Protocol; len(p) > 0 && p[0] == base64Protocol {
		send = func(b []byte) error { return websocket.Message.Send(ws, base64.StdEncoding.EncodeToString(b)) }
	}
	if send([]byte{}) != nil {
		return
	}
	for piece := make([]byte, 16<<10); ; {
		n, err := body.Read(piece)
		if n > 0 && send(piece[:n]) != nil || err != nil {
			return
		}
	}
}

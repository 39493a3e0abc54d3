package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Checked refuses answers that cannot be passed on: net/http reads status codes, such as
// 000, which its own server panics on. It is safe for concurrent use, as the transport is.
type Checked struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
//
// # Errors
//   - those of the transport
//   - the status of the answer is none of HTTP (RFC 9110 section 15), or says that the
//     protocol is another one from here on, for which nobody asked
func (c Checked) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch code := res.StatusCode; {
	case code < 100 || code > 999:
		err = fmt.Errorf("the answer has the invalid status %q", res.Status)
	case code == http.StatusSwitchingProtocols && r.Header.Get("Upgrade") == "":
		err = fmt.Errorf("the answer is %q to a request that asks for no upgrade", res.Status)
	default:
		return res, nil
	}
	_ = res.Body.Close() // nothing of it is used
	return nil, err
}

// WrappedRoundTripper implements utilnet.RoundTripperWrapper: upgrades dial as the
// transport does, and their connection ends with the request. Who upgrades waits for the
// first answer on the bare connection, and would wait for a mute server for ever.
func (c Checked) WrappedRoundTripper() http.RoundTripper {
	t := c.Transport.Clone()
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // closed twice it says so, which is no news
		return conn, nil
	}
	return t
}

var _ utilnet.RoundTripperWrapper = Checked{}

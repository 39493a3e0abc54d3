package proxy

import (
	"fmt"
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// checked refuses answers that cannot be passed on: net/http reads status codes, such as
// 000, which its own server panics on.
type checked struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
//
// # Errors
//   - those of the transport
//   - the status of the answer is none of HTTP (RFC 9110 section 15), or says that the
//     protocol is another one from here on, for which nobody asked
func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
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
// transport does.
func (c checked) WrappedRoundTripper() http.RoundTripper { return c.Transport }

var _ utilnet.RoundTripperWrapper = checked{}

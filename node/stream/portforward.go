package stream

import (
	"net/http"
	"net/url"

	"k8s.io/apimachinery/pkg/util/proxy"
	translator "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// Forward passes a port-forward through to the runtime's streaming URL, byte
// by byte; SPDY in a WebSocket tunnel is taken out of the tunnel first.
func Forward(w http.ResponseWriter, r *http.Request, target *url.URL) {
	var h http.Handler = proxy.NewUpgradeAwareHandler(target, nil, false, true, responder{})
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		h = translator.NewTunnelingHandler(h)
	}
	h.ServeHTTP(w, r)
}

type responder struct{}

// Error answers a failed proxy request.
func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, "runtime's streaming server: "+err.Error(), http.StatusBadGateway)
}

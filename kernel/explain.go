package kernel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/pintle-io/pintle/kernel/endpoints"
)

const explainPath = "/explain/pods"

// explainer answers the scheduler's last verdict about a pod, as JSON:
// GET /explain/pods?namespace=default&name=web-1. Only the server that leads
// knows; another one asks it, so that clients may ask any of them.
type explainer struct {
	leader  *leader
	servers endpoints.Reader // their Leases
	client  *http.Client     // to other servers, as an administrator: who asks was authorized here
}

// askTimeout bounds how long a server waits for the answer of another one.
const askTimeout = 10 * time.Second

// maxVerdict bounds another server's answer.
const maxVerdict = 4 << 20

// asked marks a request that comes from another server, which is not passed on
// once more.
const asked = "Pintle-Asked-By-Server"

func (e *explainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	namespace, name := q.Get("namespace"), q.Get("name")
	if namespace == "" || name == "" {
		http.Error(w, "the query needs namespace and name", http.StatusBadRequest)
		return
	}
	t := e.leader.term()
	if t == nil {
		e.pass(w, r, url.Values{"namespace": {namespace}, "name": {name}})
		return
	}
	v, ok := t.scheduler.Explain(namespace, name)
	if !ok {
		http.Error(w, fmt.Sprintf("the scheduler remembers no verdict about pod %s/%s", namespace, name), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client is gone when this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// pass asks the server that leads.
func (e *explainer) pass(w http.ResponseWriter, r *http.Request, q url.Values) {
	holder := e.leader.elector.Holder()
	if holder == "" || r.Header.Get(asked) != "" {
		http.Error(w, "no server leads: ask again in a moment", http.StatusServiceUnavailable)
		return
	}
	addr, err := endpoints.Address(r.Context(), e.servers, holder)
	if err == nil {
		err = e.ask(r.Context(), w, addr, q)
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("server %s leads, and this one cannot ask it: %v", holder, err), http.StatusServiceUnavailable)
	}
}

// ask passes another server's answer on; it fails before anything is written.
func (e *explainer) ask(ctx context.Context, w http.ResponseWriter, addr netip.AddrPort, q url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	to := url.URL{Scheme: "https", Host: addr.String(), Path: explainPath, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set(asked, "1")
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxVerdict+1))
	if err == nil && len(body) > maxVerdict {
		err = errors.New("its answer is too long")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	w.Header().Set("Content-Type", cmp.Or(resp.Header.Get("Content-Type"), "text/plain"))
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // the client is gone when this fails
	return nil
}

package apiserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/internal/history"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// selection is what a client of the test lists and watches.
type selection struct {
	namespace, labels, fields string
	selects                   history.Selects
}

var selections = map[string]selection{
	"all":        {selects: func(history.State) bool { return true }},
	"namespace":  {namespace: "default", selects: func(p history.State) bool { return p.Namespace == "default" }},
	"label":      {labels: "tier=a", selects: func(p history.State) bool { return p.Tier == "a" }},
	"not label":  {namespace: "default", labels: "tier notin (a)", selects: func(p history.State) bool { return p.Namespace == "default" && p.Tier != "a" }},
	"field":      {fields: "spec.nodeName=n1", selects: func(p history.State) bool { return p.Node == "n1" }},
	"no field":   {fields: "spec.nodeName=", selects: func(p history.State) bool { return p.Node == "" }},
	"name":       {namespace: "default", fields: "metadata.name=p1", selects: func(p history.State) bool { return p.Namespace == "default" && p.Name == "p1" }},
	"two fields": {labels: "tier=b", fields: "spec.nodeName=n2", selects: func(p history.State) bool { return p.Tier == "b" && p.Node == "n2" }},
}

// reflector does what client-go's does, and records it: it lists, watches from
// the list's resourceVersion, takes that of each event for its own, and when a
// watch ends, however it ended, watches again from there.
type reflector struct {
	t    *testing.T
	sel  selection
	rand *rand.Rand
	// servers are those to choose from for the next request.
	servers []*server
	// rv is the last resourceVersion seen; 0 asks for a list.
	rv int64
	// known is the last revision that a list or a bookmark named: all up to it
	// has been told.
	known int64
	items map[string]string
	steps []history.Step

	stream  io.ReadCloser // of the watch that is open, or nil
	lines   *bufio.Reader
	current *history.Session
}

// server is one API server of the cluster.
type server struct {
	*kerneltest.Server
	clients []*http.Client // HTTP/1.1 and 2
}

func newServer(t *testing.T, c *kerneltest.Server) *server {
	s := &server{Server: c}
	for _, protocols := range [][]string{{"http/1.1"}, nil} {
		cfg := c.Admin()
		cfg.NextProtos = protocols
		client, err := rest.HTTPClientFor(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.clients = append(s.clients, client)
	}
	return s
}

func (r *reflector) get(ctx context.Context, query url.Values) *http.Response {
	s := r.servers[r.rand.IntN(len(r.servers))]
	path := "/api/v1/pods"
	if r.sel.namespace != "" {
		path = "/api/v1/namespaces/" + r.sel.namespace + "/pods"
	}
	if r.sel.labels != "" {
		query.Set("labelSelector", r.sel.labels)
	}
	if r.sel.fields != "" {
		query.Set("fieldSelector", r.sel.fields)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path+"?"+query.Encode(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := s.clients[r.rand.IntN(len(s.clients))].Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func stateOf(p *corev1.Pod) history.State {
	return history.State{Namespace: p.Namespace, Name: p.Name, Tier: p.Labels["tier"], Node: p.Spec.NodeName, Mark: p.Annotations["mark"]}
}

func revisionOf(t *testing.T, rv string) int64 {
	n, err := strconv.ParseInt(rv, 10, 64)
	if err != nil {
		t.Fatalf("resourceVersion: %v", err)
	}
	return n
}

// list lists, sometimes from the cache, sometimes in pages.
func (r *reflector) list(ctx context.Context) {
	r.close()
	r.items = map[string]string{}
	query := url.Values{}
	switch r.rand.IntN(3) {
	case 0:
		query.Set("resourceVersion", "0")
	case 1:
		query.Set("limit", "3")
	}
	for {
		resp := r.get(ctx, query)
		var l corev1.PodList
		err := json.NewDecoder(resp.Body).Decode(&l)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			r.t.Fatalf("list: %s, %v", resp.Status, err)
		}
		for i := range l.Items {
			p := stateOf(&l.Items[i])
			r.items[p.Key()] = p.Mark
		}
		r.rv = revisionOf(r.t, l.ResourceVersion)
		r.known = r.rv
		if l.Continue == "" {
			break
		}
		query.Set("continue", l.Continue)
	}
	items := map[string]string{}
	for k, v := range r.items {
		items[k] = v
	}
	r.steps = append(r.steps, history.Step{List: &history.Listing{Rev: r.rv, Items: items}})
}

// open begins a watch where the last one ended.
func (r *reflector) open(ctx context.Context) {
	if r.stream != nil {
		return
	}
	if r.rv == 0 {
		r.list(ctx)
	}
	resp := r.get(ctx, url.Values{"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {fmt.Sprint(r.rv)}})
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("watch from %d: %s", r.rv, resp.Status)
	}
	r.stream, r.lines = resp.Body, bufio.NewReader(resp.Body)
	r.current = &history.Session{From: r.rv}
	r.steps = append(r.steps, history.Step{Watch: r.current})
}

func (r *reflector) close() {
	if r.stream != nil {
		r.stream.Close()
		r.stream = nil
	}
}

// read reads events until all up to revision rev have been told. After most
// bytes, -1 for all, the connection is cut, wherever in a frame that is.
func (r *reflector) read(ctx context.Context, rev int64, most int) {
	for r.known < rev {
		if ctx.Err() != nil {
			r.t.Errorf("at revision %d, waiting for %d: %v", r.rv, rev, ctx.Err())
			return
		}
		r.open(ctx)
		line, err := r.lines.ReadBytes('\n')
		if most >= 0 {
			if most -= len(line); most < 0 {
				r.close() // the frame that is under way is lost
				return
			}
		}
		if err != nil || !r.take(line) {
			r.close()
		}
	}
}

// take applies one event; false ends the watch.
func (r *reflector) take(line []byte) bool {
	var e struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		r.t.Errorf("event %q: %v", line, err)
		return false
	}
	if e.Type == "ERROR" {
		var s metav1.Status
		if err := json.Unmarshal(e.Object, &s); err != nil {
			r.t.Errorf("error %q: %v", line, err)
		}
		if s.Code == http.StatusGone {
			r.rv = 0 // list again
		}
		return false
	}
	var p corev1.Pod
	if err := json.Unmarshal(e.Object, &p); err != nil {
		r.t.Errorf("event %q: %v", line, err)
		return false
	}
	r.rv = revisionOf(r.t, p.ResourceVersion)
	state := stateOf(&p)
	switch e.Type {
	case "BOOKMARK":
		r.known = r.rv
		r.current.Got = append(r.current.Got, history.Event{Type: e.Type, Rev: r.rv})
		return true
	case "DELETED":
		delete(r.items, state.Key())
	default:
		r.items[state.Key()] = state.Mark
	}
	r.current.Got = append(r.current.Got, history.Event{Type: e.Type, Rev: r.rv, Key: state.Key(), Mark: state.Mark})
	return true
}

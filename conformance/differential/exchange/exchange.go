// Package exchange sends one request to both servers and keeps what they
// answered. A request may name what a server said before (a uid, a
// resourceVersion, a token of a list), by ${placeholders}, as each server says
// something else there.
package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/servers"
)

const (
	answerLimit  = 64 << 20 // bytes of an answer that are read
	requestLimit = time.Minute
	// quiet is how long a stream says nothing until it counts as having said all.
	quiet = 5 * time.Second
)

// Request is one HTTP request. Path, Body and the values of Header may have
// placeholders.
type Request struct {
	Method string
	Path   string // with the query
	Header http.Header
	Body   []byte
	Token  string // "" means that of the administrator; Anonymous means none
	// Resource and Verb say in reports what was asked of what.
	Resource, Verb string
	// Save gives names to values of the answer, by their paths.
	Save map[string]string
	// Events is how many events of a watch are waited for; 0 if it is no watch.
	// A bookmark that ends the initial events counts.
	Events int
}

// Anonymous is the token of a request without one.
const Anonymous = "-"

// Answer is what a server answered.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
	Err    string // why there is no answer, or why it ended early
}

// Side is one of the servers, and what it said in a sequence of requests.
type Side struct {
	Server *servers.Server
	saved  map[string]string
}

// Pair is both servers, upstream first, in one sequence of requests.
type Pair [2]*Side

// NewPair begins a sequence of requests.
func NewPair(upstream, pintle *servers.Server) Pair {
	return Pair{{upstream, map[string]string{}}, {pintle, map[string]string{}}}
}

// Do sends r to both at once.
func (p Pair) Do(ctx context.Context, r *Request) (answers [2]*Answer) {
	var wg sync.WaitGroup
	for i, side := range p {
		wg.Go(func() { answers[i] = side.do(ctx, r) })
	}
	wg.Wait()
	return answers
}

// Saved is what the server said for a placeholder.
func (s *Side) Saved() map[string]string { return s.saved }

// fill puts what the server said in place of placeholders. What it did not say
// stays a placeholder.
func (s *Side) fill(text string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	for _, k := range slices.Sorted(maps.Keys(s.saved)) {
		text = strings.ReplaceAll(text, "${"+k+"}", s.saved[k])
	}
	return text
}

func (s *Side) do(ctx context.Context, r *Request) *Answer {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, s.Server.URL+s.fill(r.Path), bytes.NewReader([]byte(s.fill(string(r.Body)))))
	if err != nil {
		return &Answer{Err: err.Error()}
	}
	for k, vs := range r.Header {
		for _, v := range vs {
			req.Header.Add(k, s.fill(v))
		}
	}
	switch r.Token {
	case "":
		req.Header.Set("Authorization", "Bearer "+servers.Admin)
	case Anonymous:
	default:
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	resp, err := s.Server.Client.Do(req)
	if err != nil {
		return &Answer{Err: unwrap(err)}
	}
	defer resp.Body.Close()
	a := &Answer{Code: resp.StatusCode, Header: resp.Header}
	if r.Events > 0 && resp.StatusCode == http.StatusOK {
		a.Body = readEvents(resp.Body, r.Events, cancel)
		return a
	}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, answerLimit)); err != nil {
		a.Err = unwrap(err)
	}
	s.save(r, a)
	return a
}

// unwrap is an error without the URL, which differs.
func unwrap(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// readEvents reads n events, a line each, or what comes until the stream is
// quiet; then it calls cancel.
func readEvents(r io.Reader, n int, cancel func()) []byte {
	timer := time.AfterFunc(quiet, cancel)
	defer timer.Stop()
	defer cancel()
	var out []byte
	d := json.NewDecoder(r)
	for n > 0 {
		var event json.RawMessage
		if d.Decode(&event) != nil {
			break
		}
		timer.Reset(quiet)
		if isBookmark(event) {
			if bytes.Contains(event, []byte("k8s.io/initial-events-end")) {
				n--
			} else {
				continue // it comes when the server likes
			}
		} else {
			n--
		}
		out = append(append(out, event...), '\n')
	}
	return out
}

func isBookmark(event []byte) bool {
	var e struct{ Type string }
	return json.Unmarshal(event, &e) == nil && e.Type == "BOOKMARK"
}

func (s *Side) save(r *Request, a *Answer) {
	if len(r.Save) == 0 {
		return
	}
	var body any
	if json.Unmarshal(a.Body, &body) != nil {
		return
	}
	for name, path := range r.Save {
		if v, ok := at(body, strings.Split(path, ".")).(string); ok {
			s.saved[name] = v
		}
	}
}

// at is the value at a path of fields, or nil.
func at(v any, path []string) any {
	for _, field := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[field]
	}
	return v
}

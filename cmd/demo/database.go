package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxEntry bounds an entry in JSON, with every byte of its value escaped.
const maxEntry = 8 * maxValue

// serveDatabase opens the store in dir and serves it to clients and, with the
// members at the URLs, to these. The URL whose host begins with this pod's name
// is its own.
func (s *server) serveDatabase(ctx context.Context, dir, urls string) (end func() error, err error) {
	own, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	d := &database{name: podName(), members: []member{own}}
	for _, u := range strings.FieldsFunc(urls, func(r rune) bool { return r == ',' }) {
		at, err := url.Parse(u)
		if err != nil || at.Host == "" {
			return nil, errors.Join(fmt.Errorf("-members: %q is no URL", u), own.close())
		}
		if host, _, _ := strings.Cut(at.Hostname(), "."); host != d.name {
			d.members = append(d.members, remote(strings.TrimSuffix(u, "/")))
		}
	}
	s.mux.HandleFunc("GET /kv/{key}", keyed(d.serveGet))
	s.mux.HandleFunc("POST /kv/{key}", keyed(d.serveSet))
	s.mux.HandleFunc("GET /member/{key}", keyed(own.serveRead))
	s.mux.HandleFunc("PUT /member/{key}", keyed(own.serveWrite))
	return own.close, nil
}

// keyed bounds a request and hands its key on.
func keyed(h func(w http.ResponseWriter, r *http.Request, key string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.PathValue("key")
		if len(key) > maxKey {
			http.Error(w, fmt.Sprintf("a key of %d bytes; %d are the most", len(key), maxKey), http.StatusBadRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxEntry)
		h(w, r, key)
	}
}

func (d *database) serveGet(w http.ResponseWriter, r *http.Request, key string) {
	e, err := d.get(r.Context(), key)
	switch {
	case err != nil:
		refuse(w, err)
	case e.N == 0:
		http.Error(w, "no such key", http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, e.Value+"\n")
	}
}

func (d *database) serveSet(w http.ResponseWriter, r *http.Request, key string) {
	value := r.URL.Query().Get("value")
	if !r.URL.Query().Has("value") || len(value) > maxValue {
		http.Error(w, fmt.Sprintf("want /kv/KEY?value=VALUE, of at most %d bytes", maxValue), http.StatusBadRequest)
		return
	}
	if err := d.set(r.Context(), key, value); err != nil {
		refuse(w, err)
		return
	}
	_, _ = io.WriteString(w, value+"\n")
}

func (s *store) serveRead(w http.ResponseWriter, r *http.Request, key string) {
	e, err := s.read(r.Context(), key)
	if err != nil {
		refuse(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(e)
}

func (s *store) serveWrite(w http.ResponseWriter, r *http.Request, key string) {
	var e entry
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil || e.N <= 0 || len(e.Value) > maxValue {
		http.Error(w, "want an entry", http.StatusBadRequest)
		return
	}
	if err := s.write(r.Context(), key, e); err != nil {
		refuse(w, err)
	}
}

func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, errFull):
		code = http.StatusInsufficientStorage
	case errors.Is(err, errNoMajority):
		code = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), code)
}

// remote is the URL of a member on another machine.
type remote string

var _, _ member = (*store)(nil), remote("")

func (m remote) read(ctx context.Context, key string) (e entry, err error) {
	b, err := m.ask(ctx, http.MethodGet, key, nil)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	return e, err
}

func (m remote) write(ctx context.Context, key string, e entry) error {
	b, err := json.Marshal(e)
	if err == nil {
		_, err = m.ask(ctx, http.MethodPut, key, b)
	}
	return err
}

func (m remote) ask(ctx context.Context, method, key string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, string(m)+"/member/"+url.PathEscape(key), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxEntry))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", m, resp.Status, bytes.TrimSpace(b))
	}
	return b, err
}

package keystore

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
)

// TokensPath is where Handler is served.
const TokensPath = "/servertokens"

// Created is what a POST to TokensPath answers.
type Created struct {
	Info
	Token string `json:"token"`
	// EtcdEndpoints are where this server finds the store; none: in its own
	// process.
	EtcdEndpoints []string `json:"etcdEndpoints,omitempty"`
}

// Handler serves tokens to operators: POST ?ttl=24h makes one, GET lists them
// without secrets, DELETE ?id= ends one. It stands behind authorization: a token
// and read access to the store, or to a snapshot of it, make somebody the owner of
// the cluster.
func (k *Keystore) Handler(etcdEndpoints []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			k.serveCreate(w, r, etcdEndpoints)
		case http.MethodGet:
			l, err := k.List(r.Context())
			answer(w, l, err)
		case http.MethodDelete:
			id := r.URL.Query().Get("id")
			err := k.Delete(r.Context(), id)
			if err == nil {
				k.c.Log.Info("deleted a server token", "id", id)
			}
			answer(w, struct{}{}, err)
		default:
			w.Header().Set("Allow", "GET, POST, DELETE")
			http.Error(w, "use GET, POST or DELETE", http.StatusMethodNotAllowed)
		}
	})
}

func (k *Keystore) serveCreate(w http.ResponseWriter, r *http.Request, etcdEndpoints []string) {
	ttl, err := time.ParseDuration(r.URL.Query().Get("ttl"))
	if err != nil || ttl < 0 {
		http.Error(w, "the query needs ttl, a duration such as 24h; 0s is for ever", http.StatusBadRequest)
		return
	}
	t, info, err := k.Create(r.Context(), ttl)
	if err == nil {
		k.c.Log.Info("made a server token", "id", info.ID, "expires", info.Expires)
	}
	answer(w, Created{Info: info, Token: t.Format(), EtcdEndpoints: etcdEndpoints}, err)
}

func answer(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrTooMany), errors.Is(err, ErrOtherKeys):
		http.Error(w, err.Error(), http.StatusConflict)
	case errors.Is(err, store.ErrNoSpace):
		http.Error(w, err.Error(), http.StatusInsufficientStorage)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(v) // the client is gone when this fails
	}
}

// Package apiserver is the HTTP edge: it turns requests into calls of the
// registry and answers into bytes. It must never decide what a kind means, nor
// write the store.
//
// This package puts the edge together and runs it. Its rooms, in the order in
// which a request meets them: filters (identity, permission, limits; body and
// flow serve them), endpoint (what is served where), handlers (the verbs, with
// stream for watches and proxy for what lives on nodes), negotiation, render and
// response (the form of answers). Beside them stand discovery, openapi, health
// and metrics. Start reading at [New] and api.go.
//
// Objects come out of the registry encoded at most once per revision, version
// and media type; lists and watches concatenate those bytes.
package apiserver

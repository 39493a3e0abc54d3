// Package apiserver is the HTTP edge: it turns requests into calls of the
// registry and answers into bytes. It owns routing, content negotiation,
// discovery, OpenAPI, health, metrics and the proxying of connect requests to
// node agents; it must never decide what a kind means, nor write the store.
//
// A request passes, in this order: panic recovery, metrics, request info,
// timeout, authentication, impersonation, in-flight limits, authorization,
// and then one handler per verb. Start reading at [Server.ServeHTTP].
//
// Objects come out of the registry encoded at most once per revision, version
// and media type; lists and watches concatenate those bytes.
package apiserver

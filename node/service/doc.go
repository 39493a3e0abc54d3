// Package service makes Services work on this node: it follows Services and
// EndpointSlices and writes what they mean into ebpf/lb.
//
// [Catalog] is the watch, shared with node/dns. [Rules.Services] is the meaning:
// a pure function from one Service and its EndpointSlices to frontends and
// backends. [Proxy] joins the two: whatever changes is computed anew for that
// Service alone and written at once, without a batching delay; changes that
// come in while it writes are taken together.
//
// The node agent need not wait for the API: [Proxy.Drain] takes a pod of this
// node out of the balancer before its processes are told to end.
//
// It never writes to the API. All methods may be called concurrently.
package service

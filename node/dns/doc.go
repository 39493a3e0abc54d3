// Package dns is the DNS server of a node: authoritative for the cluster's
// domain, a caching forwarder for everything else.
//
// Cluster names are answered from the node's own watch (a [Source], which is
// node/service's Catalog) as the Kubernetes DNS specification, version 1.1.0,
// says (https://github.com/kubernetes/dns/blob/master/docs/specification.md);
// nothing is precomputed, so an answer is as fresh as the watch. Start reading
// at zone.answer. A name below the cluster's domain, or a reverse name of its
// address ranges, is never asked of anybody else.
//
// Other names go to the upstream servers. Equal questions wait for one answer,
// which also keeps a loop (an upstream that asks us) from growing: the question
// that comes back waits for itself and fails with it, once.
//
// Bounds: concurrent questions, concurrent forwards, cache entries, bytes and
// idle time of TCP connections. Beyond them a question is refused at once.
package dns

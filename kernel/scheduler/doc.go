// Package scheduler finds a node for every pod that has none. It owns the
// queue, the picture of the nodes, the cycle over plugins and the binding; it
// has no policy of its own: which nodes fit and how well is asked of plugins.
//
// The nodes are kept as columns (sdk/columns), updated in place from the
// registry's events; every plugin instance has a copy in memory that it shares
// with the kernel. A decision is one call per thousand nodes. What a plugin
// says about a node depends on the pod's shape and the node's row only, unless
// it declares cluster scope; so verdicts are remembered by shape, and for the
// next pod of that shape only the rows that changed are asked about again.
//
// Read in this order: [Scheduler] (goroutines, reads and writes), core.go (one
// decision after another, without I/O), cluster.go and queue.go (the picture),
// engine.go and choose.go (the decision), unit.go (one plugin).
//
// Everything but Run, Set, Remove and Explain belongs to one goroutine. Time
// and randomness come from Config.
package scheduler

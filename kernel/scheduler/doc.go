// Package scheduler finds a node for every pod that has none. It has no policy
// of its own: which nodes fit and how well is asked of plugins. This package
// owns goroutines, reads and writes; what is decided stands in rooms that have
// neither I/O nor a clock:
//
//   - queue: the pods that wait (active, backoff, unschedulable)
//   - cache: the nodes as columns and the pods that count on them, the assumed
//     ones included
//   - index: counts of pods by topology domain, which plugins ask for
//   - evaluate: plugins are asked, verdicts remembered by the pods' signature,
//     the best node chosen
//   - objects: what plugins see of other objects, as stored and as assumed for pods
//     on their way
//   - bind: decisions are written, in batches
//
// Read in this order: [Scheduler], cycle.go (one decision after another),
// events.go (where each state of a node or pod goes), prebind.go (pods that have a
// node and wait for plugins), follow.go (what is followed for plugins), report.go
// (conditions and events of pods).
//
// Everything but Run, Set, Remove and Explain belongs to one goroutine. Time
// and randomness come from Config.
// RATIONALE.md: "Why is the scheduler one goroutine?"
package scheduler

// Package evaluate decides where a pod goes: it asks the plugins about the
// nodes and remembers what they said. What a plugin says about a node depends
// on the node's row and on the pod's signature only (the records of what the
// plugins declare of it), unless it declares cluster scope; so verdicts are
// remembered by signature, and for the next pod of that signature only the rows
// that changed are asked about again.
//
// It has no clock, starts no goroutine and knows neither queue nor registry.
// Read in this order: [Evaluator] (faults, and the instances that work),
// attempt.go (one pass over the plugins), memory.go and verdicts.go (what is
// remembered), choose.go (the best row), ranking.go (how it is found), scores.go
// (who gave it what), instance.go (one plugin), record.go (how a pod is encoded for
// plugins).
//
// Its 17 files are one for each question of a decision: what follows when a node was
// chosen (reserve.go) is asked of the instances that chose it.
//
// An Evaluator is used by one goroutine; Open may be called from any.
package evaluate

// Package fairness is API priority and fairness (KEP-1040): FlowSchemas say of which
// flow a request is, PriorityLevelConfigurations how many requests of a level are
// executed at once, who queues behind whom, and who is refused. Both are objects, and
// count from when they are written.
//
// How requests are matched, queued, shared out and refused, what levels borrow of each
// other, and what condition a FlowSchema gets is upstream's library
// (k8s.io/apiserver/pkg/util/flowcontrol). This package feeds it with objects, writes
// for it, keeps the objects that every cluster has, and turns its callback around: a
// [Turn] can be given back before the request's answer has been sent.
//
// Nobody here reads a request's body or writes its answer. What a request holds beside
// its turn is counted in kernel/apiserver/flow. Everything is safe for concurrent use,
// but for a Turn, which is one request's. Begin at [Control.Begin]; RATIONALE.md: "Why
// is a request's turn a coroutine?"
package fairness

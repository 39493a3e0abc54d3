// Package flow bounds what the requests of one server hold at once, so that
// one client's flood is answered with 429 and everybody else's requests are
// served.
//
// A request holds something in each of its phases: bytes while its body comes
// in, a slot while it is executed, a goroutine while its answer goes out. Each
// is a [Budget] with a share that no tenant exceeds. What a client can draw out
// (sending a body, reading an answer) holds no slot. Node agents and leader
// election have budgets of their own: whatever others do, leases are renewed.
//
// The package must not wait: a request that finds no room is refused at once
// and told when to try again. Everything is safe for concurrent use. Start
// reading at [Control.Begin].
package flow

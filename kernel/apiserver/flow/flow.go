package flow

import (
	"context"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Limits are the budgets of each level but Exempt.
type Limits struct {
	Reads     int   // reading requests being executed
	Writes    int   // writing requests being executed
	Bodies    int   // bodies coming in
	Answers   int   // answers going out that no longer hold a slot
	BodyBytes int64 // of bodies, from when they are read until the answer is sent
	Decode    int64 // memory that decoding bodies takes, until the answer is sent
	Frames    int64 // bytes of watch events on their way out
}

// level holds the budgets of one level.
type level struct {
	reads, writes, bodies, answers, bytes, decode, frames *Budget
}

// newLevel makes budgets of which one tenant may have one part in share.
func newLevel(l Limits, share int) *level {
	part := func(n int) *Budget { return NewBudget(int64(n), max(int64(n/share), 1)) }
	return &level{
		reads: part(l.Reads), writes: part(l.Writes), bodies: part(l.Bodies), answers: part(l.Answers),
		bytes: NewBudget(l.BodyBytes, l.BodyBytes/4), frames: NewBudget(l.Frames, l.Frames/2),
		decode: NewBudget(l.Decode, l.Decode/2),
	}
}

// Control knows the budgets of one server.
type Control struct{ system, workload *level }

// New makes a Control.
func New(l Limits) *Control {
	return &Control{system: newLevel(l, 4), workload: newLevel(l, 2)}
}

// Begin makes a request's ticket, which holds nothing yet. The caller must End
// it. u is who proved who he is, not whom he impersonates.
func (c *Control) Begin(u user.Info, info *request.RequestInfo) *Ticket {
	l, tenant := Classify(u, info)
	t := &Ticket{tenant: tenant}
	switch l {
	case System:
		t.level = c.system
	case Workload:
		t.level = c.workload
	}
	return t
}

// Ticket is what one request holds. It belongs to the goroutine that serves
// the request. A nil Ticket, like one of Exempt, is refused nothing.
type Ticket struct {
	tenant string
	level  *level // nil is exempt
	slot   *Budget
	answer bool
	body   bool
	bytes  int64
	decode int64
	turn   func() // gives back the turn that the request was given; nil: it has none
}

func (t *Ticket) free() bool { return t == nil || t.level == nil }

// ReadBody asks to read a body. DoneBody must follow if it may.
func (t *Ticket) ReadBody() bool {
	if t.free() {
		return true
	}
	t.body = t.level.bodies.Take(t.tenant, 1)
	return t.body
}

// Grow asks for room for n more bytes of the body, which are held until End.
func (t *Ticket) Grow(n int64) bool {
	if t.free() {
		return true
	}
	if !t.level.bytes.Take(t.tenant, n) {
		return false
	}
	t.bytes += n
	return true
}

// Decode asks for n bytes of memory in which the body is decoded; they are held
// until End.
func (t *Ticket) Decode(n int64) bool {
	if t.free() {
		return true
	}
	if !t.level.decode.Take(t.tenant, n) {
		return false
	}
	t.decode += n
	return true
}

// DoneBody says that the body has been read.
func (t *Ticket) DoneBody() {
	if t.free() || !t.body {
		return
	}
	t.body = false
	t.level.bodies.Give(t.tenant, 1)
}

// Execute asks for the slot in which a request is executed.
func (t *Ticket) Execute(readOnly bool) bool {
	if t.free() {
		return true
	}
	slots := t.level.writes
	if readOnly {
		slots = t.level.reads
	}
	if !slots.Take(t.tenant, 1) {
		return false
	}
	t.slot = slots
	return true
}

// Hold has the ticket give back a turn, by calling release, as soon as the request
// needs it no more: the turn is what the request has instead of a slot. Whoever gave it
// must end it with the request. t must not be nil.
func (t *Ticket) Hold(release func()) { t.turn = release }

// Answer says that the request has been executed and only its answer is to be
// sent, which takes as long as the client likes. The slot is free for another
// request, unless too many answers are under way.
func (t *Ticket) Answer() {
	switch {
	case t.free():
		t.Begun()
		return
	case t.slot == nil && t.turn == nil || t.answer:
		return
	}
	if t.answer = t.level.answers.Take(t.tenant, 1); !t.answer {
		return
	}
	if t.slot != nil {
		t.slot.Give(t.tenant, 1)
		t.slot = nil
	}
	t.Begun()
}

// Begun says that a stream has begun, which lasts as long as the client likes and has
// bounds of its own: its turn is over.
func (t *Ticket) Begun() {
	if t == nil || t.turn == nil {
		return
	}
	release := t.turn
	t.turn = nil
	release()
}

// HoldFrame asks for room for bytes of a stream that the client may be slow to
// take. FreeFrame must follow with the same number.
func (t *Ticket) HoldFrame(n int) bool { return t.free() || t.level.frames.Take(t.tenant, int64(n)) }

// FreeFrame says that the client has taken them.
func (t *Ticket) FreeFrame(n int) {
	if !t.free() {
		t.level.frames.Give(t.tenant, int64(n))
	}
}

// End returns all that the request holds.
func (t *Ticket) End() {
	if t.free() {
		return
	}
	t.DoneBody()
	if t.slot != nil {
		t.slot.Give(t.tenant, 1)
	}
	if t.answer {
		t.level.answers.Give(t.tenant, 1)
	}
	if t.bytes > 0 {
		t.level.bytes.Give(t.tenant, t.bytes)
	}
	if t.decode > 0 {
		t.level.decode.Give(t.tenant, t.decode)
	}
	t.slot, t.answer, t.bytes, t.decode = nil, false, 0, 0
}

type key struct{}

// With puts a ticket into a request's context.
func With(ctx context.Context, t *Ticket) context.Context { return context.WithValue(ctx, key{}, t) }

// From returns the ticket of a request, nil if it has none.
func From(ctx context.Context) *Ticket {
	t, _ := ctx.Value(key{}).(*Ticket)
	return t
}

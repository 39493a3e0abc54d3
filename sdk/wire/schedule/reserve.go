package schedule

import (
	"time"

	"github.com/pintle-io/pintle/sdk/wire"
)

// PodRef names a pod that a node was chosen for.
type PodRef struct{ Namespace, Name, UID string }

func (p PodRef) append(b []byte) []byte {
	return wire.AppendString(wire.AppendString(wire.AppendString(b, p.Namespace), p.Name), p.UID)
}

func readPodRef(r *wire.Reader) PodRef {
	return PodRef{Namespace: r.Str(), Name: r.Str(), UID: r.Str()}
}

// ObjectRef names an object, or all of a resource in a namespace ("" of all) when
// Name is "".
type ObjectRef struct{ Resource, Namespace, Name string }

func (o ObjectRef) append(b []byte) []byte {
	return wire.AppendString(wire.AppendString(wire.AppendString(b, o.Resource), o.Namespace), o.Name)
}

func readObjectRef(r *wire.Reader) ObjectRef {
	return ObjectRef{Resource: r.Str(), Namespace: r.Str(), Name: r.Str()}
}

// ReserveRequest says which node was chosen for a pod.
type ReserveRequest struct {
	Pod PodRef
	Row int // of the node
	// Members to ask, as PreFilter named them.
	Members []int
	// Record of the pod, as PreFilter has it.
	Record []byte
}

// ReserveAnswer is what the members made of it.
type ReserveAnswer struct {
	// RejectedBy is the index of the member that refuses, plus one; 0 when none
	// did. Those before it have been told to unreserve.
	RejectedBy   int
	Reasons      []string
	Reservations []Reservation
	Missing      Missing
}

// Reservation is what one member holds for a pod.
type Reservation struct {
	Member int
	// PreBind: the member has something to do before the pod is bound.
	PreBind bool
	// State comes back with every question about this pod; whoever holds it need
	// not understand it.
	State []byte
	// Assumed are objects that are to be seen as the member is about to make them.
	Assumed []Assumed
}

// Assumed is an object as it will be: what is stored, with a JSON merge patch.
type Assumed struct {
	ObjectRef
	Patch []byte
}

// UnreserveRequest gives up what a member holds for a pod.
type UnreserveRequest struct {
	Pod    PodRef
	Node   string
	Member int
	State  []byte
}

// PreBindRequest asks a member for what must be before the pod is bound.
type PreBindRequest struct {
	UnreserveRequest
	// Elapsed is how long ago the member was asked first.
	Elapsed time.Duration
}

// PreBindAnswer says how far that is.
type PreBindAnswer struct {
	Outcome PreBindOutcome
	Reasons []string // of a refusal
	// After is when to ask again in any case; 0 leaves it to the kernel.
	After time.Duration
	// Until are the objects whose change is a reason to ask again.
	Until []ObjectRef
	// State from now on.
	State []byte
}

// PreBindOutcome is how far a PreBind has come.
type PreBindOutcome uint8

// The outcomes.
const (
	PreBindDone PreBindOutcome = iota
	PreBindWait
	PreBindRefused
)

func appendMembers(b []byte, list []int) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, m := range list {
		b = wire.AppendUint(b, uint64(m))
	}
	return b
}

func readMembers(r *wire.Reader) []int {
	var out []int
	for range r.Count(1) {
		out = append(out, int(r.Uint()))
	}
	return out
}

// Append encodes an OpReserve request.
func (q *ReserveRequest) Append(b []byte) []byte {
	b = wire.AppendUint(q.Pod.append(b), uint64(q.Row))
	return wire.AppendBytes(appendMembers(b, q.Members), q.Record)
}

// ReadReserve reads an OpReserve request.
func ReadReserve(b []byte) (ReserveRequest, error) {
	r := wire.NewReader(b)
	q := ReserveRequest{Pod: readPodRef(r), Row: int(r.Uint()), Members: readMembers(r), Record: r.Bytes()}
	return q, r.Err()
}

// Append encodes the answer of OpReserve.
func (a *ReserveAnswer) Append(b []byte) []byte {
	b = wire.AppendStrings(wire.AppendUint(b, uint64(a.RejectedBy)), a.Reasons)
	b = wire.AppendUint(b, uint64(len(a.Reservations)))
	for i := range a.Reservations {
		b = wire.AppendBytes(b, a.Reservations[i].append(nil))
	}
	return a.Missing.Append(b)
}

func (x *Reservation) append(b []byte) []byte {
	b = wire.AppendBool(wire.AppendUint(b, uint64(x.Member)), x.PreBind)
	b = wire.AppendUint(wire.AppendBytes(b, x.State), uint64(len(x.Assumed)))
	for _, o := range x.Assumed {
		b = wire.AppendBytes(o.ObjectRef.append(b), o.Patch)
	}
	return b
}

func readReservation(r *wire.Reader) Reservation {
	x := Reservation{Member: int(r.Uint()), PreBind: r.Bool(), State: clone(r.Bytes())}
	for range r.Count(4) {
		x.Assumed = append(x.Assumed, Assumed{ObjectRef: readObjectRef(r), Patch: clone(r.Bytes())})
	}
	return x
}

// clone copies what belongs to the next call; nothing is nil.
func clone(b []byte) []byte { return append([]byte(nil), b...) }

// ReadReserveAnswer reads the answer of OpReserve. It keeps nothing of b.
func ReadReserveAnswer(b []byte) (ReserveAnswer, error) {
	r := wire.NewReader(b)
	a := ReserveAnswer{RejectedBy: int(r.Uint()), Reasons: r.Strings()}
	for range r.Count(4) {
		wire.ReadSized(r, func(r *wire.Reader) { a.Reservations = append(a.Reservations, readReservation(r)) })
	}
	a.Missing = readMissing(r)
	return a, r.Err()
}

// Append encodes an OpUnreserve request.
func (q *UnreserveRequest) Append(b []byte) []byte {
	b = wire.AppendUint(wire.AppendString(q.Pod.append(b), q.Node), uint64(q.Member))
	return wire.AppendBytes(b, q.State)
}

func readUnreserve(r *wire.Reader) UnreserveRequest {
	return UnreserveRequest{Pod: readPodRef(r), Node: r.Str(), Member: int(r.Uint()), State: clone(r.Bytes())}
}

// ReadUnreserve reads an OpUnreserve request.
func ReadUnreserve(b []byte) (UnreserveRequest, error) {
	r := wire.NewReader(b)
	q := readUnreserve(r)
	return q, r.Err()
}

// Append encodes an OpPreBind request.
func (q *PreBindRequest) Append(b []byte) []byte {
	return wire.AppendInt(q.UnreserveRequest.Append(b), int64(q.Elapsed))
}

// ReadPreBind reads an OpPreBind request.
func ReadPreBind(b []byte) (PreBindRequest, error) {
	r := wire.NewReader(b)
	q := PreBindRequest{UnreserveRequest: readUnreserve(r), Elapsed: time.Duration(r.Int())}
	return q, r.Err()
}

// Append encodes the answer of OpPreBind.
func (a *PreBindAnswer) Append(b []byte) []byte {
	b = wire.AppendStrings(append(b, byte(a.Outcome)), a.Reasons)
	b = wire.AppendUint(wire.AppendInt(b, int64(a.After)), uint64(len(a.Until)))
	for _, o := range a.Until {
		b = o.append(b)
	}
	return wire.AppendBytes(b, a.State)
}

// ReadPreBindAnswer reads the answer of OpPreBind. It keeps nothing of b.
func ReadPreBindAnswer(b []byte) (PreBindAnswer, error) {
	r := wire.NewReader(b)
	a := PreBindAnswer{Outcome: PreBindOutcome(r.Byte()), Reasons: r.Strings(), After: time.Duration(r.Int())}
	for range r.Count(3) {
		a.Until = append(a.Until, readObjectRef(r))
	}
	a.State = clone(r.Bytes())
	return a, r.Err()
}

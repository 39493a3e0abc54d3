package wasm

// mostGap is how many zeros may be put between two data segments to make one
// of them. A segment of its own costs more: the engine keeps a hundred bytes
// for it, and more in every instance.
const mostGap = 64

// segment is an active data segment of memory 0 at a constant address.
type segment struct {
	at   uint32
	init []byte
}

// maxRuns is how often the segments of a module may start again at a lower
// address; Go's do so once.
const maxRuns = 8

// span is a part of memory.
type span struct{ from, to uint64 }

// joinSegments makes few data segments of many. Go's linker starts a new one
// wherever a handful of zeros can be left out, some fifty thousand in a module,
// and the engine keeps a record of each in every instance. Memory begins as
// zeros, so filling a small gap changes nothing unless a segment before has put
// something there. A section that is not plain comes back as it is.
//
// It must not be used on a module whose code names segments (one with a data
// count section): their indices change.
func joinSegments(body []byte) []byte {
	r := &reader{b: body}
	n := r.u32()
	var joined []segment
	var done []span // of the runs before this one
	var run span    // ascending segments
	for ; n > 0 && r.err == nil; n-- {
		s, ok := r.constantSegment()
		if !ok {
			return body
		}
		at := uint64(s.at)
		if at < run.to || len(joined) == 0 {
			if done = append(done, run); len(done) > maxRuns {
				return body
			}
			run = span{at, at}
		}
		if last := len(joined) - 1; last >= 0 && at > run.from && at-run.to <= mostGap && untouched(done, span{run.to, at}) {
			joined[last].init = append(append(joined[last].init, make([]byte, at-run.to)...), s.init...)
		} else {
			joined = append(joined, segment{s.at, append([]byte(nil), s.init...)}) // a copy: more may be appended
		}
		run.to = at + uint64(len(s.init))
	}
	if r.err != nil || r.at != len(body) {
		return body
	}
	out := appendU32(make([]byte, 0, len(body)), uint32(len(joined)))
	for _, s := range joined {
		out = append(appendS32(append(out, 0, opI32Const), int32(s.at)), opEnd)
		out = append(appendU32(out, uint32(len(s.init))), s.init...)
	}
	return out
}

func untouched(done []span, gap span) bool {
	for _, d := range done {
		if gap.from < d.to && d.from < gap.to {
			return false
		}
	}
	return true
}

// constantSegment reads a data segment and tells whether it is a plain one.
func (r *reader) constantSegment() (s segment, ok bool) {
	if r.u32() != 0 || r.byte() != opI32Const {
		return s, false
	}
	s.at = uint32(r.s32())
	if r.byte() != opEnd {
		return s, false
	}
	s.init = r.bytes(r.u32())
	return s, r.err == nil
}

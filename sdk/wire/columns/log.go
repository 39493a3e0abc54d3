package columns

// rowLog remembers which rows changed, in the order of their changes.
type rowLog struct {
	rows []uint32
	base uint64 // position of rows[0]
}

// add notes a row; capacity is how many rows there can be. The older half is
// forgotten when the log is some times as long.
func (l *rowLog) add(row, capacity int) {
	if len(l.rows) >= 4*capacity+1024 {
		half := len(l.rows) / 2
		l.rows = l.rows[:copy(l.rows, l.rows[half:])]
		l.base += uint64(half)
	}
	l.rows = append(l.rows, uint32(row))
}

// position is where the log ends now.
func (l *rowLog) position() uint64 { return l.base + uint64(len(l.rows)) }

// since returns what was noted after a position; false when that is forgotten.
func (l *rowLog) since(pos uint64) ([]uint32, bool) {
	if pos < l.base || pos > l.position() {
		return nil, false
	}
	return l.rows[pos-l.base:], true
}

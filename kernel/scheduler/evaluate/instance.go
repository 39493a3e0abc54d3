package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// chunkRows bounds the rows of one call, and so its time. Guests give way to
// the collector while they run, so a call may be long; each costs some 10 µs
// by itself.
const chunkRows = 8192

// Instance is an open plugin with its copy of the columns. Make one with Open
// and give it to [Evaluator.Replace].
type Instance struct {
	name    string
	plugin  Plugin
	guest   plugin.Instance // nil after a fault
	view    *objects.View
	reads   *objects.Reads // of guest
	members []schedule.MemberInfo
	uses    []schedule.MemberUse
	cluster bool // some member has cluster scope
	// most is the highest sum of scores that are not scaled.
	most int64

	fields *record.Fields // that the guest declares of pods
	plan   *record.Plan   // of fields; nil when there are none
	mirror *columns.Mirror
	gen    uint64    // of tables and layout in the guest
	loaded *verdicts // whose pod the guest holds
	out    resultColumns
	slots  []slot
	counts []schedule.CountsAt // of the pod at hand
	tick   uint64
	req    []byte

	// Of the tries to open an instance, when there is none.
	absent   bool // there will be none: refused says why
	refused  error
	retryAt  time.Time
	failures int
}

// resultColumns are the answers in the instance's region.
type resultColumns struct {
	region   []byte
	feasible vector.Mask
	reasons  []uint32
	scores   [][]int64
}

// Open starts an instance and asks what it holds.
//
// What members read is answered from view, which may be nil when there is no
// Access.
func Open(ctx context.Context, name string, p Plugin, view *objects.View) (*Instance, error) {
	in := &Instance{name: name, plugin: p, view: view}
	if err := in.open(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return in, nil
}

// Absent stands in for a plugin that does not come, because of err: a decision
// that it would take part in fails, or is made without it, by its failure policy.
func Absent(name string, p Plugin, err error) *Instance {
	return &Instance{name: name, plugin: p, absent: true, refused: fmt.Errorf("it is not in place: %w", err)}
}

func (in *Instance) open(ctx context.Context) error {
	guest, err := in.start(ctx)
	if err != nil {
		return err
	}
	resp, err := guest.Call(ctx, schedule.OpDescribe, nil)
	if err == nil {
		in.members, err = schedule.ReadMembers(resp)
	}
	if err == nil {
		err = checkColumns(in.members)
	}
	for _, m := range in.members {
		for _, r := range m.Columns {
			if err == nil {
				err = r.Check()
			}
		}
	}
	if err == nil {
		in.uses, err = usesOf(in.members, in.plugin.Use)
	}
	in.fields, in.plan = nil, nil
	if err == nil {
		err = in.profile(ctx, guest)
	}
	if err != nil {
		return errors.Join(err, guest.Close())
	}
	in.cluster, in.most = false, 0
	for i, m := range in.members {
		in.cluster = in.cluster || m.Scope == schedule.Cluster
		if m.Column == 0 {
			in.most += in.uses[i].Weight * schedule.MaxNodeScore
		}
	}
	in.guest, in.mirror, in.loaded, in.slots = guest, nil, nil, nil
	return nil
}

// start opens the guest, which reads what it is given to read.
func (in *Instance) start(ctx context.Context) (plugin.Instance, error) {
	in.reads = nil
	if in.plugin.Access == nil || in.view == nil {
		return in.plugin.Open(ctx)
	}
	in.reads = objects.NewReads(in.view)
	return in.plugin.Access.Open(ctx, in.reads)
}

// Objects are the resources that the members read, as they call them.
func (in *Instance) Objects() []string {
	var out []string
	for _, m := range in.members {
		out = append(out, m.Objects...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Access is what the plugin may do with objects; nil is nothing.
func (in *Instance) Access() *objects.Access { return in.plugin.Access }

// profile tells the guest how its members are used, and takes what they are
// known to read of pods.
func (in *Instance) profile(ctx context.Context, guest plugin.Instance) error {
	resp, err := guest.Call(ctx, schedule.OpProfile, schedule.AppendUses(nil, in.uses))
	if err != nil {
		return err
	}
	fields, err := schedule.ReadFields(resp)
	if err != nil || fields == nil {
		return err
	}
	return in.declare(*fields)
}

// declare takes what the guest declares of pods from now on. A declaration can
// only grow, so that it cannot keep pods from sharing verdicts for ever.
func (in *Instance) declare(text string) error {
	f, err := record.ParseFields(text)
	if err != nil {
		return wrongf("%v", err)
	}
	if in.plan != nil && (!f.Covers(in.fields) || in.fields.Covers(f)) {
		return wrongf("it declares the fields %q of pods after %q: not more than before", f, in.fields)
	}
	in.fields, in.plan = f, encoder.Plan(f)
	return nil
}

// Name of the plugin.
func (in *Instance) Name() string { return in.name }

// Rehearses tells whether the plugin is asked and decides nothing.
func (in *Instance) Rehearses() bool { return in.plugin.Rehearse }

// Close ends the instance.
func (in *Instance) Close() error {
	if in.guest == nil {
		return nil
	}
	err := in.guest.Close()
	in.guest = nil
	in.closeMirror()
	return err
}

// closeMirror gives up what is kept for the guest alone.
func (in *Instance) closeMirror() {
	if in.mirror != nil {
		in.mirror.Close()
		in.mirror = nil
	}
}

// sync brings the guest's copy of the nodes up to date.
func (in *Instance) sync(ctx context.Context, t *columns.Table) error {
	if in.mirror == nil {
		in.mirror = columns.NewMirror(t, in.resultColumns(), func(size int) ([]byte, error) {
			return in.guest.Reserve(ctx, size)
		})
		for _, m := range in.members {
			if err := in.mirror.Want(m.Columns...); err != nil {
				return wrongf("%v", err)
			}
		}
	}
	d, err := in.mirror.Update(in.guest.Region())
	if errors.Is(err, columns.ErrColumn) || errors.Is(err, columns.ErrMalformed) {
		return wrongf("%v", err)
	}
	if err != nil || d == nil {
		return err
	}
	in.gen++
	in.loaded = nil
	if d.Layout { // also the same memory may have another layout
		in.out = resultColumns{}
		for k := range in.slots {
			in.slots[k].pos = 0
		}
	}
	_, err = in.guest.Call(ctx, schedule.OpSnapshot, d.Append(nil))
	return err
}

func (in *Instance) resultColumns() []columns.Column {
	cols := []columns.Column{
		{ID: columns.ResultFeasible, Type: columns.Bits},
		{ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64},
	}
	for _, m := range in.members {
		if m.Column > 0 {
			cols = append(cols, columns.Column{ID: columns.ResultScore, Type: columns.Int64, Key: m.Column})
		}
	}
	return cols
}

// bind finds the result columns after a call, which may have moved the region.
func (in *Instance) bind() (*resultColumns, error) {
	region := in.guest.Region()
	if len(region) > 0 && len(region) == len(in.out.region) && &region[0] == &in.out.region[0] {
		return &in.out, nil
	}
	l := in.mirror.Layout()
	out := resultColumns{region: region, feasible: l.Mask(region, columns.ResultFeasible, 0), reasons: l.Uint32s(region, columns.ResultReason, 0)}
	for key := uint32(0); ; key++ {
		col := l.Int64s(region, columns.ResultScore, key)
		if col == nil {
			break
		}
		out.scores = append(out.scores, col)
	}
	if out.feasible == nil || out.reasons == nil || len(out.scores) == 0 {
		return nil, wrongf("its region of %d bytes lost its columns", len(region))
	}
	in.out = out
	return &in.out, nil
}

// normalize brings the scores in a column of n rows to 0..100, as the member
// does it, and returns where they are.
func (in *Instance) normalize(ctx context.Context, member, n int) (*resultColumns, error) {
	in.req = schedule.AppendNormalize(in.req[:0], member, n)
	resp, err := in.guest.Call(ctx, schedule.OpNormalize, in.req)
	if err != nil {
		return nil, err
	}
	missing, err := schedule.ReadMissing(resp)
	if err != nil {
		return nil, err
	}
	if err := in.give(&missing); err != nil {
		return nil, err
	}
	return in.bind()
}

// Both ask for another attempt. errMoreColumns: the guest looked at columns that
// it did not have, and has from the next sync on. errMoreFields: it looked at
// fields of the pod, so that signatures are others from now on.
var (
	errMoreColumns = errors.New("the plugin looks at more columns")
	errMoreFields  = errors.New("the plugin looks at more fields of pods")
)

// give adds what the guest looked at and did not have. It answers errMoreFields
// or errMoreColumns when there is any.
func (in *Instance) give(missing *schedule.Missing) error {
	if !missing.Any() {
		return nil
	}
	in.loaded = nil
	if err := in.mirror.Want(missing.Columns...); err != nil {
		return wrongf("%v", err)
	}
	if missing.Fields == nil {
		return errMoreColumns
	}
	if err := in.declare(*missing.Fields); err != nil {
		return err
	}
	return errMoreFields
}

// preFilter gives the guest the pod.
func (in *Instance) preFilter(ctx context.Context, record []byte) (schedule.PreFilterAnswer, error) {
	in.loaded = nil
	resp, err := in.guest.Call(ctx, schedule.OpPreFilter, record)
	if err != nil {
		return schedule.PreFilterAnswer{}, err
	}
	a, err := schedule.ReadPreFilter(resp)
	if err == nil {
		err = in.give(&a.Missing)
	}
	if err == nil && len(a.Counts) > maxCounts {
		err = wrongf("%d counts of pods for one pod, more than %d", len(a.Counts), maxCounts)
	}
	if err == nil && (a.RejectedBy < 0 || a.RejectedBy > len(in.members)) {
		err = wrongf("rejected by member %d of %d", a.RejectedBy, len(in.members))
	}
	for _, m := range a.Reserving {
		if err == nil && (m < 0 || m >= len(in.members)) {
			err = wrongf("member %d of %d reserves", m, len(in.members))
		}
	}
	for _, o := range a.Only {
		if err == nil && (o.Member < 0 || o.Member >= len(in.members)) {
			err = wrongf("narrowed by member %d of %d", o.Member, len(in.members))
		}
	}
	return a, err
}

// cycle asks about runs of rows.
func (in *Instance) cycle(ctx context.Context, q *schedule.CycleRequest) (schedule.CycleAnswer, *resultColumns, error) {
	q.Counts = in.counts
	in.req = q.Append(in.req[:0])
	resp, err := in.guest.Call(ctx, schedule.OpCycle, in.req)
	if err != nil {
		return schedule.CycleAnswer{}, nil, err
	}
	a, err := schedule.ReadCycleAnswer(resp)
	if err == nil {
		err = in.give(&a.Missing)
	}
	if err != nil {
		return a, nil, err
	}
	for _, r := range a.Reasons {
		if r.Member < 0 || r.Member >= len(in.members) {
			return a, nil, wrongf("reason of member %d of %d", r.Member, len(in.members))
		}
	}
	out, err := in.bind()
	return a, out, err
}

// discard closes an instance that faulted.
func (in *Instance) discard() {
	if in.guest != nil {
		_ = in.guest.Close() // it failed already; there is nothing more to learn
		in.guest = nil
		in.closeMirror()
	}
}

// reopen starts another instance. When that fails it is not tried again for a
// while that doubles up to a minute.
func (in *Instance) reopen(ctx context.Context, now time.Time) error {
	if in.absent || now.Before(in.retryAt) {
		return in.refused
	}
	err := in.open(ctx)
	if err == nil {
		in.refused, in.failures = nil, 0
		return nil
	}
	if errors.Is(err, plugin.ErrQuarantined) {
		return err // for this pod; another may have better luck
	}
	in.retryAt, in.refused = now.Add(min(time.Second<<min(in.failures, 6), time.Minute)), err
	in.failures++
	return err
}

// checkScore checks scores that the guest wrote for nodes that fit: the SDK does,
// but a guest need not be made with it.
func (in *Instance) checkScore(v, most int64) error {
	if v < 0 || v > most {
		return wrongf("a score of %d is not in the range of 0 to %d", v, most)
	}
	return nil
}

// wrongAnswer is a fault that the scheduler found in an answer, which those who
// count the plugin's faults do not know of yet.
type wrongAnswer struct{ error }

func (w wrongAnswer) Unwrap() error { return w.error }

func wrongf(format string, args ...any) error {
	return wrongAnswer{wire.Errorf(wire.KindProtocol, format, args...)}
}

// isFault tells whether the instance must be replaced after the error.
func isFault(err error) bool {
	for _, k := range []error{wire.ErrTrap, wire.ErrDeadline, wire.ErrMemory, wire.ErrProtocol, wire.ErrABI, wire.ErrClosed} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

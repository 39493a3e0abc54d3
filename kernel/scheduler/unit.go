package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
	"github.com/pintle-io/pintle/sdk/wire"
)

// FailurePolicy says what a fault of a plugin means for the pod at hand.
type FailurePolicy string

// The policies. Fail, the default, leaves the pod pending with a message;
// Ignore decides without the plugin.
const (
	Fail   FailurePolicy = "Fail"
	Ignore FailurePolicy = "Ignore"
)

// Plugin is one plugin as the scheduler uses it: one instance for each worker,
// which may hold several members.
type Plugin struct {
	// Open starts an instance.
	Open func(ctx context.Context) (plugin.Instance, error)
	// Use says how members are used, by name; the others filter, and score
	// with the weight that the plugin gives them.
	Use           map[string]Use
	FailurePolicy FailurePolicy
	// Rehearse asks the plugin about every pod and lets it decide nothing.
	Rehearse bool
}

// Use of a member in the profile.
type Use struct {
	// NoFilter switches the filter off, Weight 0 the score.
	NoFilter bool
	Weight   int64
}

// MaxWeight bounds the weight of a score.
const MaxWeight = 1000

// chunkRows bounds the rows of one call, and so its time. Guests give way to
// the collector while they run, so a call may be long; each costs some 10 µs
// by itself.
const chunkRows = 8192

// unit is an open plugin with its copy of the columns.
type unit struct {
	name    string
	plugin  Plugin
	inst    plugin.Instance
	members []sdk.MemberInfo
	uses    []sdk.MemberUse
	cluster bool // some member has cluster scope
	// most is the highest sum of scores that are not scaled.
	most int64

	mirror *columns.Mirror
	gen    uint64 // of tables and layout in the guest
	loaded *shape // whose pod the guest holds
	out    resultColumns
	req    []byte

	// Of the tries to open an instance, when there is none.
	refused  error
	retryAt  time.Time
	failures int
}

// resultColumns are the answers in the unit's region.
type resultColumns struct {
	region   []byte
	feasible columns.Mask
	reasons  []uint32
	scores   [][]int64
}

// openUnit starts an instance and asks what it holds.
func openUnit(ctx context.Context, name string, p Plugin) (*unit, error) {
	u := &unit{name: name, plugin: p}
	if err := u.open(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *unit) open(ctx context.Context) error {
	inst, err := u.plugin.Open(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", u.name, err)
	}
	resp, err := inst.Call(ctx, sdk.OpDescribe, nil)
	if err == nil {
		u.members, err = sdk.ReadMembers(resp)
	}
	if err == nil {
		err = checkColumns(u.members)
	}
	if err == nil {
		u.uses, err = usesOf(u.members, u.plugin.Use)
	}
	if err == nil {
		_, err = inst.Call(ctx, sdk.OpProfile, sdk.AppendUses(nil, u.uses))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", u.name, err), inst.Close())
	}
	u.cluster, u.most = false, 0
	for i, m := range u.members {
		u.cluster = u.cluster || m.Scope == sdk.Cluster
		if m.Column == 0 {
			u.most += u.uses[i].Weight * sdk.MaxNodeScore
		}
	}
	u.inst, u.mirror, u.loaded = inst, nil, nil
	return nil
}

// checkColumns: score columns are numbered from 1 without a gap, each used by
// one member.
func checkColumns(members []sdk.MemberInfo) error {
	seen := make([]bool, len(members)+1)
	last := 0
	for _, m := range members {
		if m.Column == 0 {
			continue
		}
		if int64(m.Column) >= int64(len(seen)) || seen[m.Column] {
			return wrongf("member %s has score column %d of %d members, or shares it", m.Name, m.Column, len(members))
		}
		seen[m.Column] = true
		last = max(last, int(m.Column))
	}
	for i := 1; i <= last; i++ {
		if !seen[i] {
			return wrongf("there is no score column %d, but %d", i, last)
		}
	}
	return nil
}

func usesOf(members []sdk.MemberInfo, use map[string]Use) ([]sdk.MemberUse, error) {
	known := map[string]bool{}
	out := make([]sdk.MemberUse, len(members))
	for i, m := range members {
		known[m.Name] = true
		out[i] = sdk.MemberUse{Filter: m.Filters}
		if m.Scores {
			out[i].Weight = min(max(m.Weight, 1), MaxWeight)
		}
		x, ok := use[m.Name]
		if !ok {
			continue
		}
		if x.Weight < 0 || x.Weight > MaxWeight {
			return nil, fmt.Errorf("weight %d of %s is not in the range of 0 to %d", x.Weight, m.Name, MaxWeight)
		}
		out[i].Filter = m.Filters && !x.NoFilter
		if m.Scores {
			out[i].Weight = x.Weight
		}
	}
	for name := range use {
		if !known[name] {
			return nil, fmt.Errorf("profile names %s, which the plugin does not hold", name)
		}
	}
	return out, nil
}

func (u *unit) close() error {
	if u.inst == nil {
		return nil
	}
	err := u.inst.Close()
	u.inst = nil
	return err
}

// sync brings the guest's copy of the nodes up to date.
func (u *unit) sync(ctx context.Context, t *columns.Table) error {
	if u.mirror == nil {
		u.mirror = columns.NewMirror(t, u.resultColumns(), func(size int) ([]byte, error) {
			return u.inst.Reserve(ctx, size)
		})
	}
	d, err := u.mirror.Update(u.inst.Region())
	if err != nil || d == nil {
		return err
	}
	u.gen++
	u.loaded = nil
	_, err = u.inst.Call(ctx, sdk.OpSnapshot, d.Append(nil))
	return err
}

func (u *unit) resultColumns() []columns.Column {
	cols := []columns.Column{
		{ID: columns.ResultFeasible, Type: columns.Bits},
		{ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64},
	}
	for _, m := range u.members {
		if m.Column > 0 {
			cols = append(cols, columns.Column{ID: columns.ResultScore, Type: columns.Int64, Key: m.Column})
		}
	}
	return cols
}

// bind finds the result columns after a call, which may have moved the region.
func (u *unit) bind() (*resultColumns, error) {
	region := u.inst.Region()
	if len(region) > 0 && len(region) == len(u.out.region) && &region[0] == &u.out.region[0] {
		return &u.out, nil
	}
	l := u.mirror.Layout()
	out := resultColumns{region: region, feasible: l.Mask(region, columns.ResultFeasible, 0), reasons: l.Uint32s(region, columns.ResultReason, 0)}
	for key := uint32(0); ; key++ {
		col := l.Int64s(region, columns.ResultScore, key)
		if col == nil {
			break
		}
		out.scores = append(out.scores, col)
	}
	if out.feasible == nil || out.reasons == nil || len(out.scores) == 0 {
		return nil, wrongf("%s: region of %d bytes lost its columns", u.name, len(region))
	}
	u.out = out
	return &u.out, nil
}

// preFilter gives the guest the pod.
func (u *unit) preFilter(ctx context.Context, record []byte) (sdk.PreFilterAnswer, error) {
	u.loaded = nil
	resp, err := u.inst.Call(ctx, sdk.OpPreFilter, record)
	if err != nil {
		return sdk.PreFilterAnswer{}, err
	}
	a, err := sdk.ReadPreFilter(resp)
	if err == nil && (a.RejectedBy < 0 || a.RejectedBy > len(u.members)) {
		err = wrongf("rejected by member %d of %d", a.RejectedBy, len(u.members))
	}
	for _, o := range a.Only {
		if err == nil && (o.Member < 0 || o.Member >= len(u.members)) {
			err = wrongf("narrowed by member %d of %d", o.Member, len(u.members))
		}
	}
	return a, err
}

// cycle asks about runs of rows.
func (u *unit) cycle(ctx context.Context, q *sdk.CycleRequest) (sdk.CycleAnswer, *resultColumns, error) {
	u.req = q.Append(u.req[:0])
	resp, err := u.inst.Call(ctx, sdk.OpCycle, u.req)
	if err != nil {
		return sdk.CycleAnswer{}, nil, err
	}
	a, err := sdk.ReadCycleAnswer(resp)
	if err != nil {
		return a, nil, err
	}
	for _, r := range a.Reasons {
		if r.Member < 0 || r.Member >= len(u.members) {
			return a, nil, wrongf("reason of member %d of %d", r.Member, len(u.members))
		}
	}
	out, err := u.bind()
	return a, out, err
}

// wrongAnswer is a fault that the scheduler found in an answer, which those who
// count the plugin's faults do not know of yet.
type wrongAnswer struct{ error }

func (w wrongAnswer) Unwrap() error { return w.error }

func wrongf(format string, args ...any) error {
	return wrongAnswer{wire.Errorf(wire.KindProtocol, format, args...)}
}

// maxRawScore bounds scores before scaling, so that a hundred times as much is
// no overflow, as the SDK has it.
const maxRawScore = 1 << 40

// scored checks scores that the guest wrote for nodes that fit: the SDK does,
// but a guest need not be made with it.
func (u *unit) scored(v, most int64) error {
	if v < 0 || v > most {
		return wrongf("a score of %d is not in the range of 0 to %d", v, most)
	}
	return nil
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

// discard closes an instance that faulted.
func (u *unit) discard() {
	if u.inst != nil {
		_ = u.inst.Close() // it failed already; there is nothing more to learn
		u.inst = nil
	}
}

// reopen starts another instance. When that fails it is not tried again for a
// while that doubles up to a minute.
func (u *unit) reopen(ctx context.Context, now time.Time) error {
	if now.Before(u.retryAt) {
		return u.refused
	}
	err := u.open(ctx)
	if err == nil {
		u.refused, u.failures = nil, 0
		return nil
	}
	if errors.Is(err, plugin.ErrQuarantined) {
		return err // for this pod; another may have better luck
	}
	u.retryAt, u.refused = now.Add(min(time.Second<<min(u.failures, 6), time.Minute)), err
	u.failures++
	return err
}

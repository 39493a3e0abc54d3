package hosttest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// configMaps serves the ConfigMap "c", and writes down what is patched.
type configMaps struct {
	data    map[string]any
	patches []string
}

func (m *configMaps) call(_ context.Context, op wire.HostOp, req []byte) ([]byte, error) {
	r := wire.NewReader(req)
	var only, name string
	switch op {
	case wire.HostGet:
		q := r.GetRequest()
		only, name = q.Only, q.Name
	case wire.HostPatch:
		q := r.PatchRequest()
		m.patches = append(m.patches, string(q.Data))
		only, name = q.Only, q.Name
	default:
		return nil, wire.Errorf(wire.KindUnsupported, "%d", op)
	}
	if name == "absent" {
		return nil, wire.Errorf(wire.KindNotFound, "no %s", name)
	}
	f, err := record.ParseFields(only)
	if err != nil {
		return nil, err
	}
	return record.NewEncoder(nil).Plan(f).Append(nil, map[string]any{"metadata": map[string]any{"namespace": "ns", "name": name}, "data": m.data})
}

// placed is a pod of the plugin suite-reserve, and an instance that knows one node.
type placed struct {
	t      *testing.T
	in     plugin.Instance
	fields *string
	mirror *columns.Mirror
}

func place(t *testing.T, open Open, store *configMaps) *placed {
	in := mustOpen(t, open, plugin.OpenOptions{Name: "suite-reserve", HostCall: store.call})
	p := &placed{t: t, in: in}
	list, err := schedule.ReadMembers(p.call(schedule.OpDescribe, nil))
	if err != nil || len(list) != 1 || !list[0].Reserves || !list[0].Unreserves || !list[0].PreBinds || !slices.Equal(list[0].Objects, []string{"v1/configmaps"}) {
		t.Fatalf("members %+v, %v", list, err)
	}
	if p.fields, err = schedule.ReadFields(p.call(schedule.OpProfile, schedule.AppendUses(nil, []schedule.MemberUse{{Filter: true}}))); err != nil {
		t.Fatal(err)
	}
	results := []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32}, {ID: columns.ResultScore, Type: columns.Int64}}
	p.mirror = columns.NewMirror(schedule.NewTable(schedule.NodeInfo{Name: "n0"}, schedule.NodeInfo{Name: "n1"}), results, func(size int) ([]byte, error) {
		return in.Reserve(t.Context(), size)
	})
	p.sync()
	return p
}

func (p *placed) sync() {
	p.t.Helper()
	d, err := p.mirror.Update(p.in.Region())
	if err != nil {
		p.t.Fatal(err)
	}
	if d != nil {
		p.call(schedule.OpSnapshot, d.Append(nil))
	}
}

func (p *placed) call(op wire.Op, req []byte) []byte {
	p.t.Helper()
	resp, err := p.in.Call(p.t.Context(), op, req)
	if err != nil {
		p.t.Fatal(err)
	}
	return slices.Clone(resp)
}

// record is the pod that takes a ConfigMap, as the plugin declares it.
func (p *placed) record(takes string) []byte {
	p.t.Helper()
	if p.fields == nil {
		return nil
	}
	pod := scheduledPod()
	pod.Metadata.Labels = map[string]string{"takes": takes}
	plan, err := projection.Of(*p.fields)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := plan.Append(nil, pod)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// give adds what is missing.
func (p *placed) give(m schedule.Missing) bool {
	p.t.Helper()
	if m.Fields != nil {
		p.fields = m.Fields
	}
	if err := p.mirror.Want(m.Columns...); err != nil {
		p.t.Fatal(err)
	}
	p.sync()
	return m.Any()
}

func (p *placed) preFilter(takes string) schedule.PreFilterAnswer {
	p.t.Helper()
	for range 9 {
		a, err := schedule.ReadPreFilter(p.call(schedule.OpPreFilter, p.record(takes)))
		if err != nil {
			p.t.Fatal(err)
		}
		if !p.give(a.Missing) {
			return a
		}
	}
	p.t.Fatal("the plugin keeps looking at more")
	return schedule.PreFilterAnswer{}
}

func (p *placed) reserve(takes string) schedule.ReserveAnswer {
	p.t.Helper()
	for range 9 {
		q := schedule.ReserveRequest{Pod: schedule.PodRef{Namespace: "ns", Name: "p", UID: "u"}, Row: 1, Members: []int{0}, Record: p.record(takes)}
		a, err := schedule.ReadReserveAnswer(p.call(schedule.OpReserve, q.Append(nil)))
		if err != nil {
			p.t.Fatal(err)
		}
		if !p.give(a.Missing) {
			return a
		}
	}
	p.t.Fatal("the plugin keeps looking at more")
	return schedule.ReserveAnswer{}
}

// testReserve: from PreFilter to Reserve on one instance, and PreBind on another that
// has seen neither.
func testReserve(t *testing.T, open Open) {
	store := &configMaps{data: map[string]any{}}
	p := place(t, open, store)
	if a := p.preFilter(""); len(a.Reserving) != 0 {
		t.Errorf("a pod that takes nothing is reserved: %+v", a)
	}
	if a := p.preFilter("absent"); a.RejectedBy != 1 || !slices.Equal(a.Reasons, []string{"no absent"}) {
		t.Errorf("without the object: %+v", a)
	}
	if a := p.preFilter("c"); a.RejectedBy != 0 || !slices.Equal(a.Reserving, []int{0}) {
		t.Errorf("prefilter: %+v", a)
	}
	if a := p.reserve("refuse"); a.RejectedBy != 1 || !slices.Equal(a.Reasons, []string{"not on n1"}) || len(a.Reservations) != 0 {
		t.Errorf("refused: %+v", a)
	}
	if a := p.reserve("at-once"); len(a.Reservations) != 1 || a.Reservations[0].PreBind {
		t.Errorf("without PreBind: %+v", a)
	}
	a := p.reserve("c")
	if len(a.Reservations) != 1 {
		t.Fatalf("reserved: %+v", a)
	}
	r := a.Reservations[0]
	if !r.PreBind || string(r.State) != "c" || len(r.Assumed) != 1 || r.Assumed[0].ObjectRef != (schedule.ObjectRef{Resource: "v1/configmaps", Namespace: "ns", Name: "c"}) ||
		string(r.Assumed[0].Patch) != `{"data":{"by":"p"}}` {
		t.Errorf("reservation %+v", r)
	}
	testPreBind(t, open, store, r)
}

func testPreBind(t *testing.T, open Open, store *configMaps, r schedule.Reservation) {
	other := mustOpen(t, open, plugin.OpenOptions{Name: "suite-reserve", HostCall: store.call})
	ask := func(state string, elapsed time.Duration) (schedule.PreBindAnswer, error) {
		q := schedule.PreBindRequest{Elapsed: elapsed, UnreserveRequest: schedule.UnreserveRequest{Pod: schedule.PodRef{Namespace: "ns", Name: "p", UID: "u"}, Node: "n1", State: []byte(state)}}
		resp, err := other.Call(t.Context(), schedule.OpPreBind, q.Append(nil))
		if err != nil {
			return schedule.PreBindAnswer{}, err
		}
		return schedule.ReadPreBindAnswer(resp)
	}
	a, err := ask(string(r.State), 0)
	if err != nil || a.Outcome != schedule.PreBindWait || a.After != time.Minute || !slices.Equal(a.Until, []schedule.ObjectRef{r.Assumed[0].ObjectRef}) || string(a.State) != "c" {
		t.Errorf("it should wait: %+v, %v", a, err)
	}
	if want := `{"data":{"by":"p","on":"n1"}}`; !slices.Equal(store.patches, []string{want}) {
		t.Errorf("written: %q, want %q", store.patches, want)
	}
	store.data["state"] = "ready"
	if a, err = ask("c", time.Second); err != nil || a.Outcome != schedule.PreBindDone {
		t.Errorf("it should be done: %+v, %v", a, err)
	}
	if a, err = ask("never", 0); err != nil || a.Outcome != schedule.PreBindRefused || !slices.Equal(a.Reasons, []string{"never for p"}) {
		t.Errorf("it should refuse: %+v, %v", a, err)
	}
	if a, err = ask("c", 2*time.Hour); err != nil || a.Outcome != schedule.PreBindRefused || !slices.Equal(a.Reasons, []string{"too late"}) {
		t.Errorf("it should know the time: %+v, %v", a, err)
	}
	if _, err = ask("error", 0); !errors.Is(err, wire.ErrPlugin) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("its own error: %v", err)
	}
	q := schedule.UnreserveRequest{Node: "n1", State: []byte("c")}
	if _, err := other.Call(t.Context(), schedule.OpUnreserve, q.Append(nil)); err != nil {
		t.Errorf("unreserve: %v", err)
	}
	q.State = []byte("panic") // it is reached, with its state
	if _, err := other.Call(t.Context(), schedule.OpUnreserve, q.Append(nil)); !errors.Is(err, wire.ErrTrap) {
		t.Errorf("a panic in Unreserve: %v", err)
	}
	if _, err = ask("c", 0); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("after a panic: %v", err)
	}
	third := mustOpen(t, open, plugin.OpenOptions{Name: "suite-reserve"})
	pre := schedule.PreBindRequest{UnreserveRequest: schedule.UnreserveRequest{State: []byte("panic")}}
	if _, err := third.Call(t.Context(), schedule.OpPreBind, pre.Append(nil)); !errors.Is(err, wire.ErrTrap) {
		t.Errorf("a panic in PreBind: %v", err)
	}
}

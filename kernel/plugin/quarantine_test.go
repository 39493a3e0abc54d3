package plugin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// TestSlowFaultsAreQuarantined: a controller that loops until its deadline, with
// pauses in between, faults too seldom for a window of a minute.
func TestSlowFaultsAreQuarantined(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		time.Second: time.Minute, 30 * time.Second: 3 * time.Minute, 10 * time.Minute: time.Hour,
	} {
		p := plugin.QuarantinePolicy{}.For(timeout)
		if p.Window != want {
			t.Errorf("timeout %s: window %s, want %s", timeout, p.Window, want)
		}
		clock := testclock.NewFakePassiveClock(time.Now())
		q := plugin.NewQuarantine(p, clock)
		began := false
		for range p.Faults {
			clock.SetTime(clock.Now().Add(timeout + timeout/2))
			began = q.Fault(plugin.Fault{Err: wire.Errorf(wire.KindDeadline, "no answer within %s", timeout)}).Quarantined == plugin.Everybody
		}
		if !began || q.Check("") == nil {
			t.Errorf("timeout %s: %d faults, one after another, began no quarantine", timeout, p.Faults)
		}
	}
}

// reservingHost's instances fault in Reserve.
type reservingHost struct{ fakeHost }

type reservingInstance struct{ fakeInstance }

func (h *reservingHost) Open(ctx context.Context, m plugin.Module, o plugin.OpenOptions) (plugin.Instance, error) {
	h.fakeHost.open.Add(1)
	return &reservingInstance{fakeInstance{host: &h.fakeHost}}, nil
}

func (*reservingInstance) Reserve(context.Context, int) ([]byte, error) {
	return nil, wire.Errorf(wire.KindTrap, "panic: no room")
}

// TestFaultsInReserve: the guest's code that makes room for the region is
// counted and watched as every other.
func TestFaultsInReserve(t *testing.T) {
	p := load(t, &reservingHost{}, plugin.NewQuarantine(plugin.QuarantinePolicy{Faults: 2}, nil))
	for range 2 {
		in, err := p.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Reserve(t.Context(), 1); !errors.Is(err, wire.ErrTrap) {
			t.Errorf("error %v, want a trap", err)
		}
		_ = in.Close()
	}
	s := p.Stats.Snapshot()
	if s.Faults != 2 || s.LastError == nil || !s.LastError.Fault || !strings.Contains(s.LastError.Message, "no room") {
		t.Errorf("stats %+v, last error %+v", s, s.LastError)
	}
	if _, err := p.Open(t.Context(), nil); !errors.Is(err, plugin.ErrQuarantined) {
		t.Errorf("open: %v, want ErrQuarantined", err)
	}
}

// TestQuarantineHoldsEveryInstance: those that are open are not asked either.
func TestQuarantineHoldsEveryInstance(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Now())
	q := plugin.NewQuarantine(plugin.QuarantinePolicy{Faults: 1, First: time.Minute}, clock)
	p := load(t, &fakeHost{}, q)
	other, err := p.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	faulty, err := p.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := faulty.Call(t.Context(), wire.OpMutate, nil); !errors.Is(err, wire.ErrTrap) {
		t.Fatal(err)
	}
	if _, err := other.Call(t.Context(), wire.OpValidate, nil); !errors.Is(err, plugin.ErrQuarantined) {
		t.Errorf("another instance answers in quarantine: %v", err)
	}
	clock.SetTime(clock.Now().Add(time.Minute))
	if _, err := other.Call(t.Context(), wire.OpValidate, nil); err != nil {
		t.Errorf("after the quarantine: %v", err)
	}
}

package plugin_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// accused is a quarantine under test.
type accused struct {
	*plugin.Quarantine
	t     *testing.T
	clock *testclock.FakePassiveClock
}

func newAccused(t *testing.T) *accused {
	c := testclock.NewFakePassiveClock(time.Now())
	return &accused{plugin.NewQuarantine(plugin.QuarantinePolicy{}, c), t, c}
}

func (a *accused) fault(namespace string) plugin.Scope {
	return a.Fault(plugin.Fault{Err: errors.New("boom"), Namespace: namespace, Op: wire.OpValidate}).Quarantined
}

func (a *accused) asked(namespace string, want bool) {
	a.t.Helper()
	if err := a.Check(namespace); (err == nil) != want || err != nil && !errors.Is(err, plugin.ErrQuarantined) {
		a.t.Errorf("namespace %q: %v, want asked: %v", namespace, err, want)
	}
}

// TestPoisonedNamespace: objects of one namespace on which a plugin faults take
// it away from nobody else.
func TestPoisonedNamespace(t *testing.T) {
	a := newAccused(t)
	for i := range 3 {
		if got, want := a.fault("poison"), plugin.Nobody; i < 2 && got != want {
			t.Fatalf("fault %d: %v", i, got)
		}
		a.Good(wire.OpValidate) // for others
	}
	a.asked("poison", false)
	a.asked("good", true)
	if got := a.Namespaces(); !slices.Equal(got, []string{"poison"}) || !a.Until().IsZero() {
		t.Errorf("left out are %v, the plugin until %v", got, a.Until())
	}
	a.clock.SetTime(a.clock.Now().Add(11 * time.Second))
	a.asked("poison", true)
	for range 3 {
		a.fault("poison")
		a.Good(wire.OpValidate)
	}
	a.clock.SetTime(a.clock.Now().Add(11 * time.Second))
	a.asked("poison", false) // twice as long the second time
	a.clock.SetTime(a.clock.Now().Add(time.Hour))
	a.Good(wire.OpValidate)
	a.asked("poison", true)
}

// TestPoisonedWhileIdle: when nobody else asked meanwhile, nothing tells a
// poisoned plugin from a broken one, until the next namespace asks.
func TestPoisonedWhileIdle(t *testing.T) {
	a := newAccused(t)
	var last plugin.Scope
	for range 3 {
		last = a.fault("poison")
	}
	if last != plugin.Everybody {
		t.Fatalf("three faults and nothing else: %v", last)
	}
	a.asked("poison", false)
	a.asked("", false)
	a.asked("good", true)
	a.asked("another", true)
	a.Good(wire.OpMutate) // says nothing about the operation that failed
	a.asked("", false)
	a.Good(wire.OpValidate)
	a.asked("", true)
	a.asked("poison", false)
}

// TestBrokenPlugin: what fails for everybody is tried ever more rarely.
func TestBrokenPlugin(t *testing.T) {
	a := newAccused(t)
	if a.fault("a") != plugin.Nobody || a.fault("b") != plugin.Nobody || a.fault("c") != plugin.Everybody {
		t.Fatal("three faults of three namespaces in a row are no quarantine")
	}
	a.asked("d", true)
	a.fault("d")
	a.asked("e", false) // the try for d has failed
	a.clock.SetTime(a.clock.Now().Add(time.Second))
	a.asked("e", true)
	a.fault("e")
	a.clock.SetTime(a.clock.Now().Add(time.Second))
	a.asked("f", false)
	a.clock.SetTime(a.clock.Now().Add(time.Second))
	a.asked("f", true)
}

// TestFaultsOfNobody: what has nothing to do with an object, such as a module
// that does not open, is the plugin's own, and nobody may try.
func TestFaultsOfNobody(t *testing.T) {
	a := newAccused(t)
	a.fault("")
	a.fault("")
	if a.fault("") != plugin.Everybody {
		t.Fatal("no quarantine after three faults")
	}
	a.asked("good", false)
	a.Good(wire.OpValidate) // of a call that was under way
	a.asked("good", false)
}

// TestQuarantineIsBounded: namespaces by the thousand are not remembered for
// ever.
func TestQuarantineIsBounded(t *testing.T) {
	a := newAccused(t)
	for i := range 5000 {
		a.fault(fmt.Sprint("n", i))
		a.Good(wire.OpValidate)
	}
	if a.Until().IsZero() {
		t.Error("faults for more namespaces than are remembered do not count as the plugin's")
	}
	a.clock.SetTime(a.clock.Now().Add(time.Hour))
	a.Good(wire.OpValidate)
	a.asked("n1", true)
}

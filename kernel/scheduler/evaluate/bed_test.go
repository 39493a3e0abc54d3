package evaluate

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	shipped "github.com/pintle-io/pintle/plugins/scheduling"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

var start = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// bed is an evaluator with its own table of nodes.
type bed struct{ *Evaluator }

func newTestBed(t testing.TB, plugins ...Plugin) bed {
	t.Helper()
	b := bed{New(Config{Table: columns.NewTable(), Seed: rand.NewPCG(1, 2), Metrics: NewMetrics(), Log: slog.New(slog.DiscardHandler)})}
	if len(plugins) == 0 {
		plugins = []Plugin{standard()}
	}
	for i, p := range plugins {
		if err := b.Replace(fmt.Sprintf("plugin-%d", i), open(t, fmt.Sprintf("plugin-%d", i), p)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func open(t testing.TB, name string, p Plugin) *Instance {
	t.Helper()
	in, err := Open(t.Context(), name, p)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// standard is the profile of a new cluster on the native host.
func standard() Plugin { return registered(shipped.Name) }

// registered opens a plugin that was registered in this binary.
func registered(name string) Plugin {
	return Plugin{Open: func(ctx context.Context) (plugin.Instance, error) {
		return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: name})
	}}
}

func register(name string, p func() *scheduling.Points) {
	sdk.Register(sdk.Plugin{Name: name, New: func([]byte) (sdk.Points, error) { return p(), nil }})
}

func amount(s string) resource.Quantity {
	if s == "" {
		return resource.Quantity{}
	}
	return resource.MustParse(s)
}

func node(name, cpu, memory string) columns.Node {
	c, m := amount(cpu), amount(memory)
	return columns.Node{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}, Pods: 110,
		Allocatable: columns.Resources{MilliCPU: c.MilliValue(), Memory: m.Value(), Ephemeral: 100 << 30}}
}

func pod(name, cpu string, change ...func(*schedule.PodInfo)) *schedule.PodInfo {
	c := amount(cpu)
	p := &schedule.PodInfo{Namespace: "default", Name: name, UID: "uid-" + name, Images: []string{"registry.local/app:1"},
		Requests: columns.Resources{MilliCPU: c.MilliValue()}, NonZero: schedule.Resources{MilliCPU: max(100, c.MilliValue()), Memory: 200 << 20}}
	for _, f := range change {
		f(p)
	}
	return p
}

func (b bed) put(n columns.Node) { b.cfg.Table.Put(n) }

func (b bed) threeNodes() {
	for _, name := range []string{"a", "b", "c"} {
		b.put(node(name, "4", "8Gi"))
	}
}

// try decides about a pod and leaves the nodes as they are.
func (b bed) try(t testing.TB, p *schedule.PodInfo) Outcome {
	t.Helper()
	r := schedule.EncodePod(p)
	out, err := b.Decide(t.Context(), &r, start)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// place decides about a pod and counts it.
func (b bed) place(t testing.TB, p *schedule.PodInfo) Outcome {
	t.Helper()
	out := b.try(t, p)
	if out.Fit == nil {
		b.cfg.Table.Use(out.Row, &columns.Usage{Requests: p.Requests, NonZeroCPU: p.NonZero.MilliCPU, NonZeroMemory: p.NonZero.Memory}, 1)
	}
	return out
}

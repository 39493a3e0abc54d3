package evaluate

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	shipped "github.com/pintle-io/pintle/plugins/scheduling"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
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
	in, err := Open(t.Context(), name, p, nil)
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

// testPod is a pod with what it takes from a node.
type testPod struct {
	*corev1.Pod
	usage columns.Usage
}

func pod(name, cpu string, change ...func(*corev1.Pod)) testPod {
	c := amount(cpu)
	p := testPod{usage: columns.Usage{Requests: columns.Resources{MilliCPU: c.MilliValue()}, NonZeroCPU: max(100, c.MilliValue()), NonZeroMemory: 200 << 20},
		Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.local/app:1"}}}}}
	for _, f := range change {
		f(p.Pod)
	}
	return p
}

// asked is the pod as an evaluator is asked about it.
func (p testPod) asked() *Pod { return NewPod(p.Pod, &p.usage) }

func (b bed) put(n columns.Node) { b.cfg.Table.Put(n) }

func (b bed) threeNodes() {
	for _, name := range []string{"a", "b", "c"} {
		b.put(node(name, "4", "8Gi"))
	}
}

// try decides about a pod and leaves the nodes as they are.
func (b bed) try(t testing.TB, p testPod) Outcome {
	t.Helper()
	out, err := b.Decide(t.Context(), p.asked(), start)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// place decides about a pod and counts it.
func (b bed) place(t testing.TB, p testPod) Outcome {
	t.Helper()
	out := b.try(t, p)
	if out.Fit == nil {
		b.cfg.Table.Use(out.Row, &p.usage, 1)
	}
	return out
}

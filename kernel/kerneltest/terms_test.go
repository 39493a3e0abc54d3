package kerneltest_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/lease"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// door is what the opening of the filter "term-never" meets.
type door struct {
	mu   sync.Mutex
	open func() error // nil: nothing; guarded by mu
}

func (d *door) set(f func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = f
}

func (d *door) pass() error {
	d.mu.Lock()
	f := d.open
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

var neverDoor, scoreDoor door

func init() {
	never := scheduling.Unschedulable("never")
	sdk.Register(sdk.Plugin{Name: "term-never", New: func([]byte) (sdk.Points, error) {
		if err := neverDoor.pass(); err != nil {
			return nil, err
		}
		return &scheduling.Points{Filter: func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return never }}, nil
	}})
	sdk.Register(sdk.Plugin{Name: "term-score", New: func([]byte) (sdk.Points, error) {
		if err := scoreDoor.pass(); err != nil {
			return nil, err
		}
		return &scheduling.Points{Score: func(*scheduling.Pod, scheduling.Node) int64 { return 1 }}, nil
	}})
}

// terms is a server whose terms a test ends, with a score and a filter that
// refuses every node, and a pod that is refused.
type terms struct {
	*kerneltest.Server
	t     *testing.T
	way   *link
	dir   string
	early bool // start does not wait for plugins
}

// start starts the server, again if it ran before.
func (x *terms) start() {
	x.t.Helper()
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		x.t.Fatal(err)
	}
	x.Server = kerneltest.Start(x.t, kerneltest.Options{Table: table, Dir: x.dir, Early: x.early, Store: x.way, Lease: lease.Times{Duration: 4 * time.Second, RenewDeadline: 2 * time.Second, RetryEvery: 200 * time.Millisecond},
		Config: func(c *kernel.Config) {
			c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
			for _, name := range []string{"term-score", "term-never"} {
				c.Builtins = append(c.Builtins, plugin.Builtin{Name: name, Spec: v1alpha1.PluginSpec{Plugin: name, Host: v1alpha1.HostNative}})
			}
		}})
}

func newTerms(t *testing.T) *terms {
	neverDoor.set(nil)
	scoreDoor.set(nil)
	x := &terms{t: t, way: &link{Store: memory.New()}, dir: t.TempDir()}
	x.start()
	s := x.Server
	x.plugin("term-never", "ready", func(p *v1alpha1.Plugin) bool { return p.Status.Phase == v1alpha1.Ready })
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
	if _, err := s.Registry.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("nodes")}, n, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	addPods(t, s, 0, 1)
	x.refused("never")
	return x
}

// next ends the term and returns when the next one has begun.
func (x *terms) next() {
	x.t.Helper()
	x.way.cut.Store(true)
	eventually(x.t, "the end of the term", func() bool { return !x.Leads() })
	x.way.cut.Store(false)
	eventually(x.t, "the next term", x.Leads)
}

func (x *terms) pod() *corev1.Pod {
	x.t.Helper()
	target := pods
	target.Name = "p-0"
	o, err := x.Registry.Get(x.t.Context(), target, metav1.GetOptions{})
	if err != nil {
		x.t.Fatal(err)
	}
	p := o.Obj.(*corev1.Pod)
	if p.Spec.NodeName != "" {
		x.t.Fatalf("the pod that a filter refuses everywhere is bound to %s", p.Spec.NodeName)
	}
	return p
}

// refused waits until the pod is told why it waits.
func (x *terms) refused(why string) {
	x.t.Helper()
	eventually(x.t, "a refusal with "+why, func() bool {
		for _, c := range x.pod().Status.Conditions {
			if c.Type == corev1.PodScheduled && strings.Contains(c.Message, why) {
				return true
			}
		}
		return false
	})
}

func (x *terms) get(name string) *v1alpha1.Plugin {
	x.t.Helper()
	o, err := x.Registry.Get(x.t.Context(), registry.Target{Resource: v1alpha1.Plugins, Name: name}, metav1.GetOptions{})
	if err != nil {
		x.t.Fatal(err)
	}
	return o.Obj.(*v1alpha1.Plugin)
}

func (x *terms) plugin(name, what string, ok func(*v1alpha1.Plugin) bool) {
	x.t.Helper()
	eventually(x.t, name+" "+what, func() bool { return ok(x.get(name)) })
}

// TestNextTermWaitsForFilters: a term decides about no pod before the filters
// that were loaded are in place, and writes no status of plugins until then.
func TestNextTermWaitsForFilters(t *testing.T) {
	x := newTerms(t)
	scored, asked, release := make(chan struct{}, 8), make(chan struct{}, 8), make(chan struct{})
	scoreDoor.set(func() error { scored <- struct{}{}; return nil })
	neverDoor.set(func() error { asked <- struct{}{}; <-release; return nil })
	x.next()
	<-scored
	<-asked
	// The loader has news to write.
	score := x.get("term-score").DeepCopy()
	weight := int64(3)
	score.Spec.Weight = &weight
	if _, err := x.Registry.Update(t.Context(), registry.Target{Resource: v1alpha1.Plugins, Name: score.Name}, score, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	<-scored
	for range 50 { // long enough for whoever does not wait
		x.pod()
		if p := x.get("term-score"); p.Status.ObservedGeneration == p.Generation {
			t.Fatal("the status is written before the term has its plugins")
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(release)
	x.plugin("term-score", "is up to date", func(p *v1alpha1.Plugin) bool { return p.Status.ObservedGeneration == p.Generation })
	x.refused("never")
}

// TestNextTermIsRefusedAPlugin: a filter that the next term cannot open is told
// in the status, holds the pods that it would be asked about, and is tried again.
func TestNextTermIsRefusedAPlugin(t *testing.T) {
	x := newTerms(t)
	neverDoor.set(func() error { return errors.New("boom") })
	x.next()
	x.plugin("term-never", "is told to be missing", func(p *v1alpha1.Plugin) bool {
		return p.Status.Phase == v1alpha1.Failed && strings.Contains(p.Status.Message, "scheduler: ") && strings.Contains(p.Status.Message, "boom") &&
			len(p.Status.Conditions) == 1 && p.Status.Conditions[0].Status == metav1.ConditionFalse
	})
	x.refused("plugin term-never: it is not in place: ")
	neverDoor.set(nil)
	x.plugin("term-never", "is in place", func(p *v1alpha1.Plugin) bool { return p.Status.Conditions[0].Status == metav1.ConditionTrue })
	x.refused("never.")
}

// TestStartWaitsForFilters: a server that starts places no pod before the filters
// that were loaded before it was stopped are in place, and none past one that
// cannot be loaded.
func TestStartWaitsForFilters(t *testing.T) {
	x := newTerms(t)
	x.Stop()
	scored, asked, release := make(chan struct{}, 8), make(chan struct{}, 8), make(chan struct{})
	scoreDoor.set(func() error { scored <- struct{}{}; return nil })
	neverDoor.set(func() error { asked <- struct{}{}; <-release; return errors.New("boom") })
	x.early = true
	x.start()
	<-asked
	<-scored
	for range 50 { // long enough for whoever does not wait
		x.pod()
		time.Sleep(10 * time.Millisecond)
	}
	close(release)
	x.refused("plugin term-never: it is not in place: ")
	neverDoor.set(nil)
	x.refused("never.")
}

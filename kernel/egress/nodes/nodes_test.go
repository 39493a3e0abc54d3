package nodes

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// cluster is a cache that has nodes alone.
type cluster []*watch.Object

func (c cluster) Get(_ context.Context, gr schema.GroupResource, _, name string) (runtime.Object, error) {
	return nil, apierrors.NewNotFound(gr, name)
}

func (c cluster) List(context.Context, schema.GroupResource, string) (out []runtime.Object, err error) {
	for _, o := range c {
		out = append(out, o.Obj)
	}
	return out, nil
}

func node(name, cidr string) *watch.Object {
	return &watch.Object{Name: name, Obj: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr}}}
}

func agents(c cluster) *Agents {
	return New(Config{Reader: c, Ranges: func(obj runtime.Object) []netip.Prefix {
		p, err := netip.ParsePrefix(obj.(*corev1.Node).Spec.PodCIDR)
		if err != nil {
			return nil
		}
		return []netip.Prefix{p}
	}, Agent: func(_ context.Context, _ resource.Reader, node string) (*resource.Target, error) {
		return &resource.Target{Node: node}, nil
	}})
}

// TestAgents: the agent is found before the nodes are followed and as they change.
func TestAgents(t *testing.T) {
	all := cluster{node("fresh", ""), node("one", "10.244.1.0/24"), node("two", "10.244.2.0/24")}
	a := agents(all)
	is := func(ip, want string) {
		t.Helper()
		got, err := a.Of(t.Context(), netip.MustParseAddr(ip))
		if err != nil || (got == nil) != (want == "") || got != nil && got.Node != want {
			t.Errorf("%s: %+v, %v; want %q", ip, got, err, want)
		}
	}
	same := func() {
		t.Helper()
		is("10.244.1.7", "one")
		is("10.244.2.7", "two")
		is("10.244.3.7", "")
	}
	same()
	a.Replace(t.Context(), &registry.List{Items: all})
	same()
	a.Apply(t.Context(), []watch.Event{{Type: watch.Modified, Object: node("fresh", "10.244.3.0/24")}, {Type: watch.Deleted, Object: node("one", "10.244.1.0/24")}, {Type: watch.Added, Object: node("four", "10.244.4.0/24")}})
	is("10.244.1.7", "")
	is("10.244.3.7", "fresh")
	is("10.244.4.7", "four")
}

// BenchmarkOf is what a connection to a pod costs with five thousand nodes: as it was,
// when each looked through them all, and as they are followed.
func BenchmarkOf(b *testing.B) {
	var all cluster
	for i := range 5000 {
		all = append(all, node(fmt.Sprintf("node-%04d", i), fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)))
	}
	ip := netip.MustParseAddr("10.19.100.7")
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%t", followed), func(b *testing.B) {
			a := agents(all)
			if followed {
				a.Replace(b.Context(), &registry.List{Items: all})
			}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := a.Of(b.Context(), ip); err != nil || got == nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}

package nodeipam

import (
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func nodeOf(name, cidr string) *corev1.Node {
	n := &corev1.Node{}
	n.Name, n.Spec.PodCIDR = name, cidr
	return n
}

func TestAllocate(t *testing.T) {
	for _, tc := range []struct {
		name, config string
		others       []string // ranges of other nodes
		want         string   // "" when there is none left
	}{
		{"the first", ``, nil, "10.244.0.0/24"},
		{"the first that is free", ``, []string{"10.244.0.0/24", "10.244.2.0/24"}, "10.244.1.0/24"},
		{"beside a larger range", ``, []string{"10.244.0.0/22"}, "10.244.4.0/24"},
		{"beside a smaller range", ``, []string{"10.244.0.128/26"}, "10.244.1.0/24"},
		{"others' nonsense is no range", ``, []string{"", "nonsense", "fd00::/64"}, "10.244.0.0/24"},
		{"configured", `{"clusterCIDR":"192.168.0.7/22","nodeMask":26}`, []string{"192.168.0.0/26"}, "192.168.0.64/26"},
		{"used up", `{"clusterCIDR":"10.0.0.0/24","nodeMask":25}`, []string{"10.0.0.0/25", "10.0.0.128/25"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := newAllocator([]byte(tc.config))
			if err != nil {
				t.Fatal(err)
			}
			objects := []client.Object{nodeOf("new", "")}
			for i, cidr := range tc.others {
				objects = append(objects, nodeOf(string(rune('a'+i)), cidr))
			}
			s, err := sdktest.NewStore(objects...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.reconcile(s.Client(), controller.Request{Name: "new"})
			if (err == nil) != (tc.want != "") {
				t.Errorf("reconcile: %v", err)
			}
			got := &corev1.Node{}
			if err := s.Client().Get(got, "", "new"); err != nil {
				t.Fatal(err)
			}
			if got.Spec.PodCIDR != tc.want || tc.want != "" && (len(got.Spec.PodCIDRs) != 1 || got.Spec.PodCIDRs[0] != tc.want) {
				t.Errorf("range = %q, %v, want %q", got.Spec.PodCIDR, got.Spec.PodCIDRs, tc.want)
			}
			if _, err := a.reconcile(s.Client(), controller.Request{Name: "new"}); tc.want != "" && err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// One allocator serves all nodes: what it remembers of a list must not outlive
// the nodes.
func TestRangesComeAndGo(t *testing.T) {
	a, err := newAllocator([]byte(`{"clusterCIDR":"10.0.0.0/22"}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sdktest.NewStore(nodeOf("a", ""), nodeOf("b", "10.0.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		gone, name, want string
	}{
		{"", "a", "10.0.1.0/24"},
		{"", "c", "10.0.2.0/24"},
		{"b", "d", "10.0.0.0/24"},
		{"", "e", "10.0.3.0/24"},
		{"c", "f", "10.0.2.0/24"},
	} {
		if step.gone != "" {
			if err := s.Client().Delete(nodeOf(step.gone, ""), client.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if step.name != "a" {
			if err := s.Client().Create(nodeOf(step.name, "")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.reconcile(s.Client(), controller.Request{Name: step.name}); err != nil {
			t.Errorf("node %s: %v", step.name, err)
		}
		got := &corev1.Node{}
		if err := s.Client().Get(got, "", step.name); err != nil || got.Spec.PodCIDR != step.want {
			t.Errorf("node %s has %q, %v, want %q", step.name, got.Spec.PodCIDR, err, step.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, config := range []string{`{`, `{"clusterCIDR":"x"}`, `{"clusterCIDR":"fd00::/64"}`, `{"nodeMask":8}`, `{"nodeMask":31}`} {
		if _, err := newAllocator([]byte(config)); err == nil {
			t.Errorf("config %s is accepted", config)
		}
	}
}

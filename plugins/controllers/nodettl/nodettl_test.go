package nodettl

import (
	"fmt"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// TestDesired is upstream's table of sizes, and what nodes keep between two steps.
func TestDesired(t *testing.T) {
	for _, c := range []struct {
		nodes int
		have  map[string]int
		want  string
	}{
		{0, nil, "0"}, {1, nil, "0"}, {100, nil, "0"}, {101, nil, "15"}, {500, nil, "15"}, {501, nil, "30"}, {1001, nil, "60"}, {2001, nil, "300"}, {1_000_000, nil, "300"},
		{95, map[string]int{"0": 95}, "0"}, {95, map[string]int{"15": 95}, "15"}, {89, map[string]int{"15": 89}, "0"}, {101, map[string]int{"0": 101}, "15"},
		{1900, map[string]int{"300": 1900}, "300"}, {1799, map[string]int{"300": 1799}, "60"},
		{95, map[string]int{"0": 40, "15": 55}, "15"}, {95, map[string]int{"": 95}, "0"}, {95, map[string]int{"7": 95}, "0"},
	} {
		if got := desired(c.have, c.nodes); got != c.want {
			t.Errorf("%d nodes that have %v: %q, want %q", c.nodes, c.have, got, c.want)
		}
	}
}

// TestReconcile: all nodes get the value, some at a time, and those that have it are not
// written.
func TestReconcile(t *testing.T) {
	var have []client.Object
	for i := range 501 {
		n := &corev1.Node{}
		n.Name = fmt.Sprint("n", i)
		if i == 0 {
			n.Annotations = map[string]string{annotation: "30", "a/b": "c"}
		}
		have = append(have, n)
	}
	s, err := sdktest.NewStore(have...)
	if err != nil {
		t.Fatal(err)
	}
	version := func(name string) string {
		n := &corev1.Node{}
		if err := s.Client().Get(n, "", name); err != nil {
			t.Fatal(err)
		}
		if n.Annotations[annotation] != "30" {
			t.Errorf("%s has %q", name, n.Annotations[annotation])
		}
		return n.ResourceVersion
	}
	before := version("n0")
	q := controller.Request{Name: everyone}
	for round := 1; ; round++ {
		res, err := reconcile(s.Client(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Enqueue) == 0 {
			if round != 3 {
				t.Errorf("it took %d rounds", round)
			}
			break
		}
	}
	for i := range 501 {
		version(fmt.Sprint("n", i))
	}
	if version("n0") != before {
		t.Error("a node that has the value was written")
	}
}

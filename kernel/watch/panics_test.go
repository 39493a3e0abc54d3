package watch_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// A kind whose hooks panic at an object keeps neither the others back nor the
// server: the cache's goroutines serve everybody.
func TestHooksPanic(t *testing.T) {
	s := memory.New()
	for i := range 200 { // enough for several goroutines
		put(t, s, pod("ns", fmt.Sprint("p", i), "n1", nil))
	}
	put(t, s, pod("ns", "bad", "n1", nil))
	tab := table()
	tab.Definitions[0].Strategy.Fields = func(obj runtime.Object) fields.Set {
		p := obj.(*corev1.Pod)
		if p.Name == "odd" {
			panic("fields")
		}
		return fields.Set{"spec.nodeName": p.Spec.NodeName}
	}
	c := run(t, watch.Config{Store: s, Catalog: resource.NewCatalog(tab), Decode: func(d *resource.Definition, value []byte, rev int64) (runtime.Object, error) {
		obj, err := decode(d, value, rev)
		if err == nil && obj.(*corev1.Pod).Name == "bad" {
			panic("decoded")
		}
		return obj, err
	}})
	if n := c.Snapshot(pods).Len(""); n != 200 {
		t.Errorf("%d pods", n)
	}
	failures := c.Undecodable()
	if len(failures) != 1 || !strings.Contains(failures[0].Err.Error(), "panic: decoded") {
		t.Errorf("failures %+v", failures)
	}
	w, err := c.Watch(pods, 0, watch.Filter{Field: "spec.nodeName", Value: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	put(t, s, pod("ns", "odd", "n1", nil))
	put(t, s, pod("ns", "even", "n1", nil))
	catchUp(t, s, c)
	got, err := available(w)
	if err != nil || len(got) == 0 || got[len(got)-1].Object.Name != "even" {
		t.Errorf("told %d events, %v", len(got), err)
	}
}

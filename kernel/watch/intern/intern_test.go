package intern

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func withFields(sets ...string) *corev1.Pod {
	p := &corev1.Pod{}
	for i, s := range sets {
		p.ManagedFields = append(p.ManagedFields, metav1.ManagedFieldsEntry{Manager: fmt.Sprint("m", i), FieldsV1: metav1.NewFieldsV1(s)})
	}
	return p
}

// Objects that have a set in common share it, whoever came first; each keeps
// its own entries.
func TestFieldSets(t *testing.T) {
	var a FieldSets
	long, other, short := strings.Repeat("a", 500), strings.Repeat("b", 500), "c"
	first, second := withFields(long, short), withFields(other, long, short)
	before := second.DeepCopy()
	entries := second.ManagedFields
	a.Share(first)
	a.Share(second)
	if second.ManagedFields[1].FieldsV1 != first.ManagedFields[0].FieldsV1 {
		t.Error("the common set is there twice")
	}
	if second.ManagedFields[2].FieldsV1 == first.ManagedFields[1].FieldsV1 {
		t.Error("a set that is not worth it is shared")
	}
	if fmt.Sprint(second.ManagedFields) != fmt.Sprint(before.ManagedFields) {
		t.Error("the entries changed")
	}
	if entries[1].FieldsV1 == first.ManagedFields[0].FieldsV1 {
		t.Error("entries that another object may have were written to")
	}
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{}}}
	a.Share(u) // has no entries of its own
	a.Share(&metav1.Status{})
}

// What is remembered is bounded, and what is met again and again stays.
func TestFieldSetsForget(t *testing.T) {
	var a FieldSets
	common := strings.Repeat("x", 1000)
	first := withFields(common)
	a.Share(first)
	for i := range 10_000 {
		a.Share(withFields(strings.Repeat("y", 1000) + fmt.Sprint(i)))
		if i%20 == 0 {
			again := withFields(common)
			if a.Share(again); again.ManagedFields[0].FieldsV1 != first.ManagedFields[0].FieldsV1 {
				t.Fatalf("forgotten after %d others though it was met", i)
			}
		}
		n := 0
		for _, m := range []map[string]*metav1.FieldsV1{a.now, a.old} {
			for raw := range m {
				n += 2 * len(raw)
			}
		}
		if n > 2*alikeBytes+2*mostAlike*2 {
			t.Fatalf("%d bytes are remembered", n)
		}
	}
}

func BenchmarkFieldSets(b *testing.B) {
	var a FieldSets
	sets := []string{strings.Repeat("a", 550), strings.Repeat("b", 700), strings.Repeat("c", 300)}
	a.Share(withFields(sets...))
	p := withFields(sets...)
	entries := p.ManagedFields
	b.ReportAllocs()
	for b.Loop() {
		p.ManagedFields = entries
		a.Share(p)
	}
}

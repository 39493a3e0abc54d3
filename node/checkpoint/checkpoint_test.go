package checkpoint_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/resize"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "allocations")
	s := checkpoint.New(dir)
	if r, err := s.Load("u"); r != nil || err != nil {
		t.Fatalf("got %v, %v", r, err)
	}
	if err := s.Remove("u"); err != nil {
		t.Error(err)
	}
	has := corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}
	r := &resize.Record{Allocated: resize.Allocation{Pod: &has, Containers: map[string]corev1.ResourceRequirements{"a": has}}, Applying: true,
		Group: cgroup.Limits{Memory: 5}, Resized: map[string]corev1.ResourceRequirements{"id": has}, Replaced: []string{"x"}}
	if err := s.Save("u", r); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load("u")
	if err != nil || !cmp.Equal(got, r) {
		t.Errorf("%v %s", err, cmp.Diff(r, got))
	}
	// What an agent leaves that is killed while it writes is known, too, and
	// hides nothing.
	for _, name := range []string{".v.json1234", ".u.json5678", "w.json.new"} { // the last by an older agent
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if err := s.Sweep(func(uid types.UID) bool { return uid == "u" }); err != nil {
		t.Error(err)
	}
	if got := left(); !slices.Equal(got, []string{".u.json5678", "u.json"}) {
		t.Errorf("with pod u alone there is %v", got)
	}
	if err := s.Remove("u"); err != nil {
		t.Error(err)
	}
	if got := left(); !slices.Equal(got, []string{".u.json5678"}) {
		t.Errorf("pod u was removed, there is %v", got)
	}
	if err := s.Sweep(func(types.UID) bool { return false }); err != nil {
		t.Error(err)
	}
	if got := left(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "w.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("w"); err == nil {
		t.Error("a broken record was read")
	}
}

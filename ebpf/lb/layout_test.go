package lb_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/ebpf/bpf"
	"github.com/pintle-io/pintle/ebpf/lb"
)

var update = flag.Bool("update", false, "write the entries of this layout as they are")

// TestLayoutIsThatOfItsVersion: an agent finds the pinned maps of the one before under
// the layout's version, so what an entry of a version looks like is fixed. One that
// changes needs the next layout, and a package beside layout1 that reads this one's;
// then -update writes the file of the new version.
func TestLayoutIsThatOfItsVersion(t *testing.T) {
	spec, err := bpf.LoadLB()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var format btf.GoFormatter
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		m := spec.Maps[name]
		if name[0] == '.' { // .rodata
			continue
		}
		fmt.Fprintf(&b, "%s %s\n", name, m.Type)
		for part, typ := range []btf.Type{m.Key, m.Value} {
			if typ == nil {
				continue
			}
			text, err := format.TypeDeclaration([]string{"key", "value"}[part], typ)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fmt.Fprintf(&b, "\t%s\n", text)
		}
	}
	file := filepath.Join("testdata", "layout-"+lb.Layout+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the entries are not those of layout %s, whose maps agents find (-want +got):\n%s", lb.Layout, diff)
	}
}

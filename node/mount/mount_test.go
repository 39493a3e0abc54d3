package mount

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBelow(t *testing.T) {
	const info = `22 1 0:21 / /proc rw - proc proc rw
30 22 0:1 / /a rw - tmpfs x rw
31 30 0:2 / /a/b rw - tmpfs x rw
32 31 0:3 / /a/b/c\040d rw shared:1 - tmpfs x rw
33 31 0:4 / /a/b rw - tmpfs x rw
34 22 0:5 / /ab rw - tmpfs x rw
`
	want := []string{"/a/b/c d", "/a/b", "/a/b", "/a"}
	if d := cmp.Diff(want, below([]byte(info), "/a")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := below([]byte(info), "/none"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

package lb

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
)

var errForeign, errKernel = errors.New("another layout"), errors.New("the kernel refuses")

// left are the maps of a layout that some version left.
type left struct {
	name  string
	fails string // what it is asked for
	said  *[]string
}

func (l *left) do(what string) error {
	what += " " + l.name
	*l.said = append(*l.said, what)
	if what == l.fails {
		return errKernel
	}
	return nil
}

func (l *left) CopyTables(*bpf.LBMaps) error { return l.do("tables") }
func (l *left) CopyLive(*bpf.LBMaps) error   { return l.do("live") }
func (l *left) CopyPeers(*bpf.LBMaps) error {
	_ = l.do("peers")
	return fmt.Errorf("no iterator: %w", attach.ErrNotSupported)
}
func (l *left) Frontends() *ebpf.Map { return nil }
func (l *left) Close() error         { return l.do("close") }

// TestPredecessors: versions of several layouts before this one may have left
// maps. Services are taken from the newest whose programs run, what clients have
// from all of those, and in the end no pin of any is there.
func TestPredecessors(t *testing.T) {
	for name, c := range map[string]struct {
		there string // names, newest first; with ! it cannot be read
		runs  string
		fails string
		want  string // what was asked for
		none  bool
		err   bool
	}{
		"nobody":              {none: true},
		"the last":            {there: "v2", runs: "v2", want: "tables v2, live v2, peers v2, close v2, remove v2, remove v1"},
		"the one before":      {there: "v1", runs: "v1", want: "tables v1, live v1, peers v1, close v1, remove v2, remove v1"},
		"that does not run":   {there: "v1", want: "tables v1, live v1, peers v1, close v1, remove v2, remove v1"},
		"a takeover cut off":  {there: "v2 v1", runs: "v2 v1", want: "tables v2, live v2, live v1, peers v2, peers v1, close v2, close v1, remove v2, remove v1"},
		"half made":           {there: "v2 v1", runs: "v1", want: "close v2, tables v1, live v1, peers v1, close v1, remove v2, remove v1"},
		"not cleared away":    {there: "v2 v1", runs: "v2", want: "close v1, tables v2, live v2, peers v2, close v2, remove v2, remove v1"},
		"neither runs":        {there: "v2 v1", want: "close v1, tables v2, live v2, peers v2, close v2, remove v2, remove v1"},
		"unreadable":          {there: "!v1", want: "remove v2, remove v1"},
		"the newer one is so": {there: "!v2 v1", runs: "v1", want: "tables v1, live v1, peers v1, close v1, remove v2, remove v1"},
		"a copy that fails":   {there: "v2 v1", runs: "v2 v1", fails: "live v1", want: "tables v2, live v2, live v1", err: true},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			present, before := strings.Fields(c.there), olderLayouts
			defer func() { olderLayouts = before }()
			olderLayouts = nil
			for _, name := range []string{"v2", "v1"} {
				olderLayouts = append(olderLayouts, olderLayout{func(string) (older, error) {
					for _, is := range present {
						switch is {
						case name:
							return &left{name: name, fails: c.fails, said: &said}, nil
						case "!" + name:
							return nil, errForeign
						}
					}
					return nil, os.ErrNotExist
				}, func(string) error { said = append(said, "remove "+name); return nil }, errForeign})
			}
			p := &predecessor{}
			any, err := p.open()
			if err != nil || any == c.none {
				t.Fatalf("there is somebody: %v, %v", any, err)
			}
			if c.none {
				return
			}
			p.maps, err = living(p.maps, func(m older) (bool, error) { return strings.Contains(c.runs, m.(*left).name), nil })
			if err != nil {
				t.Fatal(err)
			}
			to := takeover{old: p}
			err = p.tables(nil)
			for _, step := range []func() error{to.copyLive, to.copyPeers, p.close, p.remove} {
				if err == nil {
					err = step()
				}
			}
			if (err != nil) != c.err {
				t.Errorf("got %v", err)
			}
			if got := strings.Join(said, ", "); got != c.want {
				t.Errorf("asked for %s, want %s", got, c.want)
			}
		})
	}
}

// TestPredecessorsUnknown: maps that neither are there nor are of another layout,
// but cannot be opened, end the start; nothing of them is removed.
func TestPredecessorsUnknown(t *testing.T) {
	before := olderLayouts
	defer func() { olderLayouts = before }()
	olderLayouts = []olderLayout{{func(string) (older, error) { return nil, errKernel }, nil, errForeign}}
	if p, err := findPredecessor(&Config{}, nil); p != nil || !errors.Is(err, errKernel) {
		t.Errorf("got %v, %v", p, err)
	}
}

package cri

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/state"
)

func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		}
	}
	return b
}

func envelope(container, process string) []byte {
	exit := message(1, container, 2, process, 3, 4711, 4, 137)
	return message(1, message(1, 1700000000), 2, "k8s.io", 3, "/tasks/exit", 4, message(1, "containerd.events.TaskExit", 2, exit))
}

func TestMainProcess(t *testing.T) {
	if id, ok := mainProcess(envelope("c1", "c1")); !ok || id != "c1" {
		t.Errorf("main process: got %q %t", id, ok)
	}
	if id, ok := mainProcess(envelope("c1", "probe-1")); ok {
		t.Errorf("a command in the container: got %q", id)
	}
	for _, b := range [][]byte{nil, {0xff}, envelope("c1", "c1")[:20]} {
		if _, ok := mainProcess(b); ok {
			t.Errorf("%x: taken for an event", b)
		}
	}
}

func FuzzMainProcess(f *testing.F) {
	f.Add(envelope("c1", "c1"))
	f.Fuzz(func(t *testing.T, b []byte) { mainProcess(b) })
}

func TestDiff(t *testing.T) {
	pod := func(ready bool, phases ...state.Phase) *state.Pod {
		p := &state.Pod{Sandboxes: []state.Sandbox{{ID: "s", Ready: ready}}}
		for i, ph := range phases {
			p.Containers = append(p.Containers, state.Container{ID: string(rune('a' + i)), Phase: ph})
		}
		return p
	}
	one := map[types.UID]*state.Pod{"u": pod(true, state.Running), "v": pod(true)}
	for name, c := range map[string]struct {
		next map[types.UID]*state.Pod
		want int
	}{
		"nothing":       {one, 0},
		"exit":          {map[types.UID]*state.Pod{"u": pod(true, state.Exited), "v": pod(true)}, 1},
		"sandbox died":  {map[types.UID]*state.Pod{"u": pod(false, state.Running), "v": pod(true)}, 1},
		"new container": {map[types.UID]*state.Pod{"u": pod(true, state.Running, state.Created), "v": pod(true)}, 1},
		"gone":          {map[types.UID]*state.Pod{"u": pod(true, state.Running)}, 1},
		"another":       {map[types.UID]*state.Pod{"u": pod(true, state.Running), "v": pod(true), "w": pod(true)}, 1},
	} {
		told := 0
		w := NewWatcher(nil, func(types.UID) { told++ }, nil)
		changed := w.diff(fingerprints(one), fingerprints(c.next))
		if told != c.want || changed != (c.want > 0) {
			t.Errorf("%s: told of %d, want %d", name, told, c.want)
		}
	}
}

func TestConnect(t *testing.T) {
	for _, e := range []string{"", "tcp://x", "unix://relative", "/run/x.sock"} {
		if _, err := Connect(e); err == nil {
			t.Errorf("%q: no error", e)
		}
	}
	c, err := Connect("unix:///nowhere/at/all.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Version(t.Context()); !IsUnavailable(err) || isNotFound(err) {
		t.Errorf("got %v", err)
	}
}

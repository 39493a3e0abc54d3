package watch_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

var update = flag.Bool("update", false, "write what the scenarios answer into their files")

// TestScenarios runs testdata/*.txtar: the file "in" is a list of commands,
// "out" is what they print. The commands are the methods of scenario.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			// Time in the bubble passes when everybody waits.
			synctest.Test(t, func(t *testing.T) { got = newScenario(t, archive.Files[0].Data).run() })
			if *update {
				archive.Files = []txtar.File{archive.Files[0], {Name: "out", Data: []byte(got)}}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(archive.Files) != 2 {
				t.Fatal("no expected output")
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type scenario struct {
	t        *testing.T
	lines    []string
	store    *faulty
	cache    *watch.Cache
	watchers map[string]*watch.Watcher
	held     map[string]watch.Snapshot
	txn      []store.Op // being collected
	inTxn    bool
	out      strings.Builder
}

func newScenario(t *testing.T, in []byte) *scenario {
	s := &scenario{
		t: t, store: &faulty{Store: memory.New()},
		watchers: map[string]*watch.Watcher{}, held: map[string]watch.Snapshot{},
	}
	t.Cleanup(func() { s.store.Close() })
	for line := range strings.Lines(string(in)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			s.lines = append(s.lines, line)
		}
	}
	return s
}

func (s *scenario) run() string {
	for _, line := range s.lines {
		fmt.Fprintf(&s.out, "> %s\n", line)
		words := strings.Fields(line)
		args := parseArgs(words[1:])
		switch words[0] {
		case "start":
			s.start(args)
		case "put", "delete", "raw", "begin", "end":
			s.write(words[0], args)
		case "watch":
			s.watch(args)
		case "read":
			s.read(args.words[0])
		case "stop":
			s.watchers[args.words[0]].Stop()
		case "hold":
			s.held[args.words[0]] = s.cache.Snapshot(gr(args.words[1]))
		case "list":
			s.list(args)
		case "get":
			s.get(args)
		case "tick":
			s.tick(args.int("seconds", 60))
		case "interrupt":
			s.interrupt(args.words[0])
		case "status":
			s.status()
		default:
			s.t.Fatalf("unknown command %q", line)
		}
	}
	return s.out.String()
}

// args are words and key=value pairs.
type args struct {
	words []string
	pairs map[string]string
}

func parseArgs(in []string) args {
	a := args{pairs: map[string]string{}}
	for _, w := range in {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.pairs[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a args) int(key string, otherwise int) int {
	if n, err := strconv.Atoi(a.pairs[key]); err == nil {
		return n
	}
	return otherwise
}

func (a args) has(word string) bool {
	for _, w := range a.words {
		if w == word {
			return true
		}
	}
	return false
}

func gr(resource string) schema.GroupResource { return schema.ParseGroupResource(resource) }

// start [history=N] [queue=N]: starts the cache.
func (s *scenario) start(a args) {
	s.cache = run(s.t, watch.Config{
		Store: s.store, History: a.int("history", 0), Queue: a.int("queue", 0),
	})
	fmt.Fprintf(&s.out, "ready at %d\n", s.cache.Revision())
}

// put RESOURCE/[NAMESPACE/]NAME [node=N] [app=A] | delete … | raw KEY [value=V],
// singly or between begin and end: one transaction.
func (s *scenario) write(verb string, a args) {
	op := store.Op{Expect: store.Any}
	switch verb {
	case "begin":
		s.inTxn = true
		return
	case "end":
		s.inTxn = false
		s.commit()
		return
	case "raw":
		op.Key, op.Value = a.words[0], []byte(a.pairs["value"])
	default:
		resource, name, _ := strings.Cut(a.words[0], "/")
		op.Key = prefixes[resource] + name
		if verb == "put" {
			namespace, name, ok := strings.Cut(name, "/")
			if !ok {
				namespace, name = "", namespace
			}
			op.Value = encode(s.t, pod(namespace, name, a.pairs["node"], map[string]string{"app": a.pairs["app"]}))
		}
	}
	if s.txn = append(s.txn, op); !s.inTxn {
		s.commit()
	}
}

func (s *scenario) commit() {
	rev := commit(s.t, s.store, s.txn...)
	s.txn = nil
	if s.cache != nil {
		catchUp(s.t, s.store, s.cache)
	}
	fmt.Fprintf(&s.out, "revision %d\n", rev)
}

// watch ID RESOURCE [after=N] [ns=N] [name=N] [node=N] [app=A] [initial] [bookmarks] [partial].
func (s *scenario) watch(a args) {
	o := watch.WatchOptions{
		After:   int64(a.int("after", 0)),
		Filter:  watch.Filter{Namespace: a.pairs["ns"], Name: a.pairs["name"]},
		Initial: a.has("initial"), Bookmarks: a.has("bookmarks"), Partial: a.has("partial"),
	}
	if node, ok := a.pairs["node"]; ok {
		o.Filter.Field, o.Filter.Value = "spec.nodeName", node
	}
	if app, ok := a.pairs["app"]; ok {
		o.Filter.Match = label("app", app)
	}
	w, err := s.cache.WatchWith(gr(a.words[1]), o)
	if err != nil {
		fmt.Fprintf(&s.out, "%v\n", err)
		return
	}
	s.watchers[a.words[0]] = w
}

// read ID: prints what the watcher can read now.
func (s *scenario) read(id string) {
	w := s.watchers[id]
	got, err := available(w)
	for _, e := range got {
		s.print(e)
	}
	if err != nil {
		fmt.Fprintf(&s.out, "ended: %v (Err: %v)\n", err, w.Err())
	}
}

func (s *scenario) print(e watch.Event) {
	fmt.Fprintf(&s.out, "%d %s", e.Revision, e.Type)
	if e.InitialEnd {
		fmt.Fprint(&s.out, " initial-end")
	}
	if e.Object != nil {
		fmt.Fprintf(&s.out, " %s", describe(e.Object))
		if got, want := e.Object.Obj.(*corev1.Pod).ResourceVersion, strconv.FormatInt(e.Object.Revision, 10); got != want {
			s.t.Errorf("object of revision %s says %s", want, got)
		}
		if e.Object.Revision != e.Revision {
			s.t.Errorf("event of revision %d carries an object of %d", e.Revision, e.Object.Revision)
		}
	}
	if e.Prev != nil {
		fmt.Fprintf(&s.out, " (was %d)", e.Prev.Revision)
	}
	fmt.Fprintln(&s.out)
}

func describe(o *watch.Object) string {
	p := o.Obj.(*corev1.Pod)
	out := o.Name
	if o.Namespace != "" {
		out = o.Namespace + "/" + o.Name
	}
	if p.Spec.NodeName != "" {
		out += " node=" + p.Spec.NodeName
	}
	if p.Labels["app"] != "" {
		out += " app=" + p.Labels["app"]
	}
	return out
}

// list RESOURCE|HELD [ns=N] [after=KEY] [limit=N]: prints a snapshot.
func (s *scenario) list(a args) {
	snapshot, ok := s.held[a.words[0]]
	if !ok {
		snapshot = s.cache.Snapshot(gr(a.words[0]))
	}
	fmt.Fprintf(&s.out, "%d of %d at %d\n", snapshot.Len(a.pairs["ns"]), snapshot.Len(""), snapshot.Revision())
	limit := a.int("limit", -1)
	snapshot.Ascend(a.pairs["ns"], a.pairs["after"], func(o *watch.Object) bool {
		if limit--; limit == -1 {
			return false
		}
		fmt.Fprintf(&s.out, "%d %s\n", o.Revision, describe(o))
		return true
	})
}

// get RESOURCE [NAMESPACE] NAME.
func (s *scenario) get(a args) {
	namespace, name := "", a.words[1]
	if len(a.words) > 2 {
		namespace, name = a.words[1], a.words[2]
	}
	o := s.cache.Get(gr(a.words[0]), namespace, name)
	if from := s.cache.Snapshot(gr(a.words[0])).Get(namespace, name); from != o {
		s.t.Errorf("cache and snapshot differ: %v, %v", o, from)
	}
	if o == nil {
		fmt.Fprintln(&s.out, "none")
		return
	}
	fmt.Fprintf(&s.out, "%d %s\n", o.Revision, describe(o))
}

// tick [seconds=N]: lets time pass.
func (s *scenario) tick(seconds int) {
	time.Sleep(time.Duration(seconds) * time.Second)
	synctest.Wait()
}

// interrupt unavailable|compacted: ends the store's watch and waits until the
// cache has taken it up again.
func (s *scenario) interrupt(how string) {
	before := s.store.opened()
	s.store.interrupt(map[string]error{"unavailable": store.ErrUnavailable, "compacted": store.ErrCompacted}[how])
	s.tick(1)
	if s.store.opened() == before {
		s.t.Fatal("the cache does not watch again")
	}
	catchUp(s.t, s.store, s.cache)
}

// status prints the counters.
func (s *scenario) status() {
	st := s.cache.Stats()
	fmt.Fprintf(&s.out, "revision %d, watchers %d, slow %d, loads %d\n", st.Revision, st.Watchers, st.Slow, st.Loads)
	var held []string
	for gr, n := range st.Objects {
		held = append(held, fmt.Sprintf("%s %d", gr, n))
	}
	sort.Strings(held)
	fmt.Fprintf(&s.out, "objects: %s\n", strings.Join(held, ", "))
	for _, f := range s.cache.Undecodable() {
		if f.Err == nil || errors.Is(f.Err, context.Canceled) {
			s.t.Errorf("%+v", f)
		}
		fmt.Fprintf(&s.out, "undecodable: %s %s at %d\n", f.Resource, f.Key, f.Revision)
	}
}

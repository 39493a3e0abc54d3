package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/audit/backend"
)

// fixture is what backends are made of, and shows what they say.
type fixture struct {
	clock *testclock.FakeClock
	lost  *prometheus.CounterVec
	said  *bytes.Buffer
	mu    *sync.Mutex // of said
}

func newFixture() *fixture {
	return &fixture{clock: testclock.NewFakeClock(time.Unix(0, 0)), said: &bytes.Buffer{}, mu: &sync.Mutex{},
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lost_total"}, []string{"plugin"})}
}

func (f *fixture) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said.Write(p)
}

func (f *fixture) health(name string) *backend.Health {
	return backend.NewHealth(name, f.lost, slog.New(slog.NewTextHandler(f, nil)), f.clock)
}

// lines are what was said at a level.
func (f *fixture) lines(level string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Count(f.said.String(), "level="+level)
}

func (f *fixture) lostBy(name string) float64 {
	return testutil.ToFloat64(f.lost.WithLabelValues(name))
}

func event(id string) *auditinternal.Event {
	return &auditinternal.Event{AuditID: types.UID(id), Level: auditinternal.LevelRequest, Stage: auditinternal.StageResponseComplete}
}

// sink keeps what it is given; it waits for a turn if it has turns.
type sink struct {
	turns chan struct{}
	mu    sync.Mutex
	sizes []int
	ids   []string
	came  chan struct{}
	fails bool
}

func (s *sink) ProcessEvents(events ...*auditinternal.Event) bool {
	if s.turns != nil {
		<-s.turns
	}
	s.mu.Lock()
	s.sizes = append(s.sizes, len(events))
	for _, ev := range events {
		s.ids = append(s.ids, string(ev.AuditID))
	}
	s.mu.Unlock()
	if s.came != nil {
		s.came <- struct{}{}
	}
	return !s.fails
}

func (s *sink) Close() error { return nil }

// disk is a file that may be full after some bytes.
type disk struct {
	bytes.Buffer
	room int
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func (d *disk) Close() error { return nil }

// A full disk loses events, says so once, and leaves no line that spoils the next.
func TestLogOnAFullDisk(t *testing.T) {
	f := newFixture()
	d := &disk{room: 1 << 20}
	l := backend.NewLog(d, backend.FormatJSON, f.health(backend.LogName))
	if !l.ProcessEvents(event("a")) {
		t.Error("the first was lost")
	}
	d.room = 20
	for i := range 5 {
		if l.ProcessEvents(event(fmt.Sprint("lost", i))) {
			t.Error("an event that was lost counts as written")
		}
	}
	if n := f.lines("WARN"); n != 1 || f.lostBy("log") != 5 {
		t.Errorf("%d warnings, %v lost", n, f.lostBy("log"))
	}
	d.room = 1 << 20
	if !backend.Lenient(l).ProcessEvents(event("b")) || f.lines("INFO") != 0 {
		t.Error("said too early that it is over")
	}
	f.clock.Step(11 * time.Second)
	if !l.ProcessEvents(event("c")) || f.lines("INFO") != 1 || !strings.Contains(f.said.String(), "lost=5") {
		t.Errorf("said %s", f.said)
	}
	var ids []string
	for line := range strings.Lines(d.String()) {
		var ev struct{ AuditID, Kind, APIVersion string }
		if err := json.Unmarshal([]byte(line), &ev); err == nil && ev.Kind == "Event" && ev.APIVersion == "audit.k8s.io/v1" {
			ids = append(ids, ev.AuditID)
		}
	}
	if got := strings.Join(ids, " "); got != "a b c" {
		t.Errorf("events %s in\n%s", got, d)
	}
}

func TestLenient(t *testing.T) {
	s := &sink{fails: true}
	if s.ProcessEvents(event("a")) || !backend.Lenient(s).ProcessEvents(event("b")) || (backend.Union{backend.Lenient(s), s}).ProcessEvents(event("c")) {
		t.Error("who may know of a loss")
	}
}

func TestLegacyFormat(t *testing.T) {
	d := &disk{room: 1 << 20}
	l := backend.NewLog(d, backend.FormatLegacy, newFixture().health(backend.LogName))
	if !l.ProcessEvents(event("a")) || !strings.Contains(d.String(), ` AUDIT: id="a" stage="ResponseComplete"`) || !strings.HasSuffix(d.String(), "\n") {
		t.Errorf("%q", d)
	}
}

// A file is put aside at its size, and as many as are asked for are kept.
func TestRotation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	out, err := backend.File{Path: filepath.Join(dir, "audit.log"), MaxSize: 1, MaxBackups: 2}.Open()
	if err != nil {
		t.Fatal(err)
	}
	l := backend.NewLog(out, backend.FormatJSON, newFixture().health(backend.LogName))
	large := event("large")
	large.RequestObject = &runtime.Unknown{Raw: []byte(`"` + strings.Repeat("x", 600<<10) + `"`), ContentType: runtime.ContentTypeJSON}
	for i := range 5 {
		if !l.ProcessEvents(large) {
			t.Fatalf("event %d was lost", i)
		}
		time.Sleep(2 * time.Millisecond) // their names are times
	}
	for range 500 { // old ones are removed beside
		if names, _ := filepath.Glob(dir + "/audit-*.log"); len(names) == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v, want audit.log and two more", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 1<<20 {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
	}
	if l.ProcessEvents(event("late")) {
		t.Error("an event after the end counts as written")
	}
}

func TestFileWithoutRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for range 2 { // it is continued
		out, err := backend.File{Path: path}.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, "x\n"); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "x\nx\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := (backend.File{Path: path + "/below"}).Open(); err == nil {
		t.Error("a file was made a directory")
	}
}

func TestTruncate(t *testing.T) {
	f := newFixture()
	s := &sink{}
	body := func(ev *auditinternal.Event, n int) *auditinternal.Event {
		ev.RequestObject = &runtime.Unknown{Raw: []byte(`"` + strings.Repeat("x", n) + `"`), ContentType: runtime.ContentTypeJSON}
		return ev
	}
	truncate := &backend.Truncate{Next: s, MaxEvent: 1000, MaxBatch: 1500, Health: f.health(backend.TruncateName)}
	large := body(event("large"), 2000)
	tall := event("tall")
	tall.UserAgent = strings.Repeat("x", 2000)
	metadata := event("metadata")
	metadata.Level, metadata.UserAgent = auditinternal.LevelMetadata, tall.UserAgent
	if !truncate.ProcessEvents(body(event("a"), 600), body(event("b"), 600), large, tall, metadata, event("c")) {
		t.Error("a loss is not the caller's affair")
	}
	if got := strings.Join(s.ids, " "); got != "a b large c" || fmt.Sprint(s.sizes) != "[1 3]" {
		t.Errorf("events %s in batches of %v", got, s.sizes)
	}
	if f.lostBy("truncate") != 2 || f.lines("WARN") != 1 {
		t.Errorf("%v lost, %d warnings", f.lostBy("truncate"), f.lines("WARN"))
	}
	if large.RequestObject == nil || large.Annotations != nil {
		t.Error("the caller's event was changed")
	}
}

func TestBufferGathers(t *testing.T) {
	f := newFixture()
	s := &sink{came: make(chan struct{}, 10)}
	stop, cancel := context.WithCancel(t.Context())
	b := backend.NewBuffer(s, backend.BufferConfig{Size: 100, BatchSize: 3, BatchWait: time.Second, Senders: 1, Stop: stop, Clock: f.clock, Health: f.health(backend.BufferName)})
	b.ProcessEvents(event("a"), event("b"), event("c"), event("d"))
	<-s.came
	for !f.clock.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	f.clock.Step(time.Second) // d waits no longer
	<-s.came
	b.ProcessEvents(event("e"))
	cancel()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(s.ids, " "); got != "a b c d e" || fmt.Sprint(s.sizes) != "[3 1 1]" {
		t.Errorf("%s in batches of %v", got, s.sizes)
	}
	if !b.ProcessEvents(event("late")) || f.lostBy("buffered") != 1 {
		t.Error("what comes after the end is lost, and counted")
	}
}

// A backend that does not take events blocks nobody: what there is no room for is
// lost, and told once.
func TestBufferIsFull(t *testing.T) {
	f := newFixture()
	s := &sink{turns: make(chan struct{})}
	b := backend.NewBuffer(s, backend.BufferConfig{Size: 10, BatchSize: 1, Senders: 1, Stop: t.Context(), Clock: f.clock, Health: f.health(backend.BufferName)})
	for i := range 100 {
		if !b.ProcessEvents(event(fmt.Sprint(i))) {
			t.Fatal("the caller was told")
		}
	}
	// Ten wait, one is under way, one is in the hand of who passes it on.
	if lost := f.lostBy("buffered"); lost < 88 || lost > 90 || f.lines("WARN") != 1 {
		t.Errorf("%v lost, %d warnings", lost, f.lines("WARN"))
	}
	close(s.turns)
	if err := b.Close(); err != nil || len(s.ids) != 100-int(f.lostBy("buffered")) {
		t.Errorf("%d came, %v", len(s.ids), err)
	}
}

// Few large events fill a buffer as many small ones do, and it has room again when they
// have been taken.
func TestBufferIsFullOfBytes(t *testing.T) {
	f := newFixture()
	s := &sink{turns: make(chan struct{})}
	b := backend.NewBuffer(s, backend.BufferConfig{Size: 100, Bytes: 1 << 20, BatchSize: 1, Senders: 1, Stop: t.Context(), Clock: f.clock, Health: f.health(backend.BufferName)})
	large := event("large")
	large.RequestObject = &runtime.Unknown{Raw: make([]byte, 300<<10)}
	for range 10 {
		b.ProcessEvents(large)
	}
	if lost := f.lostBy("buffered"); lost != 7 {
		t.Errorf("%v of ten are lost, want 7", lost)
	}
	close(s.turns)
	for before := float64(-1); f.lostBy("buffered") != before; time.Sleep(time.Millisecond) { // until one is taken
		before = f.lostBy("buffered")
		b.ProcessEvents(large)
	}
	if err := b.Close(); err != nil || len(s.ids) < 4 {
		t.Errorf("%d came, %v", len(s.ids), err)
	}
}

// An event belongs to the caller again when it has been taken.
func TestBufferCopies(t *testing.T) {
	f := newFixture()
	s := &sink{}
	b := backend.NewBuffer(s, backend.BufferConfig{Size: 10, BatchSize: 1, Senders: 1, Stop: t.Context(), Clock: f.clock, Health: f.health(backend.BufferName)})
	ev := event("a")
	b.ProcessEvents(ev)
	ev.AuditID = "changed"
	if err := b.Close(); err != nil || s.ids[0] != "a" {
		t.Errorf("%v, %v", s.ids, err)
	}
}

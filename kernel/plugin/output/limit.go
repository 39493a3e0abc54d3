package output

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Rate bounds what is logged: in the long run so much a second, and a burst of
// so many seconds' worth at once.
type Rate struct {
	Lines, Bytes int // a second
	Burst        int // seconds
}

// The default rates of one plugin, whatever instances and versions it has, and
// of all plugins of a process.
var (
	PluginRate = Rate{Lines: 20, Bytes: 4 << 10, Burst: 16}
	TotalRate  = Rate{Lines: 100, Bytes: 32 << 10, Burst: 16}
)

// Budget is what may be logged now. It is safe for concurrent use.
type Budget struct {
	rate  Rate
	clock clock.PassiveClock

	mu           sync.Mutex
	lines, bytes float64   // guarded by mu
	at           time.Time // guarded by mu; when they were that many
}

// NewBudget makes a full one.
func NewBudget(r Rate, c clock.PassiveClock) *Budget {
	return &Budget{rate: r, clock: c, lines: float64(r.Lines * r.Burst), bytes: float64(r.Bytes * r.Burst), at: c.Now()}
}

// spend takes a line of n bytes, if there is enough for it.
func (b *Budget) spend(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	passed := now.Sub(b.at).Seconds()
	b.at = now
	b.lines = min(b.lines+passed*float64(b.rate.Lines), float64(b.rate.Lines*b.rate.Burst))
	b.bytes = min(b.bytes+passed*float64(b.rate.Bytes), float64(b.rate.Bytes*b.rate.Burst))
	if b.lines < 1 || b.bytes < float64(n) {
		return false
	}
	b.lines--
	b.bytes -= float64(n)
	return true
}

// give takes back what another budget had not enough for.
func (b *Budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines++
	b.bytes += float64(n)
}

// tellEvery is how often a line says how much was left out.
const tellEvery = 10 * time.Second

// Limit has a logger write what the budget of one plugin and that of all allow;
// every ten seconds one line says how much was left out.
func Limit(log *slog.Logger, own, all *Budget, c clock.WithDelayedExecution) *slog.Logger {
	return slog.New(&limited{Handler: log.Handler(), left: &left{log: log, own: own, all: all, clock: c}})
}

// limited is the handler of Limit's logger.
type limited struct {
	slog.Handler
	left *left
}

// left is what the handlers of one plugin share.
type left struct {
	log      *slog.Logger
	own, all *Budget
	clock    clock.WithDelayedExecution

	mu           sync.Mutex
	lines, bytes int // guarded by mu: left out since the last line about it
}

func (h *limited) Handle(ctx context.Context, r slog.Record) error {
	n := len(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		n += len(a.Key)
		if a.Value.Kind() == slog.KindString {
			n += len(a.Value.String())
		}
		return true
	})
	if !h.left.own.spend(n) {
		h.left.out(n)
		return nil
	}
	if !h.left.all.spend(n) {
		h.left.own.give(n)
		h.left.out(n)
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h *limited) WithAttrs(a []slog.Attr) slog.Handler {
	return &limited{h.Handler.WithAttrs(a), h.left}
}

func (h *limited) WithGroup(name string) slog.Handler {
	return &limited{h.Handler.WithGroup(name), h.left}
}

// out notes a line that is left out.
func (l *left) out(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == 0 {
		l.clock.AfterFunc(tellEvery, l.tell)
	}
	l.lines++
	l.bytes += n
}

func (l *left) tell() {
	l.mu.Lock()
	lines, bytes := l.lines, l.bytes
	l.lines, l.bytes = 0, 0
	l.mu.Unlock()
	l.log.Info("plugin output dropped", "lines", lines, "bytes", bytes, "within", tellEvery)
}

var _ slog.Handler = (*limited)(nil)

package loader

import (
	"log/slog"
	"sync"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/plugin/output"
)

// logs are the loggers of plugins. A plugin keeps its own, and what it may still
// write, when another version of it is loaded. It is safe for concurrent use.
type logs struct {
	log   *slog.Logger
	clock clock.WithDelayedExecution
	all   *output.Budget

	mu     sync.Mutex
	byName map[string]*slog.Logger // guarded by mu
}

func newLogs(log *slog.Logger, c clock.WithDelayedExecution) *logs {
	return &logs{log: log, clock: c, all: output.NewBudget(output.TotalRate, c), byName: map[string]*slog.Logger{}}
}

// of is the logger of a plugin.
func (l *logs) of(name string) *slog.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[name] == nil {
		l.byName[name] = output.Limit(l.log.With("plugin", name), output.NewBudget(output.PluginRate, l.clock), l.all, l.clock)
	}
	return l.byName[name]
}

// sweep forgets plugins that are gone.
func (l *logs) sweep(known func(name string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.byName {
		if !known(name) {
			delete(l.byName, name)
		}
	}
}

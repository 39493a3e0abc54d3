package embed

import (
	"context"
	"log/slog"
	"sort"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// bridge gives etcd a logger that writes to log. What etcd calls info is
// debug to us. Fatal entries and those after which it would panic go to f.
func bridge(log *slog.Logger, f *faults) *zap.Logger {
	core := &slogCore{log: log.With("component", "etcd"), faults: f}
	return zap.New(core, zap.WithFatalHook(f), zap.WithPanicHook(f))
}

// slogCore is a zapcore.Core over slog.
type slogCore struct {
	log    *slog.Logger
	faults *faults
	fields []zapcore.Field
}

// demoted are messages that say nothing to those who run a single member
// without listeners. The last two come from a member that is seconds old; etcd
// tries again by itself.
var demoted = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"simple token is not cryptographically signed":                                         true,
	"Failed to detect schema version":                                                      true,
	"failed to update storage version":                                                     true,
}

// campaign ends what a single member says at most starts, with its name and
// term before it: it waits a tick and is elected.
const campaign = "since there are still pending configuration changes to apply"

func (c *slogCore) level(e zapcore.Entry) slog.Level {
	switch {
	case demoted[e.Message], strings.HasSuffix(e.Message, campaign):
		return slog.LevelDebug
	case e.Level >= zapcore.ErrorLevel:
		return slog.LevelError
	case e.Level == zapcore.WarnLevel && !c.faults.closing.Load():
		return slog.LevelWarn
	case e.Level == zapcore.DebugLevel:
		return slog.LevelDebug - 4
	}
	return slog.LevelDebug
}

// Enabled lets fatal entries through always: their text is the fault.
func (c *slogCore) Enabled(l zapcore.Level) bool {
	return l >= zapcore.DPanicLevel || c.log.Enabled(context.Background(), c.level(zapcore.Entry{Level: l}))
}

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	all := make([]zapcore.Field, 0, len(c.fields)+len(fields))
	return &slogCore{log: c.log, faults: c.faults, fields: append(append(all, c.fields...), fields...)}
}

func (c *slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Level >= zapcore.PanicLevel {
		c.faults.describe(e, fields)
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(enc)
	}
	keys := make([]string, 0, len(enc.Fields))
	for k := range enc.Fields {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	attrs := make([]slog.Attr, len(keys))
	for i, k := range keys {
		attrs[i] = slog.Any(k, enc.Fields[k])
	}
	c.log.LogAttrs(context.Background(), c.level(e), e.Message, attrs...)
	return nil
}

func (*slogCore) Sync() error { return nil }

var _ zapcore.Core = (*slogCore)(nil)

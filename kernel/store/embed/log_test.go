package embed

import (
	"log/slog"
	"testing"

	"go.uber.org/zap/zapcore"
)

func TestLevel(t *testing.T) {
	c := &slogCore{log: slog.New(slog.DiscardHandler), faults: &faults{}}
	for _, tc := range []struct {
		level   zapcore.Level
		message string
		want    slog.Level
	}{
		{zapcore.InfoLevel, "starting an etcd server", slog.LevelDebug},
		{zapcore.WarnLevel, "apply request took too long", slog.LevelWarn},
		{zapcore.WarnLevel, "simple token is not cryptographically signed", slog.LevelDebug},
		{zapcore.WarnLevel, "e945bfeb6d4dfc32 cannot campaign at term 1 since there are still pending configuration changes to apply", slog.LevelDebug},
		{zapcore.ErrorLevel, "failed to serve", slog.LevelError},
	} {
		if got := c.level(zapcore.Entry{Level: tc.level, Message: tc.message}); got != tc.want {
			t.Errorf("%s %q is logged at %s, want %s", tc.level, tc.message, got, tc.want)
		}
	}
}

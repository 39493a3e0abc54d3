package logging

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestLimit(t *testing.T) {
	var out bytes.Buffer
	c := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	log := slog.New(Limit(slog.NewTextHandler(&out, nil), c))
	lines := func() []string {
		defer out.Reset()
		return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
	}
	for i := range 1000 {
		log.Warn("watch failed", "error", fmt.Errorf("attempt %d", i))
	}
	if got := lines(); len(got) != burst {
		t.Errorf("a thousand warnings are %d lines, want %d", len(got), burst)
	}
	log.Error("watch failed", "error", errors.New("x"))
	log.Warn("another", "error", errors.New("x"))
	log.With("plugin", "a").Warn("watch failed")
	for range 100 {
		log.Info("watch failed")
	}
	if got := lines(); len(got) != 103 {
		t.Errorf("another level, message or logger, and information: %d lines, want 103", len(got))
	}
	c.Step(every)
	log.Warn("watch failed")
	log.Warn("watch failed")
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], "left_out=990") {
		t.Errorf("a minute later: %q, want one line that counts", got)
	}
	c.Step(time.Hour)
	for range 100 {
		log.Warn("watch failed")
	}
	if got := lines(); len(got) != burst || !strings.Contains(got[0], "left_out=1") || strings.Contains(got[1], "left_out") {
		t.Errorf("after an hour of quiet: %d lines", len(got))
	}
	// Messages that are no constants must not pile up.
	for i := range 3 * maxMessages {
		log.Warn(fmt.Sprint("message ", i))
	}
	if n := len(log.Handler().(*limiter).shared.spent); n > maxMessages {
		t.Errorf("%d messages are remembered, want at most %d", n, maxMessages)
	}
}

package output_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin/output"
)

// TestFlood: a plugin that prints without end costs its rate, whatever the
// number of its instances and calls, and one line says what was left out.
func TestFlood(t *testing.T) {
	clock := testclock.NewFakeClock(time.Now())
	var log bytes.Buffer
	base := slog.New(slog.NewTextHandler(&log, nil))
	all := output.NewBudget(output.TotalRate, clock)
	mine := output.Limit(base.With("plugin", "flood"), output.NewBudget(output.PluginRate, clock), all, clock)
	other := output.Limit(base.With("plugin", "quiet"), output.NewBudget(output.PluginRate, clock), all, clock)
	line := strings.Repeat("x", 1000) + "\n"
	const instances, calls, lines = 4, 20, 100
	for range instances {
		w := output.Writer{Log: mine}
		for range calls {
			w.Begin()
			for range lines {
				fmt.Fprint(&w, line)
			}
		}
	}
	w := output.Writer{Log: other}
	fmt.Fprintln(&w, "heard nevertheless")
	// A burst, with what the handler adds to each line.
	if most := 2 * output.PluginRate.Bytes * output.PluginRate.Burst; log.Len() > most {
		t.Errorf("%d bytes of %d are logged, want at most %d", log.Len(), instances*calls*lines*len(line), most)
	}
	if !strings.Contains(log.String(), "heard nevertheless") {
		t.Error("another plugin is not heard")
	}
	written := strings.Count(log.String(), "plugin=flood")
	log.Reset()
	clock.Step(10 * time.Second)
	if want := fmt.Sprintf("lines=%d", instances*calls*lines-written); strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "within=10s") {
		t.Errorf("log %q, want one line with %q", log.String(), want)
	}
	log.Reset()
	fmt.Fprintln(&w, "again") // the rate has given something back
	w.Log = mine
	fmt.Fprintln(&w, "again")
	if n := strings.Count(log.String(), "again"); n != 2 {
		t.Errorf("%d lines, want two: %q", n, log.String())
	}
}

// TestFloodOfMany: all plugins together have a rate, too.
func TestFloodOfMany(t *testing.T) {
	clock := testclock.NewFakeClock(time.Now())
	var log bytes.Buffer
	base := slog.New(slog.NewTextHandler(&log, nil))
	all := output.NewBudget(output.TotalRate, clock)
	for i := range 100 {
		w := output.Writer{Log: output.Limit(base.With("plugin", i), output.NewBudget(output.PluginRate, clock), all, clock)}
		for range 100 {
			fmt.Fprintln(&w, strings.Repeat("y", 1000))
		}
	}
	if most := 2 * output.TotalRate.Bytes * output.TotalRate.Burst; log.Len() > most {
		t.Errorf("%d bytes are logged, want at most %d", log.Len(), most)
	}
}

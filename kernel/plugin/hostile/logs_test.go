package hostile_test

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/output"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestLogFlood: what a plugin prints does not fill the disk, and the log says how
// much it was.
func TestLogFlood(t *testing.T) {
	beside(t)
	s := start(t)
	log := &sizes{}
	s.configure = func(c *kernel.Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) }
	s.restart(t)
	for _, host := range []v1alpha1.HostKind{v1alpha1.HostWASM, v1alpha1.HostProcess} {
		t.Run(string(host), func(t *testing.T) {
			log.reset()
			began := time.Now()
			s.load(t, "prints", hostileAt(host, "validate", "print")(t, s))
			s.phase(t, "prints", v1alpha1.Ready)
			const pods = 20 // of 2 MB each
			for range pods {
				_, _ = s.createPod(guests.Namespace, string(host)+time.Now().Format("-150405.000000000"))
			}
			await(t, "a line says what was dropped", func() bool { return log.count("plugin output dropped") > 0 })
			printed, dropped := log.bytes("plugin output"), log.count("plugin output dropped")
			seconds := int(time.Since(began)/time.Second) + 1
			if most := 2 * output.PluginRate.Bytes * (output.PluginRate.Burst + seconds); printed == 0 || printed > most {
				t.Errorf("%d bytes are logged in %d s, want at most %d", printed, seconds, most)
			}
			if dropped > seconds/10+1 {
				t.Errorf("%d lines in %d s say what was dropped", dropped, seconds)
			}
			s.remove(t, "prints")
		})
	}
}

// sizes is a log that is measured.
type sizes struct {
	mu    sync.Mutex
	lines [][]byte // guarded by mu
}

func (l *sizes) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, bytes.Clone(b))
	return len(b), nil
}

func (l *sizes) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

func (l *sizes) sum(message string, of func([]byte) int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if bytes.Contains(line, []byte(message)) {
			n += of(line)
		}
	}
	return n
}

func (l *sizes) bytes(message string) int {
	return l.sum(message, func(b []byte) int { return len(b) })
}
func (l *sizes) count(message string) int { return l.sum(message, func([]byte) int { return 1 }) }

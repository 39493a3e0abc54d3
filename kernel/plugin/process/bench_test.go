package process_test

import (
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/process"
)

// BenchmarkOpen starts a process, confined and not.
func BenchmarkOpen(b *testing.B) {
	m := compile(b, "./testdata/escape")
	for name, unconfined := range map[string]bool{"confined": false, "unconfined": true} {
		b.Run(name, func(b *testing.B) {
			h, err := process.New(process.Config{Dir: b.TempDir(), Unconfined: unconfined})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				in, err := h.Open(b.Context(), m, plugin.OpenOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if err := in.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

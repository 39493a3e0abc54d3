package scaffold_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/scaffold"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/sdk/wire"
)

// BenchmarkConversion is what the conversion that is written for an author costs, by host
// and by objects of a kilobyte in one question.
func BenchmarkConversion(b *testing.B) {
	w, err := wasm.New(b.Context(), wasm.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close(context.Background()) }()
	p, err := process.New(process.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "p")
	if err := scaffold.New("conversion", "bench", dir); err != nil {
		b.Fatal(err)
	}
	object := fmt.Appendf(nil, `{"apiVersion":"net.example/v1","kind":"Address","metadata":{"name":"n","namespace":"default","uid":"7c1d"},"spec":{"address":"web:80","notes":["%s"]}}`,
		strings.Repeat(strings.Repeat("n", 60)+`","`, 10))
	for name, h := range map[string]plugin.Host{"wasm": w, "process": p} {
		file, err := scaffold.Build(b.Context(), dir, name)
		if err != nil {
			b.Fatal(err)
		}
		module, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		in, err := h.Open(b.Context(), plugin.Module{Digest: v1alpha1.DigestOf(module), Bytes: module}, plugin.OpenOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{1, 100} {
			req := wire.Conversion{To: "net.example/v2"}
			for range n {
				req.Objects = append(req.Objects, object)
			}
			frame := req.Append(nil)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := in.Call(b.Context(), wire.OpConvert, frame); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/object")
			})
		}
		if err := in.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

package hosttest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// inC compiles the guest that is written in C.
func inC(t *testing.T) plugin.Module {
	t.Helper()
	testenv.RequireCommands(t, "clang", "wasm-ld")
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), "clang", "--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-mbulk-memory", "-Wall", "-Werror",
		"-Wl,--no-entry", "-o", out, "testdata/guest.c")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("clang: %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return plugin.Module{Digest: "sha256:" + hex.EncodeToString(sum[:]), Bytes: b}
}

// TestGuestInC: docs/abi.md is enough to write a plugin by, in a language that
// has no SDK.
func TestGuestInC(t *testing.T) {
	m := inC(t)
	h, err := wasm.New(t.Context(), wasm.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	open := func(ctx context.Context) (plugin.Instance, error) { return h.Open(ctx, m, plugin.OpenOptions{}) }
	t.Run("admission", func(t *testing.T) { testRuleInC(t, open) })
	t.Run("scheduling", func(t *testing.T) { testFilterInC(t, open) })
}

func testRuleInC(t *testing.T, open func(context.Context) (plugin.Instance, error)) {
	in, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}()
	got := in.Manifest()
	if got.Name != "memory-guard" || got.Points != wire.PointFilter|wire.PointValidate || len(got.Match) != 1 || strings.Join(got.Match[0].Namespaces, "") != "prod" {
		t.Errorf("manifest %+v", got)
	}
	for groups, denied := range map[string]bool{"": true, "dev": true, "dev ops": false, "operators": true} {
		h := wire.ReviewHeader{Operation: "CREATE", Resource: "v1/pods", Kind: "v1/Pod", Namespace: "prod", Name: "web", User: "ann", Groups: strings.Fields(groups)}
		resp, err := in.Call(t.Context(), wire.OpValidate, wire.AppendReview(nil, h, nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		r := wire.NewReader(resp)
		if v := r.Verdict(); r.Err() != nil || v.Denied != denied || denied && v.Message != "only the group ops creates objects here" {
			t.Errorf("groups %q: %+v, %v, want denied %v", groups, v, r.Err(), denied)
		}
	}
	if _, err := in.Call(t.Context(), wire.OpReconcile, nil); wire.KindOf(err) != wire.KindUnsupported {
		t.Errorf("reconcile: %v", err)
	}
}

func testFilterInC(t *testing.T, open func(context.Context) (plugin.Instance, error)) {
	table := columns.NewTable()
	e := evaluate.New(evaluate.Config{Table: table, Seed: rand.NewPCG(1, 2), Metrics: evaluate.NewMetrics(), Log: slog.New(slog.DiscardHandler)})
	in, err := evaluate.Open(t.Context(), "c", evaluate.Plugin{Open: open})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Replace("c", in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	decide := func() evaluate.Outcome {
		t.Helper()
		r := schedule.EncodePod(&schedule.PodInfo{Namespace: "default", Name: "p"})
		out, err := e.Decide(t.Context(), &r, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	use := func(row int, memory int64) {
		table.Use(row, &columns.Usage{Requests: columns.Resources{Memory: memory}}, 1)
	}
	// More than a word of rows, and room on one of them.
	for i := range 100 {
		row := table.Put(columns.Node{Name: "node-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Pods: 10, Allocatable: columns.Resources{Memory: 1000}})
		if i != 77 {
			use(row, 950)
		} else {
			use(row, 800)
		}
	}
	if out := decide(); out.Fit != nil || out.Node != "node-cz" || out.Feasible != 1 {
		t.Errorf("outcome %+v, want node-cz alone", out)
	}
	row, _ := table.Row("node-cz")
	use(row, 150)
	if out := decide(); out.Fit == nil || !strings.Contains(out.Fit.Error(), "100 node(s) would keep too little memory free") {
		t.Errorf("outcome %+v", out)
	}
}

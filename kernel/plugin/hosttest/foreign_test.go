package hosttest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/hosttest"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// inC compiles the guest that is written in C, as one of a minor version of the ABI.
func inC(t *testing.T, minor int) plugin.Module {
	t.Helper()
	testenv.RequireCommands(t, "clang", "wasm-ld")
	dir := t.TempDir()
	out := filepath.Join(dir, "guest.wasm")
	if err := os.WriteFile(filepath.Join(dir, "record.h"), readerOfDocs(t), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "clang", "--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-mbulk-memory", "-Wall", "-Werror",
		fmt.Sprintf("-DMINOR=%d", minor), "-I", dir, "-Wl,--no-entry", "-o", out, "testdata/guest.c")
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

// readerOfDocs is the reader of objects that docs/abi.md shows.
func readerOfDocs(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```c\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed || strings.Contains(rest[len(code):], "```c") {
		t.Fatal("docs/abi.md shows no C, or more than one piece")
	}
	return []byte(code)
}

// TestGuestInC: docs/abi.md is enough to write a plugin by, in a language that
// has no SDK.
func TestGuestInC(t *testing.T) {
	h, err := wasm.New(t.Context(), wasm.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct {
		minor int
		wrap  func(plugin.Instance) plugin.Instance
	}{
		"older guest":  {0, func(in plugin.Instance) plugin.Instance { return in }},
		"":             {wire.Minor, func(in plugin.Instance) plugin.Instance { return in }},
		"later guest":  {wire.Minor + 1, func(in plugin.Instance) plugin.Instance { return in }},
		"later server": {wire.Minor, func(in plugin.Instance) plugin.Instance { return hosttest.Later{Instance: in} }},
	} {
		m := inC(t, c.minor)
		open := func(ctx context.Context) (plugin.Instance, error) {
			in, err := h.Open(ctx, m, plugin.OpenOptions{HostCall: configMap})
			if err != nil {
				return nil, err
			}
			return c.wrap(in), nil
		}
		t.Run(name+"/admission", func(t *testing.T) { testRuleInC(t, open) })
		t.Run(name+"/scheduling", func(t *testing.T) { testFilterInC(t, open) })
	}
}

// teams is what the server of the test holds in the ConfigMap that the guest asks
// for; nil: there is none.
type teams struct{ say *string }

type teamsKey struct{}

// configMap serves the question of the guest for the state in ctx.
func configMap(ctx context.Context, op wire.HostOp, req []byte) ([]byte, error) {
	r := wire.NewReader(req)
	q := r.GetRequest()
	if err := r.Err(); err != nil || len(r.Rest()) > 0 || op != wire.HostGet || q.Resource != "v1/configmaps" || q.Namespace != "prod" || q.Name != "memory-guard" {
		return nil, wire.Errorf(wire.KindForbidden, "asked for %d %+v, %v", op, q, err)
	}
	state, asked := ctx.Value(teamsKey{}).(teams)
	switch {
	case !asked:
		return nil, wire.Errorf(wire.KindForbidden, "it may not")
	case state.say == nil:
		return nil, wire.Errorf(wire.KindNotFound, "no such ConfigMap")
	}
	plan, err := projection.Of(q.Only)
	if err != nil {
		return nil, err
	}
	return plan.Append(nil, &corev1.ConfigMap{Data: map[string]string{"other": "x", "teams": *state.say}})
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
	plan, err := projection.Of(got.Fields)
	if err != nil {
		t.Fatal(err)
	}
	object := func(team string, images ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "x"}}}
		if team != "" {
			p.Labels["team"] = team
		}
		for _, image := range images {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: strings.Repeat("long", 50), Image: image})
		}
		return p
	}
	const nobody, noRegistry = "only the group ops creates objects here without a team", "an image has no registry"
	for _, c := range []struct {
		groups string
		pod    *corev1.Pod
		want   string
	}{
		{"", object(""), nobody}, {"dev", object(""), nobody}, {"dev ops", object(""), ""}, {"operators", object(""), nobody},
		{"dev", object("blue"), ""}, {"dev", object("blue", "r.local/a:1", "r.local/b:1"), ""},
		{"ops", object("", "r.local/a:1", "b:1"), noRegistry}, {"dev", object("blue", ""), ""}, {"ops", nil, ""}, {"dev", nil, nobody},
	} {
		var body []byte
		if c.pod != nil {
			if body, err = plan.Append(nil, c.pod); err != nil {
				t.Fatal(err)
			}
		}
		h := wire.ReviewHeader{Operation: "CREATE", Resource: "v1/pods", Kind: "v1/Pod", Namespace: "prod", Name: "web", User: "ann", Groups: strings.Fields(c.groups), DryRun: true}
		resp, err := in.Call(context.WithValue(t.Context(), teamsKey{}, teams{}), wire.OpValidate, wire.AppendReview(nil, h, body, nil))
		if err != nil {
			t.Fatal(err)
		}
		r := wire.NewReader(resp)
		if v := r.Verdict(); r.Err() != nil || v.Message != c.want || v.Denied != (c.want != "") {
			t.Errorf("groups %q, %v: %+v, %v, want %q", c.groups, c.pod, v, r.Err(), c.want)
		}
	}
	testQuestionInC(t, in)
	if _, err := in.Call(t.Context(), wire.OpReconcile, nil); wire.KindOf(err) != wire.KindUnsupported {
		t.Errorf("reconcile: %v", err)
	}
}

// testQuestionInC: the rule asks the server, and reads whatever that answers.
func testQuestionInC(t *testing.T, in plugin.Instance) {
	t.Helper()
	text := func(s string) teams { return teams{&s} }
	h := wire.ReviewHeader{Operation: "CREATE", Resource: "v1/pods", Kind: "v1/Pod", Namespace: "prod", Name: "web", User: "ann"}
	for name, c := range map[string]struct {
		ctx    context.Context
		denied bool
		kind   wire.Kind
	}{
		"optional":      {context.WithValue(t.Context(), teamsKey{}, text("optional")), false, 0},
		"another word":  {context.WithValue(t.Context(), teamsKey{}, text("optionally")), true, 0},
		"nothing":       {context.WithValue(t.Context(), teamsKey{}, text("")), true, 0},
		"not there":     {context.WithValue(t.Context(), teamsKey{}, teams{}), true, 0},
		"too long":      {context.WithValue(t.Context(), teamsKey{}, text(strings.Repeat("x", 5000))), false, wire.KindPlugin},
		"not permitted": {t.Context(), false, wire.KindPlugin},
	} {
		resp, err := in.Call(c.ctx, wire.OpValidate, wire.AppendReview(nil, h, nil, nil))
		if c.kind != 0 {
			if err == nil || wire.KindOf(err) != c.kind || !strings.Contains(err.Error(), "cannot be read") {
				t.Errorf("%s: %v, want an error of kind %d", name, err, c.kind)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := wire.NewReader(resp)
		if v := r.Verdict(); r.Err() != nil || v.Denied != c.denied {
			t.Errorf("%s: %+v, %v", name, v, r.Err())
		}
	}
}

func testFilterInC(t *testing.T, open func(context.Context) (plugin.Instance, error)) {
	table := columns.NewTable()
	e := evaluate.New(evaluate.Config{Table: table, Seed: rand.NewPCG(1, 2), Metrics: evaluate.NewMetrics(), Log: slog.New(slog.DiscardHandler)})
	in, err := evaluate.Open(t.Context(), "c", evaluate.Plugin{Open: open}, nil)
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
	decide := func(asks int64) evaluate.Outcome {
		t.Helper()
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"}}
		out, err := e.Decide(t.Context(), evaluate.NewPod(pod, &columns.Usage{Requests: columns.Resources{Memory: asks}}), time.Now())
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
	if out := decide(50); out.Fit != nil || out.Node != "node-cz" || out.Feasible != 1 {
		t.Errorf("outcome %+v, want node-cz alone", out)
	}
	if out := decide(150); out.Fit == nil || !strings.Contains(out.Fit.Error(), "100 node(s) would keep too little memory free") {
		t.Errorf("outcome %+v", out)
	}
	row, _ := table.Row("node-cz")
	use(row, 150)
	if out := decide(0); out.Fit == nil || !strings.Contains(out.Fit.Error(), "100 node(s) would keep too little memory free") {
		t.Errorf("outcome %+v", out)
	}
}

// TestExampleOfDocs: the bytes that docs/abi.md shows of a question are those that
// are sent.
func TestExampleOfDocs(t *testing.T) {
	req := wire.GetRequest{Resource: "v1/configmaps", Namespace: "prod", Name: "memory-guard", Only: "data(teams)"}
	if got, want := string(req.Append(nil)), "\x0dv1/configmaps\x04prod\x0cmemory-guard\x0bdata(teams)"; got != want {
		t.Errorf("request %q, the page says %q", got, want)
	}
	say := "optional"
	answer, err := configMap(context.WithValue(t.Context(), teamsKey{}, teams{&say}), wire.HostGet, req.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\x08\x0f\x00\x00\x00\x08\x0a\x00\x00\x00\x05\x08optional"; string(answer) != want {
		t.Errorf("answer %q, the page says %q", answer, want)
	}
	page, err := os.ReadFile("../../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`request    0d "v1/configmaps" 04 "prod" 0c "memory-guard" 0b "data(teams)"`,
		`response   00, 08 0f000000 (struct, 15 bytes), 08 0a000000 (data: struct, 10 bytes), 05 08 "optional"`,
	} {
		if !strings.Contains(string(page), line) {
			t.Errorf("the page does not show %s", line)
		}
	}
}

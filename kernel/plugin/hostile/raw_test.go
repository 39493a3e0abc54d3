package hostile_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// rawScheduler is a scheduling plugin that no SDK made: it says that its one
// member is as given, and writes a number all over what it shares with the
// kernel when it is asked about nodes.
func rawScheduler(member string, number int64) func(testing.TB, *server) v1alpha1.PluginSpec {
	return func(t testing.TB, s *server) v1alpha1.PluginSpec {
		m := wire.Manifest{Name: "raw", Major: wire.Major, Minor: wire.Minor, Points: wire.PointFilter | wire.PointScore}
		var pre schedule.PreFilterAnswer
		text := rawModule(map[wire.Op]string{
			wire.OpHandshake:     string(wire.AppendManifests([]byte{0}, []wire.Manifest{m})),
			wire.OpOpen:          string(wire.AppendManifest([]byte{0}, m)),
			schedule.OpDescribe:  string(wire.AppendString([]byte{0, 1}, member)),
			schedule.OpProfile:   "\x00\x00",
			schedule.OpSnapshot:  "\x00",
			schedule.OpPreFilter: string(pre.Append([]byte{0})),
			schedule.OpCycle:     "\x00\x00\x02\x00\x00\x00",
			schedule.OpNormalize: "\x00\x00\x00",
		}, number)
		return v1alpha1.PluginSpec{Host: v1alpha1.HostWASM, Digest: s.upload(t, assembleText(t, text))}
	}
}

// rawPolicy is a policy that no SDK made: it says one thing of whatever is created in
// the namespace of hostile plugins.
func rawPolicy(v wire.Verdict) func(testing.TB, *server) v1alpha1.PluginSpec {
	return func(t testing.TB, s *server) v1alpha1.PluginSpec {
		m := wire.Manifest{Name: "raw", Major: wire.Major, Minor: wire.Minor, Points: wire.PointValidate,
			Match: []wire.Match{{Operations: []string{"CREATE"}, Resources: []string{"v1/configmaps"}, Namespaces: []string{guests.Namespace}}}}
		text := rawModule(map[wire.Op]string{
			wire.OpHandshake: string(wire.AppendManifests([]byte{0}, []wire.Manifest{m})),
			wire.OpOpen:      string(wire.AppendManifest([]byte{0}, m)),
			wire.OpValidate:  string(v.Append([]byte{0})),
		}, 0)
		return v1alpha1.PluginSpec{Host: v1alpha1.HostWASM, Digest: s.upload(t, assembleText(t, text))}
	}
}

// rawModule writes a guest that has an answer for each operation.
func rawModule(answers map[wire.Op]string, number int64) string {
	var data, cases strings.Builder
	at := 1024
	for op, answer := range answers {
		fmt.Fprintf(&data, "  (data (i32.const %d) \"", at)
		for i := range len(answer) {
			fmt.Fprintf(&data, "\\%02x", answer[i])
		}
		data.WriteString("\")\n")
		fmt.Fprintf(&cases, "    (if (i32.eq (local.get $op) (i32.const %d)) (then (return (i64.const %d))))\n", op, int64(at)<<32|int64(len(answer)))
		at += len(answer)
	}
	return fmt.Sprintf(`(module
  (import "pintle" "yield" (func $yield))
  (memory (export "memory") 64)
  (global $size (mut i32) (i32.const 0))
%s
  (func (export "pintle_abi") (result i32) (i32.const 131072))
  (func (export "pintle_scratch") (param i32) (result i32) (i32.const 65536))
  (func (export "pintle_region") (param i32) (result i32) (global.set $size (local.get 0)) (i32.const 1048576))
  (func (export "pintle_call") (param $op i32) (param i32) (result i64) (local $i i32)
    (if (i32.eq (local.get $op) (i32.const %d)) (then
      (loop $fill
        (i64.store (i32.add (i32.const 1048576) (local.get $i)) (i64.const %d))
        (local.set $i (i32.add (local.get $i) (i32.const 8)))
        (br_if $fill (i32.lt_u (local.get $i) (global.get $size))))))
%s    unreachable))
`, data.String(), schedule.OpCycle, number, cases.String())
}

func assembleText(t testing.TB, text string) []byte {
	t.Helper()
	return produce(t, text, func(out string) *exec.Cmd {
		in := filepath.Join(temp, "in.wat")
		if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command("wat2wasm", "-o", out, in)
	})
}

// member encodes what a scheduling plugin says of one member.
func member(name string, column uint64, scaling schedule.Scaling) string {
	b := wire.AppendString(nil, name)
	b = append(b, 1, 1, byte(schedule.NodeLocal), byte(scaling), 0)
	b = wire.AppendInt(wire.AppendUint(b, column), 1)
	return string(wire.AppendUint(wire.AppendUint(b, 0), 0)) // events, columns
}

// TestRawAnswers: a guest need not be made with the SDK, which checks what it
// says.
func TestRawAnswers(t *testing.T) {
	beside(t)
	s := start(t)
	const huge = 1_000_000_000_003 // of which the two low bits say that both nodes fit
	for _, a := range []attack{
		{name: "honest", spec: rawScheduler(member("m", 0, schedule.ScaleNone), 3), harmless: true},
		{name: "column far away", spec: rawScheduler(member("m", 1<<31, schedule.ScaleToMax), 3), refused: true, says: "score column 2147483648 of 1 members"},
		{name: "column of nobody", spec: rawScheduler(member("m", 2, schedule.ScaleToMax), 3), refused: true, says: "score column 2 of 1 members"},
		{name: "scaling", spec: rawScheduler(member("m", 0, 77), 3), refused: true, says: "scores are scaled by 77"},
		{name: "no name", spec: rawScheduler(member("", 0, schedule.ScaleNone), 3), refused: true, says: "a member without a name"},
		{name: "long name", spec: rawScheduler(member(strings.Repeat("n", 1000), 0, schedule.ScaleNone), 3), refused: true, says: "the name of a member has 1000 bytes"},
		{name: "cut short", spec: rawScheduler("\x05", 3), refused: true, says: "cut short or malformed"},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a) })
	}
	for name, spec := range map[string]func(testing.TB, *server) v1alpha1.PluginSpec{
		"score":          rawScheduler(member("m", 0, schedule.ScaleNone), huge),
		"raw score":      rawScheduler(member("m", 1, schedule.ScaleToMax), huge<<8|3),
		"negative score": rawScheduler(member("m", 0, schedule.ScaleNone), -1),
	} {
		t.Run(name, func(t *testing.T) { s.survives(t, spec, "a score of -?[0-9]+ is not in the range of 0 to") })
	}
}

// survives is for a plugin that is bad to everybody: pods wait, with a message
// that says for whom, the plugin is quarantined, and all is well without it.
func (s *server) survives(t *testing.T, spec func(testing.TB, *server) v1alpha1.PluginSpec, says string) {
	t.Helper()
	name := fmt.Sprintf("bad-%d", number.Add(1))
	s.load(t, name, spec(t, s))
	s.phase(t, name, v1alpha1.Ready)
	pods := make([]string, 5)
	for i := range pods {
		pods[i] = fmt.Sprintf("victim-%d", number.Add(1))
		if _, err := s.createPod("bystander", pods[i]); err != nil {
			t.Fatal(err)
		}
	}
	s.says(t, name, says)
	s.phase(t, name, v1alpha1.Quarantined, v1alpha1.Degraded)
	await(t, "the pods say which plugin they wait for", func() bool {
		return strings.Contains(condition(s.pod(t, "bystander", pods[0])), "plugin "+name+": ")
	})
	s.remove(t, name)
	for _, p := range pods {
		s.awaitBound(t, "bystander", p)
	}
	s.peaceful(t)
}

package plan_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

var update = flag.Bool("update", false, "rewrite the expected logs of the scenarios")

// TestScenarios plays each scenario of testdata against a runtime that does
// at once what it is told. A scenario has a pod, a script and the log that it
// gives. Commands of the script:
//
//	step                 decide and do, until there is nothing more to do
//	decide               decide once and do nothing
//	exit NAME CODE       the container's process ends
//	lose-sandbox         the sandbox dies with all that is in it
//	fail NAME TEXT…      the liveness probe fails for good
//	started NAME         the startup probe succeeds
//	unstarted NAME       new instances have a startup probe to pass
//	busy NAME / idle     an action is under way / nothing is
//	hold NAME SECONDS REASON
//	hold-kill NAME SECONDS  the last kill has just failed
//	after SECONDS        time passes
//	create-only NAME     the agent dies after creating an instance
//	phase PHASE          the API's phase of the pod
//	run-since-start      the API's start time of the pod is now
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) { scenario(t, f) })
	}
}

func scenario(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) *txtar.File {
		for i := range ar.Files {
			if ar.Files[i].Name == name {
				return &ar.Files[i]
			}
		}
		t.Fatalf("%s lacks %s", file, name)
		return nil
	}
	w := newWorld()
	if err := yaml.UnmarshalStrict(part("pod").Data, w.pod); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(strings.NewReader(string(part("script").Data)))
	for sc.Scan() {
		if f := strings.Fields(sc.Text()); len(f) > 0 {
			fmt.Fprintf(&w.log, "> %s\n", sc.Text())
			if err := w.do(f); err != nil {
				t.Fatalf("%s: %v", sc.Text(), err)
			}
		}
	}
	want := part("log")
	if *update {
		want.Data = []byte(w.log.String())
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(want.Data), w.log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

// world is a runtime without time or chance.
type world struct {
	pod    *corev1.Pod
	seen   *state.Pod
	now    time.Time
	busy   string
	health map[string]plan.Health
	slow   map[string]bool // containers whose instances must pass a startup probe
	holds  map[string]plan.Hold
	ids    int
	log    strings.Builder
}

func newWorld() *world {
	return &world{pod: &corev1.Pod{}, seen: &state.Pod{}, now: time.Unix(1_000_000, 0),
		health: map[string]plan.Health{}, slow: map[string]bool{}, holds: map[string]plan.Hold{}}
}

func (w *world) do(f []string) error {
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	n, _ := strconv.Atoi(f[len(f)-1])
	switch f[0] {
	case "step":
		for range 20 {
			if !w.apply(w.decide(true)) {
				return nil
			}
		}
		return fmt.Errorf("does not come to rest")
	case "decide":
		w.decide(true)
	case "exit":
		w.exit(w.seen.Latest(f[1]), int32(n))
	case "lose-sandbox":
		w.seen.Sandboxes[0].Ready = false
		for i := range w.seen.Containers {
			if w.seen.Containers[i].Phase == state.Running {
				w.exit(&w.seen.Containers[i], 137)
			}
		}
	case "fail":
		w.health[w.seen.Latest(f[1]).ID] = plan.Health{Started: true, Fault: strings.Join(f[2:], " ")}
	case "started":
		w.health[w.seen.Latest(f[1]).ID] = plan.Health{Started: true}
	case "unstarted":
		w.slow[f[1]] = true
	case "busy":
		w.busy = f[1]
	case "idle":
		w.busy = ""
	case "hold":
		s, _ := strconv.Atoi(f[2])
		w.holds[f[1]] = plan.Hold{Until: w.now.Add(time.Duration(s) * time.Second), Reason: arg(3), Message: "held"}
	case "hold-kill":
		w.holds[plan.KillHold(f[1])] = plan.Hold{Until: w.now.Add(time.Duration(n) * time.Second)}
	case "after":
		w.now = w.now.Add(time.Duration(n) * time.Second)
	case "create-only":
		w.create(plan.Start{Name: f[1]}, state.Created)
	case "phase":
		w.pod.Status.Phase = corev1.PodPhase(f[1])
	case "run-since-start":
		start := metav1.NewTime(w.now)
		w.pod.Status.StartTime = &start
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

func (w *world) exit(c *state.Container, code int32) {
	c.Phase, c.ExitCode, c.FinishedAt = state.Exited, code, w.now
}

func (w *world) decide(say bool) plan.Plan {
	p := plan.Next(plan.Input{Pod: w.pod, Observed: w.seen, Now: w.now,
		Busy:   func(name string) bool { return name == w.busy && name != "" },
		Health: func(id string) plan.Health { return w.health[id] },
		Holds:  w.holds})
	if say {
		w.say(p)
	}
	return p
}

func (w *world) say(p plan.Plan) {
	for _, id := range p.Remove {
		fmt.Fprintf(&w.log, "  remove %s\n", id)
	}
	for _, id := range p.RemoveSandboxes {
		fmt.Fprintf(&w.log, "  remove sandbox %s\n", id)
	}
	for _, id := range p.StopSandboxes {
		fmt.Fprintf(&w.log, "  stop sandbox %s\n", id)
	}
	if p.CreateSandbox {
		fmt.Fprintf(&w.log, "  create sandbox, attempt %d\n", p.Attempt)
	}
	for _, k := range p.Kills {
		fmt.Fprintf(&w.log, "  kill %s: %s", k.ID, k.Message)
		if len(k.After) > 0 {
			fmt.Fprintf(&w.log, ", after %s", strings.Join(k.After, ", "))
		}
		w.log.WriteByte('\n')
	}
	for _, s := range p.Starts {
		fmt.Fprintf(&w.log, "  start %s, restarts %d, then back off %s", s.Name, s.Restarts, s.BackOff)
		if s.Replace != "" {
			fmt.Fprintf(&w.log, ", replacing %s", s.Replace)
		}
		if s.Round > 0 {
			fmt.Fprintf(&w.log, ", round %d", s.Round)
		}
		w.log.WriteByte('\n')
	}
	for _, c := range podspec.Containers(w.pod) {
		if wait, ok := p.Waiting[c.Name]; ok {
			fmt.Fprintf(&w.log, "  %s waits: %s: %s\n", c.Name, wait.Reason, wait.Message)
		}
	}
	if p.Restarting {
		fmt.Fprintf(&w.log, "  all containers are restarting\n")
	}
	if p.Outcome != plan.Living {
		fmt.Fprintf(&w.log, "  outcome %s, tear down %t %s\n",
			map[plan.Outcome]string{plan.Succeeded: "Succeeded", plan.Failed: "Failed"}[p.Outcome], p.TearDown, p.Reason)
	}
	if !p.Wake.IsZero() {
		fmt.Fprintf(&w.log, "  wake in %s\n", p.Wake.Sub(w.now))
	}
}

func (w *world) apply(p plan.Plan) bool {
	if p.CreateSandbox {
		w.ids++
		w.seen.Sandboxes = append([]state.Sandbox{{ID: fmt.Sprintf("sandbox%d", w.ids), Attempt: p.Attempt, Ready: true, CreatedAt: w.now}}, w.seen.Sandboxes...)
	}
	for _, id := range p.Remove {
		for i := range w.seen.Containers {
			if w.seen.Containers[i].ID == id {
				w.seen.Containers = append(w.seen.Containers[:i:i], w.seen.Containers[i+1:]...)
				break
			}
		}
	}
	for _, k := range p.Kills {
		for i := range w.seen.Containers {
			if w.seen.Containers[i].ID == k.ID {
				w.exit(&w.seen.Containers[i], 137)
			}
		}
	}
	for _, s := range p.Starts {
		if s.Replace != "" {
			w.seen.Containers = w.seen.Containers[1:]
		}
		w.create(s, state.Running)
	}
	return p.CreateSandbox || len(p.Remove)+len(p.Kills)+len(p.Starts) > 0
}

func (w *world) create(s plan.Start, phase state.Phase) {
	w.ids++
	c := state.Container{ID: fmt.Sprintf("%s%d", s.Name, w.ids), Name: s.Name, Phase: phase, Restarts: s.Restarts,
		BackOff: s.BackOff, Round: s.Round, CreatedAt: w.now, StartedAt: w.now, SandboxID: w.seen.Sandboxes[0].ID,
		Hash: podspec.Hash(podspec.Find(w.pod, s.Name))}
	w.health[c.ID] = plan.Health{Started: !w.slow[s.Name]}
	w.seen.Containers = append([]state.Container{c}, w.seen.Containers...)
}

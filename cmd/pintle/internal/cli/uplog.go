package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
)

// patience is how long a start may print nothing before it says what the log
// complains of.
const patience = 10 * time.Second

// logWatch passes on what is written to it. When nothing comes for a while it
// writes the newest warning of a log, once.
type logWatch struct {
	mu   sync.Mutex // guards out and told
	out  io.Writer
	told string

	log    string
	offset int64  // where the log of this start begins
	self   string // how the user calls this program
	timer  *time.Timer
}

func watchLog(out io.Writer, log string, offset int64, self string) *logWatch {
	w := &logWatch{out: out, log: log, offset: offset, self: self}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(patience, w.tell)
	return w
}

func (w *logWatch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(patience)
	return w.out.Write(b)
}

func (w *logWatch) stop() { w.timer.Stop() }

func (w *logWatch) tell() {
	b, err := readFrom(w.log, w.offset)
	if err != nil {
		return // the log's path is printed in the end
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(patience)
	line := lastWarning(string(b))
	if line == "" || line == w.told {
		return
	}
	w.told = line
	fmt.Fprintf(w.out, "  … still waiting; the log says: %s\n", line)
	if hint := lockedOut(line, w.self); hint != "" {
		fmt.Fprintf(w.out, "    %s\n", hint)
	}
}

// lastWarning returns the newest line at WARN or ERROR of a log, from its
// message on.
func lastWarning(log string) string {
	for lines := strings.Split(log, "\n"); len(lines) > 0; lines = lines[:len(lines)-1] {
		line := lines[len(lines)-1]
		if !strings.Contains(line, " level=WARN ") && !strings.Contains(line, " level=ERROR ") {
			continue
		}
		if _, message, ok := strings.Cut(line, " msg="); ok {
			return message
		}
	}
	return ""
}

var policyOf = regexp.MustCompile(`admission policy \\?"([a-z0-9.-]+)\\?"`)

// lockedOut says how to open a cluster whose policy refuses what a start needs.
func lockedOut(line, self string) string {
	m := policyOf.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return fmt.Sprintf("a policy refuses it: `%[1]s plugin remove %[2]s`, or `%[1]s down` and `%[1]s up --disable-plugin %[2]s`", self, m[1])
}

func fileSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// readFrom reads a file from an offset on, its last 64 KiB at most.
func readFrom(path string, offset int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size := fileSize(path); size-offset > 64<<10 {
		offset = size - 64<<10
	}
	return io.ReadAll(io.NewSectionReader(f, offset, 64<<10))
}

// podsLimit is how long `up` waits for the pods that ran before it. One that
// crashes would never come.
const podsLimit = 15 * time.Second

// podsStable is how long pods must be seen running whose containers are older than
// the start: they outlived a crash, or the node has not reported yet that they
// are gone.
const podsStable = time.Second

// awaitPods waits until the pods that a cluster had before run again: without it
// a cluster that is said to be ready shows them all in Error. It prints nothing
// when there are none, and fails never: it is the node that starts them.
func awaitPods(ctx context.Context, out io.Writer, dir paths.Dir, node string, since time.Time) {
	c, err := (&client.Flags{Kubeconfig: dir.AdminKubeconfig()}).Config()
	if err != nil {
		return
	}
	api, err := kubernetes.NewForConfig(c)
	if err != nil {
		return
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, podsLimit)
	defer cancel()
	var back, fresh, all int
	well := start // since when all run
	for {
		list, err := api.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
		if err == nil {
			back, fresh, all = returned(list.Items, since)
		}
		if err != nil || back < all {
			well = time.Now()
		} else if fresh == all || time.Since(well) >= podsStable {
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		break
	}
	if all > 0 {
		detail := fmt.Sprintf("%d of before run again", back)
		if back < all {
			detail = fmt.Sprintf("%d of %d of before run again; `%s kubectl get pods -A` shows how the others do", back, all, self())
		}
		steps.Print(out, steps.Step{Name: "pods", Took: time.Since(start), Detail: detail})
	}
}

// returned counts the pods that ran and should run, those that do, and those whose
// containers all have been started since then: what the status says of older ones
// may be old, too.
func returned(pods []corev1.Pod, since time.Time) (back, fresh, all int) {
	since = since.Truncate(time.Second) // as the API's times are
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning || crashes(p) {
			continue
		}
		all++
		running, started := 0, 0
		for _, s := range p.Status.ContainerStatuses {
			switch {
			case s.State.Running != nil:
				running++
				if !s.State.Running.StartedAt.Time.Before(since) {
					started++
				}
			case s.State.Terminated != nil && p.Spec.RestartPolicy != corev1.RestartPolicyAlways && s.State.Terminated.ExitCode == 0:
				running, started = running+1, started+1 // it is done
			}
		}
		if running == len(p.Spec.Containers) {
			back++
		}
		if started == len(p.Spec.Containers) {
			fresh++
		}
	}
	return back, fresh, all
}

// crashes tells that a pod did not do well before, either.
func crashes(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff"
	})
}

// Package suite runs upstream's e2e.test under ginkgo and tells how far it is.
package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Run says what is run, and against what.
type Run struct {
	Ginkgo, Test string   // executables
	Prefix       []string // a command that runs its arguments, in another network for example; may be empty
	Kubeconfig   string
	Kubectl      string
	Focus, Skip  string // regular expressions on the names of specs, "" for all and none
	Nodes        int    // schedulable nodes of the cluster
	Procs        int    // specs at a time; those marked Serial run alone, at the end
	Timeout      time.Duration
	Dir          string // where junit.xml, output.log and e2e.test's own reports go
}

// JUnit is the report that Do leaves.
func (r Run) JUnit() string { return filepath.Join(r.Dir, "junit.xml") }

// Output is what ginkgo and e2e.test printed.
func (r Run) Output() string { return filepath.Join(r.Dir, "output.log") }

// grace is how long ginkgo has to end and report after its own timeout.
const grace = time.Minute

// Do runs the specs and reports progress to p. Specs that fail are no error
// here: the report has them. It is an error if there is no report.
func (r Run) Do(ctx context.Context, p io.Writer) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	// A report of an earlier run must not be taken for this one's.
	if err := os.Remove(r.JUnit()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.Create(r.Output())
	if err != nil {
		return err
	}
	defer out.Close()
	ctx, cancel := context.WithTimeout(ctx, r.Timeout+grace)
	defer cancel()
	argv := append(append([]string{}, r.Prefix...), r.args()...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// Interrupted, ginkgo ends what runs, cleans up and writes its report.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	progress := newProgress(p, time.Now)
	cmd.Stdout = io.MultiWriter(out, progress)
	cmd.Stderr = out
	err = cmd.Run()
	progress.end()
	if _, missing := os.Stat(r.JUnit()); missing != nil {
		return fmt.Errorf("the suite left no report (%v); see the end of %s", err, r.Output())
	}
	return nil
}

func (r Run) args() []string {
	args := []string{r.Ginkgo,
		"--procs=" + strconv.Itoa(r.Procs),
		"--timeout=" + r.Timeout.String(),
		"--no-color", "--silence-skips",
		"--junit-report=" + r.JUnit(),
	}
	if r.Focus != "" {
		args = append(args, "--focus="+r.Focus)
	}
	if r.Skip != "" {
		args = append(args, "--skip="+r.Skip)
	}
	return append(args, r.Test, "--",
		"--provider=skeleton", // the cluster is there; nothing is known of a cloud
		"--kubeconfig="+r.Kubeconfig,
		"--kubectl-path="+r.Kubectl,
		"--num-nodes="+strconv.Itoa(r.Nodes),
		"--allowed-not-ready-nodes=0",
		"--report-dir="+filepath.Join(r.Dir, "e2e"),
	)
}

// FocusOn returns an expression for exactly these specs. Names end in labels
// such as [Conformance]; a shell has no part in this, so that nothing but the
// expression's own signs is escaped.
func FocusOn(names []string) string {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(escaped, "|")
}

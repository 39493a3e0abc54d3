package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nodeDNS is the address that every node gives itself.
const nodeDNS = "169.254.20.10"

// Bounds of one command of the tour and of all.
const (
	commandLimit = 2 * time.Minute // make up builds
	tourLimit    = 6 * time.Minute
)

// TestTour does what docs/tour.md says: the commands in its console blocks run
// in order in one shell, in the project's folder, and must print what stands
// below them.
func TestTour(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "tour.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands, err := consoleCommands("tour.md", string(text))
	if err != nil {
		t.Fatal(err)
	}
	requireUntouched(t)
	bin := pintleBin(t)
	t.Cleanup(func() { leaveNothing(t, bin) })
	ctx, cancel := context.WithTimeout(t.Context(), tourLimit)
	defer cancel()
	startShell(t, ctx, root).follow(t, ctx, "tour.md", commands)
}

// follow runs the commands of a text and compares what they print.
func (s *shell) follow(t *testing.T, ctx context.Context, file string, commands []command) {
	t.Helper()
	for _, c := range commands {
		start := time.Now()
		out, code, err := s.run(ctx, c.text)
		if err != nil {
			t.Fatalf("%s:%d: %s\n%v\n%s", file, c.line, c.text, err, out)
		}
		if (code != 0) != c.fails {
			t.Fatalf("%s:%d: %s\nended with code %d:\n%s", file, c.line, c.text, code, out)
		}
		if !matches(c.want, out) {
			t.Fatalf("%s:%d: %s\nprinted:\n%s\nwant:\n%s", file, c.line, c.text, out, c.want)
		}
		t.Logf("%5.1fs  %s", time.Since(start).Seconds(), firstLine(c.text))
	}
}

// requireUntouched fails where the tour would take over somebody's cluster.
func requireUntouched(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the tour starts a cluster: run it as root")
	}
	for path, remedy := range map[string]string{
		"/var/lib/pintle":           "the tour ends with `pintle down --purge`, which would remove your cluster; if you want that, do it first",
		"/var/lib/pintle-lab":       "the tour needs the place of the lab; `pintle lab down` removes the one that is there",
		"/var/run/netns/pintle-lab": "the tour needs the place of the lab; `pintle lab down` removes the one that is there",
	} {
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%s exists: %s", path, remedy)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if strings.HasPrefix(a.String(), nodeDNS+"/") {
			t.Fatalf("a node runs on this machine, it has the address %s: end it first", nodeDNS)
		}
	}
}

// leaveNothing cleans up after a tour that broke off; after a whole one there
// is nothing to do.
func leaveNothing(t *testing.T, bin string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if t.Failed() {
		for _, log := range []string{"/var/lib/pintle/pintle.log", "/var/lib/pintle-lab/server/pintle.log"} {
			if b, err := os.ReadFile(log); err == nil {
				t.Logf("%s\n%s", log, tail(b, 4000))
			}
		}
	}
	for _, args := range [][]string{{"lab", "down"}, {"down", "--purge"}} {
		if out, err := run(ctx, nil, "", bin, args...); err != nil {
			t.Errorf("pintle %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// command is one command of a text and what it should do.
type command struct {
	line  int
	text  string
	want  string // "…" stands for anything
	fails bool
}

// consoleCommands reads the ```console blocks of a text. A line "$ x" begins a
// command, "> y" continues it, the rest is its output. In a block marked
// "fails" the last command must fail, a block marked "norun" is left out.
func consoleCommands(file, text string) ([]command, error) {
	var all []command
	var mark string
	inside, first := false, 0
	for i, l := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(l, "```")
		switch {
		case isFence && !inside && strings.HasPrefix(fence, "console"):
			inside, first = true, len(all)
			mark = strings.TrimSpace(strings.TrimPrefix(fence, "console"))
			if mark != "" && mark != "fails" && mark != "norun" {
				return nil, fmt.Errorf("%s:%d: unknown mark %q", file, i+1, mark)
			}
		case isFence:
			if inside && mark == "fails" && len(all) > first {
				all[len(all)-1].fails = true
			}
			inside = false
		case !inside || mark == "norun":
		case strings.HasPrefix(l, "$ "):
			all = append(all, command{line: i + 1, text: l[2:]})
		case len(all) == first:
			return nil, fmt.Errorf("%s:%d: output before the first command: %s", file, i+1, l)
		case (l == ">" || strings.HasPrefix(l, "> ")) && all[len(all)-1].want == "":
			all[len(all)-1].text += "\n" + strings.TrimPrefix(strings.TrimPrefix(l, ">"), " ")
		default:
			all[len(all)-1].want += l + "\n"
		}
	}
	if inside {
		return nil, fmt.Errorf("%s: a console block is not closed", file)
	}
	return all, nil
}

var blanks = regexp.MustCompile(`[ \t]+`)

// matches compares output with what is wanted. A line "…" stands for any number of
// lines, "…" within a line for any text; runs of blanks are equal.
func matches(want, got string) bool {
	var re strings.Builder
	re.WriteString(`\A`)
	for l := range strings.Lines(want) {
		l = strings.TrimSpace(blanks.ReplaceAllString(l, " "))
		if l == "…" {
			re.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		parts := strings.Split(l, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re.WriteString(strings.Join(parts, `[^\n]*`) + `\n`)
	}
	re.WriteString(`\z`)
	var lines strings.Builder
	for l := range strings.Lines(got) {
		lines.WriteString(strings.TrimSpace(blanks.ReplaceAllString(l, " ")) + "\n")
	}
	return regexp.MustCompile(re.String()).MatchString(lines.String())
}

func firstLine(s string) string {
	l, _, _ := strings.Cut(s, "\n")
	return l
}

// shell is a bash that runs one command after another.
type shell struct {
	in     io.Writer
	lines  chan string // of standard output and error; closed at the end
	script string      // holds the present command
}

// marker ends the output of a command.
const marker = "\x01end of command "

func startShell(t *testing.T, ctx context.Context, dir string) *shell {
	t.Helper()
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, "KUBECONFIG=", "TMPDIR="+t.TempDir())
	// What the tour leaves in the background ends with the shell.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s := &shell{in: in, lines: make(chan string, 64), script: filepath.Join(t.TempDir(), "command")}
	go s.read(r)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		r.Close()
	})
	return s
}

func (s *shell) read(r io.Reader) {
	defer close(s.lines)
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		s.lines <- sc.Text()
	}
}

// run runs one command and returns what it printed and its exit code.
func (s *shell) run(ctx context.Context, text string) (out string, code int, err error) {
	if err := os.WriteFile(s.script, []byte(text+"\n"), 0o600); err != nil {
		return "", 0, err
	}
	// The command is sourced, so that variables stay, and reads no commands.
	if _, err := fmt.Fprintf(s.in, ". '%s' < /dev/null; printf '\\n%s%%d\\n' $?\n", s.script, marker); err != nil {
		return "", 0, err
	}
	var b bytes.Buffer
	late := time.After(commandLimit)
	for {
		select {
		case l, ok := <-s.lines:
			if !ok {
				return b.String(), 0, fmt.Errorf("the shell ended")
			}
			if n, found := strings.CutPrefix(l, marker); found {
				_, err := fmt.Sscan(n, &code)
				return strings.TrimSuffix(b.String(), "\n"), code, err
			}
			b.WriteString(l + "\n")
		case <-late:
			return b.String(), 0, fmt.Errorf("no end after %s", commandLimit)
		case <-ctx.Done():
			return b.String(), 0, ctx.Err()
		}
	}
}

// What the tour's reader of blocks understands.
func TestConsoleCommands(t *testing.T) {
	got, err := consoleCommands("t.md", "text\n```console\n$ a\n> b\n1\n2\n$ c\n```\n```console norun\n$ d\n```\n```console fails\n$ e\n$ f\nno\n```\n```\n$ g\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []command{{3, "a\nb", "1\n2\n", false}, {7, "c", "", false}, {13, "e", "", false}, {14, "f", "no\n", true}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range []string{"```console\n$ a\n", "```console\noutput\n```\n", "```console maybe\n```\n"} {
		if _, err := consoleCommands("t.md", bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		want, got string
		match     bool
	}{
		{"", "", true},
		{"", "more\n", false},
		{"a\n", "a\n", true},
		{"a\n", "a\nb\n", false},
		{"a\n…\n", "a\n", true},
		{"a\n…\nd\n", "a\nb\nc\nd\n", true},
		{"…\nd\n", "d\ne\n", false},
		{"pod/web-… ok\n", "pod/web-1.2   ok \n", true},
		{"pod/web-… ok\n", "pod/web-1\nok\n", false},
		{"a.c\n", "abc\n", false},
	} {
		if got := matches(tc.want, tc.got); got != tc.match {
			t.Errorf("matches(%q, %q) = %v, want %v", tc.want, tc.got, got, tc.match)
		}
	}
}

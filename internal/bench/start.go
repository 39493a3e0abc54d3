package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Targets of the first release.
const (
	startLimit  = 5.0   // seconds
	memoryLimit = 200.0 // MiB
)

// idle is how long a process is left alone before its memory is read: the
// runtime returns what the start needed within some twenty seconds.
const idle = 25 * time.Second

// process is a running pintle whose steps are followed.
type process struct {
	*exec.Cmd
	begin time.Time
	dir   string
	steps chan step
}

type step struct {
	name string
	at   time.Duration
}

// launch starts a command and reads the steps that it prints.
func launch(cmd *exec.Cmd, dir string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{Cmd: cmd, dir: dir, begin: time.Now(), steps: make(chan step, 64)}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.follow(out)
	return p, nil
}

func (p *process) follow(out io.Reader) {
	defer close(p.steps)
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if f := strings.Fields(sc.Text()); len(f) > 1 && f[0] == "✓" {
			p.steps <- step{f[1], time.Since(p.begin)}
		}
	}
}

// await returns when a step was done.
func (p *process) await(ctx context.Context, name string) (time.Duration, error) {
	for {
		select {
		case s, ok := <-p.steps:
			if !ok {
				return 0, fmt.Errorf("it ended before the step %q:\n%s", name, p.log())
			}
			if s.name == name {
				return s.at, nil
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("step %q: %w; the end of its log:\n%s", name, context.Cause(ctx), p.log())
		}
	}
}

func (p *process) log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// freePort is a port of the loopback that was free just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (b *bench) server(ctx context.Context, dir string) (*process, error) {
	api, err := freePort()
	if err != nil {
		return nil, err
	}
	images, err := freePort()
	if err != nil {
		return nil, err
	}
	return launch(exec.CommandContext(ctx, b.pintle, "server", "--data-dir", filepath.Join(dir, "data"), "--listen", api, "--registry-listen", images), dir)
}

// start measures `pintle server`, twice on the same data: the second time, it
// finds its keys, its objects and its compiled plugins.
func (b *bench) start(ctx context.Context) error {
	dir := filepath.Join(b.dir, "start")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, when := range []string{"first start", "second start"} {
		if err := b.startOnce(ctx, dir, when); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
	}
	return nil
}

func (b *bench) startOnce(ctx context.Context, dir, when string) (err error) {
	p, err := b.server(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(p.Cmd)) }()
	api, err := p.await(ctx, "api")
	if err != nil {
		return err
	}
	if err := answers(ctx, filepath.Join(dir, "data", "admin.kubeconfig")); err != nil {
		return err
	}
	plugins, err := p.await(ctx, "plugins")
	if err != nil {
		return err
	}
	b.report.most("server, "+when+": API answers", api.Seconds(), startLimit, "s", "")
	b.report.most("server, "+when+": every plugin loaded", plugins.Seconds(), startLimit, "s", "")
	if when != "second start" {
		return nil
	}
	before, err := cpuTime(p.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := cpuTime(p.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := resident(p.Process.Pid)
	if err != nil {
		return err
	}
	b.report.most("server, idle: memory", rss, memoryLimit, "MiB", "control plane with embedded etcd, without a node")
	if err := b.sharedOnce(p.Process.Pid); err != nil {
		return err
	}
	b.report.most("server, idle: CPU", (after-before).Seconds()/idle.Seconds(), 0, "cores", "")
	return nil
}

// answers checks that the API server is ready, by its own word.
func answers(ctx context.Context, kubeconfig string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return err
	}
	return until(ctx, func() bool {
		res, err := client.Get(cfg.Host + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
}

// startNode measures `pintle up` in a network namespace and a cgroup of its
// own, so that it disturbs nothing on the machine.
func (b *bench) startNode(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root")
	}
	dir := filepath.Join(b.dir, "node")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `ip link set lo up && exec "$0" up --foreground --data-dir "$1" --cgroup "$2" --node-name bench`, b.pintle, data, benchCgroup)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p, err := launch(cmd, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.down(p, data)) }()
	inside := func(args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", p.Process.Pid), "--", b.pintle, "kubectl", "--kubeconfig", filepath.Join(data, "admin.kubeconfig")}, args...)...)
	}
	if _, err := p.await(ctx, "node"); err != nil {
		return err
	}
	if err := until(ctx, func() bool {
		out, err := inside("get", "node", "bench", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`).Output()
		return err == nil && string(out) == "True"
	}); err != nil {
		return err
	}
	b.report.most("pintle up: first start to a Ready node", time.Since(p.begin).Seconds(), startLimit, "s", "as kubectl sees it; private containerd included")
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	rss, err := resident(p.Process.Pid)
	if err != nil {
		return err
	}
	b.report.most("pintle up, idle: memory", rss, memoryLimit, "MiB", "etcd, API, scheduler, controllers, node agent, DNS, load balancer; without containerd")
	return b.sharedOnce(p.Process.Pid)
}

// sharedOnce reports memory without counting what guests share more than once.
func (b *bench) sharedOnce(pid int) error {
	pss, err := proportional(pid)
	if err != nil {
		return err
	}
	b.report.most("  each page counted once", pss, 0, "MiB", "guests share the pages of the image that they begin with")
	return nil
}

// benchCgroup is where the node of startNode and its pods run.
const benchCgroup = "/pintle-bench"

// down stops the node's process and removes what it would leave for its
// successor. That is done from within its network namespace and for its cgroup:
// the machine may run a cluster of its own.
func (b *bench) down(p *process, data string) error {
	out, err := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", p.Process.Pid), "--",
		b.pintle, "down", "--purge", "--data-dir", data, "--cgroup", benchCgroup, "--node-name", "bench").CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("pintle down: %w\n%s", err, out), stop(p.Cmd))
	}
	if err := p.Wait(); err != nil {
		return fmt.Errorf("pintle up: %w", err)
	}
	hierarchies, err := filepath.Glob("/sys/fs/cgroup/*" + benchCgroup)
	if err != nil {
		return err
	}
	for _, h := range append(hierarchies, "/sys/fs/cgroup"+benchCgroup) {
		removeCgroups(h)
	}
	return nil
}

// removeCgroups removes an empty tree of cgroups, which have no files to
// remove. One that is still in use stays.
func removeCgroups(dir string) {
	children, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, c := range children {
		if c.IsDir() {
			removeCgroups(filepath.Join(dir, c.Name()))
		}
	}
	_ = os.Remove(dir)
}

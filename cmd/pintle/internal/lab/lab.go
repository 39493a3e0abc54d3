// Package lab runs a cluster of several nodes on one machine: each node in a
// network namespace of its own with its own agent, containerd and pod range,
// joined over a bridge to one control plane. A node can be killed, cut off
// and healed. It is what plugin authors and operators rehearse with, and the
// bed of Pintle's own end-to-end tests.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/node/cgroup"
)

// DefaultDir is where a lab keeps everything; `lab down` removes it.
const DefaultDir = "/var/lib/pintle-lab"

// The lab's own ranges, apart from those of `pintle up`, so that both may run
// at once.
const (
	ServiceCIDR = "10.97.0.0/16"
	PodCIDR     = "10.245.0.0/16"
)

// Config says what lab to build.
type Config struct {
	Dir      string // "" is DefaultDir
	Nodes    int    // 1 to MaxNodes
	APIPort  int    // on the host's loopback; 0 picks a free one
	Registry int    // the image registry's port on the host's loopback; 0 picks a free one
	// ServerArgs and NodeArgs are added to the commands of each.
	ServerArgs, NodeArgs []string
}

// State is a running lab, as kept in its directory.
type State struct {
	Dir        string   `json:"dir"`
	API        string   `json:"api"`      // host:port on the host's loopback
	Registry   string   `json:"registry"` // host:port on the host's loopback
	Nodes      []Node   `json:"nodes"`
	NodeArgs   []string `json:"nodeArgs,omitempty"`
	ServerArgs []string `json:"serverArgs,omitempty"`
}

// Node is one node of a lab.
type Node struct {
	Name  string `json:"name"`
	Index int    `json:"index"` // from 1
	IP    string `json:"ip"`
}

// Kubeconfig grants everything on the lab's cluster, from the host.
func (s *State) Kubeconfig() string { return s.server().AdminKubeconfig() }

func (s *State) server() paths.Dir { return paths.Dir(filepath.Join(s.Dir, "server")) }

func (s *State) nodeDir(n Node) paths.Dir { return paths.Dir(filepath.Join(s.Dir, n.Name)) }

// FastServerArgs and FastNodeArgs make a lab lose a node quickly: a node is
// silent for 6 seconds before it counts as lost, and pods stay on it for 2
// more. Upstream's defaults, which `pintle up` has, are 40 and 300.
var (
	FastServerArgs = []string{
		"--node-monitor-grace-period=6s",
		"--default-not-ready-toleration-seconds=2",
		"--default-unreachable-toleration-seconds=2",
	}
	FastNodeArgs = []string{"--node-lease-duration=4s", "--node-status-update-frequency=2s"}
)

// ErrNone: no lab is there.
var ErrNone = errors.New("no lab is running; start one with `pintle lab up`")

// Load reads a running lab.
//
// # Errors
//   - ErrNone
func Load(dir string) (*State, error) {
	b, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read lab: %w", err)
	}
	return &s, nil
}

func (s *State) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "lab.json"), b, 0o600)
}

// Node finds a node by name.
func (s *State) Node(name string) (Node, error) {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("the lab has no node %q; `pintle lab status` lists them", name)
}

// NewToken makes a join token for a number of nodes from the server's
// kubeconfig.
type NewToken func(ctx context.Context, kubeconfig string, nodes int) (string, error)

// Up builds the lab and waits until every node has joined. Progress goes to
// out. newToken makes a join token for so many nodes. What was built is torn
// down again when a step fails.
func Up(ctx context.Context, c Config, out io.Writer, newToken NewToken) (*State, error) {
	if c.Nodes < 1 || c.Nodes > MaxNodes {
		return nil, fmt.Errorf("--nodes: %d is not between 1 and %d", c.Nodes, MaxNodes)
	}
	if existsNS(switchNS) {
		at := owner()
		return nil, fmt.Errorf("a lab is already there: `pintle lab status --dir %[1]s` shows it, `pintle lab down --dir %[1]s` removes it", at)
	}
	if err := os.WriteFile(ownerFile, []byte(c.Dir), 0o644); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	s := &State{Dir: c.Dir, ServerArgs: c.ServerArgs, NodeArgs: c.NodeArgs}
	err := s.build(ctx, c, out, newToken)
	if err != nil {
		return nil, errors.Join(err, Down(context.WithoutCancel(ctx), c.Dir, true))
	}
	return s, nil
}

func (s *State) build(ctx context.Context, c Config, out io.Writer, newToken NewToken) error {
	start := time.Now()
	if err := makeSwitch(); err != nil {
		return err
	}
	for i := 1; i <= c.Nodes; i++ {
		n := Node{Name: fmt.Sprintf("node%d", i), Index: i, IP: NodeIP(i)}
		if err := plugIn(i, n.Name); err != nil {
			return err
		}
		s.Nodes = append(s.Nodes, n)
	}
	steps.Print(out, steps.Step{Name: "network", Took: time.Since(start), Detail: fmt.Sprintf("%d namespaces on a switch, %s to %s", c.Nodes, s.Nodes[0].IP, s.Nodes[c.Nodes-1].IP)})
	if err := s.save(); err != nil {
		return err
	}
	start = time.Now()
	if err := s.startServer(c.APIPort, c.Registry); err != nil {
		return err
	}
	steps.Print(out, steps.Step{Name: "control plane", Took: time.Since(start), Detail: "https://" + s.API})
	token, err := newToken(ctx, s.Kubeconfig(), len(s.Nodes))
	if err != nil {
		return fmt.Errorf("make a join token: %w", err)
	}
	if err := s.save(); err != nil {
		return err
	}
	return s.startNodes(out, token)
}

func (s *State) startServer(apiPort, registryPort int) error {
	api, apiFile, err := loopback(apiPort)
	if err != nil {
		return fmt.Errorf("--api-port: %w", err)
	}
	defer apiFile.Close()
	reg, regFile, err := loopback(registryPort)
	if err != nil {
		return fmt.Errorf("--registry-port: %w", err)
	}
	defer regFile.Close()
	s.API, s.Registry = api, reg
	args := append([]string{"server",
		"--data-dir", string(s.server()),
		"--listen", ServerIP + ":6443", "--listen", "fd:4=" + api,
		"--registry-listen", ServerIP + ":5000", "--registry-listen", "fd:5=" + reg,
		"--advertise-address", ServerIP,
		"--service-cidr", ServiceCIDR, "--cluster-cidr", PodCIDR,
		"--cgroup", cgroupName("server"),
	}, s.ServerArgs...)
	return s.spawn(switchNS, "the control plane", daemon.Spec{Args: args, Log: s.server().Log(), Files: []*os.File{apiFile, regFile}}, io.Discard)
}

// loopback listens on the host's loopback; the socket is inherited by the
// control plane, which runs in another namespace.
func loopback(portNumber int) (string, *os.File, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: portNumber})
	if err != nil {
		return "", nil, err
	}
	defer l.Close()
	f, err := l.File()
	return l.Addr().String(), f, err
}

func (s *State) startNodes(out io.Writer, token string) error {
	type result struct {
		n    Node
		took time.Duration
		err  error
	}
	results := make(chan result, len(s.Nodes))
	for _, n := range s.Nodes {
		go func() {
			start := time.Now()
			err := s.startNode(n, token)
			results <- result{n, time.Since(start), err}
		}()
	}
	var errs []error
	for range s.Nodes {
		r := <-results
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		steps.Print(out, steps.Step{Name: r.n.Name, Took: r.took, Detail: "Ready at " + r.n.IP})
	}
	return errors.Join(errs...)
}

// startNode starts a node's agent. It needs the token when it joins, and gets
// it on a pipe, which no list of processes shows and no file keeps.
func (s *State) startNode(n Node, token string) error {
	args := append([]string{"node",
		"--name", n.Name, "--node-ip", n.IP,
		"--server", "https://" + ServerIP + ":6443",
		"--data-dir", string(s.nodeDir(n)),
		"--registry", ServerIP + ":5000",
		"--service-cidr", ServiceCIDR, "--cluster-cidr", PodCIDR,
		"--cgroup", cgroupName(n.Name),
	}, s.NodeArgs...)
	spec := daemon.Spec{Args: args, Log: s.nodeDir(n).Log()}
	if token != "" {
		r, err := pipe(token)
		if err != nil {
			return err
		}
		defer r.Close()
		spec.Args = append(spec.Args, "--token-file", "/dev/fd/4")
		spec.Files = []*os.File{r}
	}
	return s.spawn(nodeNS(n.Name), n.Name, spec, io.Discard)
}

// pipe is the reading end of a pipe that holds a short text.
func pipe(text string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.WriteString(text); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (s *State) spawn(ns, what string, spec daemon.Spec, out io.Writer) error {
	var progress io.ReadCloser
	err := inNS(ns, func() (err error) {
		_, progress, err = daemon.Spawn(spec)
		return err
	})
	if err != nil {
		return err
	}
	defer progress.Close()
	defer daemon.Bound(context.Background(), progress)()
	if err := steps.Follow(progress, out); err != nil {
		return fmt.Errorf("%s did not start: %w (its log: %s)", what, err, spec.Log)
	}
	return nil
}

// Kill ends a node as a power cut does: agent, containerd and every container
// at once. Heal brings it back.
func (s *State) Kill(name string) error {
	n, err := s.Node(name)
	if err != nil {
		return err
	}
	return errors.Join(setCable(n.Index, false), killAll(context.Background(), cgroupName(n.Name)))
}

// Cut pulls a node's cable: it runs on, and nobody reaches it.
func (s *State) Cut(name string) error {
	n, err := s.Node(name)
	if err != nil {
		return err
	}
	return setCable(n.Index, false)
}

// Heal plugs the cable in and starts the agent if it does not run.
func (s *State) Heal(name string) error {
	n, err := s.Node(name)
	if err != nil {
		return err
	}
	if err := setCable(n.Index, true); err != nil {
		return err
	}
	if pid, err := daemon.Pid(s.nodeDir(n).Lock()); err != nil || pid != 0 {
		return err
	}
	return s.startNode(n, "")
}

// Restart ends the control plane ("server") or a node's agent and starts it
// again at the same addresses. Containers run on.
func (s *State) Restart(ctx context.Context, name string, kill bool) error {
	grace := 30 * time.Second
	if kill {
		grace = 0
	}
	if name == "server" {
		if _, err := daemon.Stop(ctx, s.server().Lock(), grace); err != nil {
			return err
		}
		return s.startServer(portOf(s.API), portOf(s.Registry))
	}
	n, err := s.Node(name)
	if err != nil {
		return err
	}
	if _, err := daemon.Stop(ctx, s.nodeDir(n).Lock(), grace); err != nil {
		return err
	}
	return s.startNode(n, "")
}

func portOf(address string) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port) // "" or a bad number picks a free one
	return n
}

// NodeStatus is what Status tells of a node: the machine's side; the
// cluster's side is in the Node object.
type NodeStatus struct {
	Node
	Agent      int  // pid, 0 when it does not run
	Cable      bool // whole or cut
	Containers int  // processes of containers
}

// Status looks at every node and at the server.
func (s *State) Status() (serverPid int, nodes []NodeStatus, err error) {
	serverPid, err = daemon.Pid(s.server().Lock())
	if err != nil {
		return 0, nil, err
	}
	groups, err := cgroup.Detect()
	if err != nil {
		return 0, nil, err
	}
	for _, n := range s.Nodes {
		st := NodeStatus{Node: n, Cable: cableUp(n.Index)}
		if st.Agent, err = daemon.Pid(s.nodeDir(n).Lock()); err != nil {
			return 0, nil, err
		}
		pods, err := groups.Procs(cgroupName(n.Name) + "/kubepods")
		if err != nil {
			return 0, nil, err
		}
		st.Containers = len(pods)
		nodes = append(nodes, st)
	}
	return serverPid, nodes, nil
}

// Switch names the lab's switch where a node is asked for: a place on the
// network that is outside of every node.
const Switch = "switch"

// Command returns a command that runs on a node or on the Switch: in its network and in its
// cgroup, so that the node's load balancer sees its connections. It starts
// this executable again (`pintle lab run`), which enters both.
func (s *State) Command(ctx context.Context, name string, argv ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ns, group := switchNS, cgroupName(Switch)
	if name != Switch {
		n, err := s.Node(name)
		if err != nil {
			return nil, err
		}
		ns, group = nodeNS(n.Name), cgroupName(n.Name)+"/agent"
	}
	args := append([]string{"lab", "run", "--netns", ns, "--cgroup", group, "--"}, argv...)
	return exec.CommandContext(ctx, exe, args...), nil
}

// Run replaces this process by argv in a network namespace and a cgroup.
func Run(ns, group string, argv []string) error {
	if err := EnterCgroup(group); err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return inNS(ns, func() error { return syscall.Exec(path, argv, os.Environ()) })
}

// ownerFile names the directory of the machine's lab: namespaces and cgroups
// have fixed names, so there is one at a time.
const ownerFile = "/run/pintle-lab.dir"

// owner is the directory of the lab that is there; DefaultDir when nobody
// knows.
func owner() string {
	b, err := os.ReadFile(ownerFile)
	if err != nil || len(b) == 0 {
		return DefaultDir
	}
	return string(b)
}

// Down ends every process of the lab and removes its namespaces, mounts,
// cgroups and, with purge, its directory. It may be called on what is left of
// a lab that failed, and does nothing when there is none. The lab of another
// directory is left alone.
func Down(ctx context.Context, dir string, purge bool) error {
	if at := owner(); at != dir && existsNS(switchNS) {
		return fmt.Errorf("the lab that is there is that of %[1]s: `pintle lab down --dir %[1]s`", at)
	}
	names := []string{"server", Switch}
	s, err := Load(dir)
	switch {
	case errors.Is(err, ErrNone):
		s = &State{Dir: dir}
	case err != nil:
		return err
	}
	for _, n := range s.Nodes {
		names = append(names, n.Name)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, killAll(ctx, cgroupName(name)))
	}
	errs = append(errs, unmountBelow(dir))
	for _, n := range s.Nodes {
		errs = append(errs, removeNS(nodeNS(n.Name)))
	}
	if existsNS(switchNS) {
		errs = append(errs, removeNS(switchNS))
	}
	errs = append(errs, removeGroups(), ignoreMissing(os.Remove(ownerFile)))
	if purge {
		errs = append(errs, os.RemoveAll(dir))
	} else {
		errs = append(errs, ignoreMissing(os.Remove(filepath.Join(dir, "lab.json"))))
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

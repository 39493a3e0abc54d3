package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// cluster is what the tests run against.
type cluster struct {
	pintle     string
	kubeconfig string   // as the tests reach the API
	outside    string   // a kubeconfig that works where we are
	registry   string   // where images are pushed to, "" for nowhere
	prefix     []string // runs its arguments where the tests' network is
	kubectl    string
	nodes      int
	lab        string // its folder; "" if the cluster is not ours
}

// cluster takes the one of the kubeconfig, or starts a lab.
func (o options) cluster(ctx context.Context, out io.Writer) (*cluster, error) {
	c := &cluster{pintle: o.pintle, kubectl: filepath.Join(o.dir, "bin", "kubectl")}
	script := fmt.Sprintf("#!/bin/sh\nexec %q kubectl \"$@\"\n", o.pintle)
	if err := os.WriteFile(c.kubectl, []byte(script), 0o755); err != nil {
		return nil, err
	}
	if o.kubeconfig != "" {
		c.kubeconfig, c.outside, c.registry = o.kubeconfig, o.kubeconfig, o.registry
		return c, c.countNodes(ctx)
	}
	c.lab = filepath.Join(o.dir, "lab")
	// What an interrupted run left behind.
	if _, err := c.run(ctx, "lab", "down", "--dir", c.lab); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "starting a lab of %d nodes\n", o.nodes)
	if err := c.startLab(ctx, o.nodes); err != nil {
		return nil, fmt.Errorf("%w (its logs are in %s)", err, c.lab)
	}
	return c, nil
}

// slow are the flags of a lab that loses nodes no sooner than an ordinary
// cluster does: the tests count on it.
var slow = []string{
	"--server-arg=--node-monitor-grace-period=40s",
	"--server-arg=--default-not-ready-toleration-seconds=300",
	"--server-arg=--default-unreachable-toleration-seconds=300",
	"--node-arg=--node-status-update-frequency=10s",
}

func (c *cluster) startLab(ctx context.Context, nodes int) error {
	args := append([]string{"lab", "up", "--dir", c.lab, "--nodes", fmt.Sprint(nodes)}, slow...)
	if _, err := c.run(ctx, args...); err != nil {
		return err
	}
	status, err := c.run(ctx, "lab", "status", "--dir", c.lab, "-o", "json")
	if err != nil {
		return err
	}
	var lab struct{ Kubeconfig, Registry string }
	if err := json.Unmarshal([]byte(status), &lab); err != nil {
		return fmt.Errorf("lab status: %w", err)
	}
	c.outside, c.registry = lab.Kubeconfig, lab.Registry
	c.prefix = []string{c.pintle, "lab", "exec", "--dir", c.lab, "switch", "--"}
	if err := c.inside(ctx); err != nil {
		return err
	}
	return c.countNodes(ctx)
}

// inside makes the kubeconfig that the tests use: they run in the lab's
// network, where the API has the address that its nodes know.
func (c *cluster) inside(ctx context.Context) error {
	address, err := c.ask(ctx, "get", "endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes",
		"-o", `jsonpath=https://{.items[0].endpoints[0].addresses[0]}:{.items[0].ports[0].port}`)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(c.outside)
	if err != nil {
		return err
	}
	c.kubeconfig = filepath.Join(filepath.Dir(c.lab), "inside.kubeconfig")
	if err := os.WriteFile(c.kubeconfig, b, 0o600); err != nil {
		return err
	}
	name, err := c.ask(ctx, "config", "view", "-o", "jsonpath={.clusters[0].name}")
	if err != nil {
		return err
	}
	_, err = c.run(ctx, "kubectl", "--kubeconfig", c.kubeconfig, "config", "set-cluster", name, "--server", address)
	return err
}

func (c *cluster) countNodes(ctx context.Context) error {
	names, err := c.ask(ctx, "get", "nodes", "-o", "name")
	if err != nil {
		return err
	}
	c.nodes = len(strings.Fields(names))
	return nil
}

// pushToken is a token that pushes images for as long as it takes to.
func (c *cluster) pushToken(ctx context.Context) (string, error) {
	token, err := c.ask(ctx, "create", "token", "image-pusher", "-n", "kube-system", "--audience=images.pintle.dev", "--duration=1h")
	return strings.TrimSpace(token), err
}

// end ends the lab, if there is one.
func (c *cluster) end(out io.Writer) error {
	if c.lab == "" {
		return nil
	}
	// The run's context may be what ended it.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	fmt.Fprintln(out, "ending the lab")
	_, err := c.run(ctx, "lab", "down", "--dir", c.lab)
	return err
}

// ask asks kubectl from outside.
func (c *cluster) ask(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, append([]string{"kubectl", "--kubeconfig", c.outside}, args...)...)
}

// run runs pintle and returns its standard output.
func (c *cluster) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.pintle, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pintle %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

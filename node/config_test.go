package node_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/node"
)

func TestValidate(t *testing.T) {
	valid := func() node.Config {
		c := node.Default()
		c.Name, c.Root, c.REST, c.Listen = "n1", "/var/lib/pintle/node", &rest.Config{}, ""
		return c
	}
	c := valid()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*node.Config){
		`node name "N 1"`:       func(c *node.Config) { c.Name = "N 1" },
		"no API server":         func(c *node.Config) { c.REST = nil },
		"is not absolute":       func(c *node.Config) { c.Root = "x" },
		"runtime endpoint":      func(c *node.Config) { c.RuntimeEndpoint = "tcp://x" },
		`cgroup "/"`:            func(c *node.Config) { c.Cgroup = "/" },
		`cgroup "/a/.."`:        func(c *node.Config) { c.Cgroup = "/a/.." },
		"at least one pod":      func(c *node.Config) { c.MaxPods = 0 },
		"lease duration of 1ms": func(c *node.Config) { c.LeaseDuration = time.Millisecond },
		"serving certificate":   func(c *node.Config) { c.Listen = ":1" },
		"image collection":      func(c *node.Config) { c.ImageGCLow = 90 },
		"logs: want":            func(c *node.Config) { c.LogFiles = 1 },
	} {
		c := valid()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	bad := valid()
	bad.Name, bad.Root = "", ""
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") < 1 {
		t.Errorf("two faults: got %v", err)
	}
	if _, err := node.New(bad); err == nil {
		t.Error("an agent with a bad configuration")
	}
}

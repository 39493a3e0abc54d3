package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	memoryNodes, memoryPods = 5000, 5000
	churnPods, churnTimes   = 10000, 3

	peakLimit  = 500.0 // MiB
	afterLimit = 1.3   // × before
	quiet      = 2 * time.Minute
)

// memory measures what a large cluster and a storm of changes take, and what
// stays of it when they are gone.
func (b *bench) memory(ctx context.Context) error {
	return b.stays(ctx, "memory", "  after all of it and two minutes of quiet", func(m *memoryRun) error {
		if err := m.cluster(); err != nil {
			return err
		}
		return m.storm()
	})
}

// stays measures an empty control plane, loads it, and reports what it still
// takes after two minutes of quiet.
func (b *bench) stays(ctx context.Context, name, what string, load func(*memoryRun) error) error {
	p, err := b.startControlPlane(ctx, name)
	if err != nil {
		return err
	}
	defer p.close()
	m := &memoryRun{bench: b, controlPlane: p}
	if err := m.wait(ctx, idle); err != nil {
		return err
	}
	before, of, err := m.read("before " + name)
	if err != nil {
		return err
	}
	b.report.most("memory before", before, 0, "MiB", "an empty control plane, idle; "+of)
	if err := load(m); err != nil {
		return err
	}
	if err := m.wait(ctx, quiet); err != nil {
		return err
	}
	after, of, err := m.read("after " + name)
	if err != nil {
		return err
	}
	b.report.most(what, after/before, afterLimit, "× before", fmt.Sprintf("%.0f MiB; %s", after, of))
	return nil
}

// memoryRun is a control plane whose memory is followed.
type memoryRun struct {
	bench        *bench
	controlPlane *controlPlaneClient
}

func (m *memoryRun) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read returns the resident memory in MiB and what it consists of, and writes
// what the heap holds.
func (m *memoryRun) read(name string) (rss float64, of string, err error) {
	pid := m.controlPlane.cmd.Process.Pid
	if rss, err = resident(pid); err != nil {
		return 0, "", err
	}
	if of, err = parts(pid); err != nil {
		return 0, "", err
	}
	fmt.Fprintf(os.Stderr, "%-10s %s: %.0f MiB; %s\n", "", name, rss, of)
	return rss, of, m.heap(name)
}

func (m *memoryRun) heap(name string) error {
	_, err := m.controlPlane.order(order{Do: "heap", File: filepath.Join(m.bench.profiles, "memory-"+name+".heap")})
	return err
}

// do carries out an order and reports the most that the process took meanwhile.
func (m *memoryRun) do(o order, what string, limit float64) error {
	pid := m.controlPlane.cmd.Process.Pid
	if err := resetPeak(pid); err != nil {
		return err
	}
	begin := time.Now()
	if _, err := m.controlPlane.order(o); err != nil {
		return err
	}
	most, err := peak(pid)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	_, of, err := m.read(o.Do)
	if err != nil {
		return err
	}
	m.bench.report.most(what, most, limit, "MiB", fmt.Sprintf("the most in %.0f s; then %s", took.Seconds(), of))
	return nil
}

// cluster has nodes and pods come, stay for a while, and go.
func (m *memoryRun) cluster() error {
	for _, x := range []struct {
		order order
		what  string
		limit float64
	}{
		{order{Do: "nodes", Count: memoryNodes, Given: true}, "memory with 5,000 nodes", peakLimit},
		{order{Do: "deploy", Count: memoryPods}, "  and a Deployment of 5,000 pods on them", peakLimit},
		{order{Do: "undeploy"}, "  while the pods go", peakLimit},
		{order{Do: "remove nodes"}, "  while the nodes go", peakLimit},
	} {
		if err := m.do(x.order, x.what, x.limit); err != nil {
			return err
		}
	}
	return nil
}

// storm creates, changes and deletes many pods, again and again.
func (m *memoryRun) storm() error {
	for i := range churnTimes {
		what := fmt.Sprintf("  10,000 pods created, changed and deleted, time %d", i+1)
		if err := m.do(order{Do: "churn", Count: churnPods}, what, 0); err != nil {
			return err
		}
	}
	return nil
}

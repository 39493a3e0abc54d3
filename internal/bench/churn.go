package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/internal/simnodes"
	"github.com/pintle-io/pintle/kernel/registry"
)

// liveNodes are simulated nodes that can be ended before the control plane is.
type liveNodes struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // valid after done
}

func (p *controlPlane) keepAlive(nodes *simnodes.Nodes) *liveNodes {
	ctx, cancel := context.WithCancel(p.ctx)
	l := &liveNodes{stop: cancel, done: make(chan struct{})}
	p.group.Go(func() error {
		defer close(l.done)
		l.err = nodes.Run(ctx)
		return l.err
	})
	return l
}

// removeNodes ends the simulated nodes and deletes them and their leases.
func (p *controlPlane) removeNodes() error {
	p.nodes.stop()
	<-p.nodes.done
	if err := p.removeAll(registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("nodes")}); err != nil {
		return fmt.Errorf("delete nodes: %w", err)
	}
	leases := registry.Target{Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: corev1.NamespaceNodeLease}
	if err := p.removeAll(leases); err != nil {
		return fmt.Errorf("delete leases: %w", err)
	}
	return nil
}

// removeAll deletes every object of a resource at once.
func (p *controlPlane) removeAll(t registry.Target) error {
	l, err := p.registry.List(p.ctx, t, metav1.ListOptions{})
	if err != nil {
		return err
	}
	now, items := int64(0), l.Items
	return p.inParts(len(items), func(i int) registry.BatchItem {
		o := items[i]
		items[i] = nil
		at := registry.Target{Resource: t.Resource, Namespace: o.Namespace, Name: o.Name}
		return registry.BatchItem{Verb: "delete", Target: at, Delete: metav1.DeleteOptions{GracePeriodSeconds: &now}}
	})
}

// write carries out writes, some hundreds at a time.
func (p *controlPlane) write(items []registry.BatchItem) error {
	for len(items) > 0 {
		part := items[:min(batch, len(items))]
		items = items[len(part):]
		results, err := p.registry.Batch(p.ctx, part, false)
		if err != nil {
			return err
		}
		for i, r := range results {
			if r.Err != nil {
				return fmt.Errorf("%s %s: %w", part[i].Verb, part[i].Target.Name, r.Err)
			}
		}
	}
	return nil
}

// undeploy deletes the Deployment and waits until its pods are gone.
func (p *controlPlane) undeploy() error {
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	at, all := deployTarget, registry.Target{Resource: podResource, Namespace: metav1.NamespaceDefault}
	at.Name = benchDeployment(0).Name
	if _, err := p.registry.Delete(ctx, at, metav1.DeleteOptions{}); err != nil {
		return err
	}
	for {
		l, err := p.registry.List(ctx, all, metav1.ListOptions{})
		if err != nil || len(l.Items) == 0 {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d pods are left: %w", len(l.Items), ctx.Err())
		}
	}
}

// churn creates pods, changes each once, and deletes them. It makes what it
// writes as it goes: the writer's own copies of all pods would be measured as
// the control plane's.
func (p *controlPlane) churn(n int) error {
	all := registry.Target{Resource: podResource, Namespace: metav1.NamespaceDefault}
	err := p.inParts(n, func(i int) registry.BatchItem {
		return registry.BatchItem{Verb: "create", Target: all, Object: aPod(fmt.Sprintf("churn-%05d", i))}
	})
	if err != nil {
		return err
	}
	l, err := p.registry.List(p.ctx, all, metav1.ListOptions{})
	if err != nil {
		return err
	}
	items := l.Items
	err = p.inParts(len(items), func(i int) registry.BatchItem {
		o := items[i]
		items[i] = nil
		changed := o.Obj.DeepCopyObject().(*corev1.Pod)
		changed.Labels["changed"], changed.ResourceVersion = "true", ""
		return registry.BatchItem{Verb: "update", Target: registry.Target{Resource: podResource, Namespace: o.Namespace, Name: o.Name}, Object: changed}
	})
	if err != nil {
		return err
	}
	return p.removeAll(all)
}

// inParts carries out n writes, some hundreds at a time.
func (p *controlPlane) inParts(n int, item func(i int) registry.BatchItem) error {
	for from := 0; from < n; from += batch {
		var items []registry.BatchItem
		for i := from; i < min(from+batch, n); i++ {
			items = append(items, item(i))
		}
		if err := p.write(items); err != nil {
			return err
		}
	}
	return nil
}

// writeHeap writes what the heap holds, and who allocated it.
func writeHeap(file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.WriteHeapProfile(f); err != nil {
		return err
	}
	return describeHeap(file + ".txt")
}

// describeHeap writes what Go has of the system, and for what, in MiB.
func describeHeap(file string) error {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	text := ""
	for _, x := range []struct {
		what  string
		bytes uint64
	}{
		{"objects", s.HeapAlloc}, {"spans of objects", s.HeapInuse}, {"free", s.HeapIdle - s.HeapReleased}, {"next collection at", s.NextGC},
		{"stacks", s.StackInuse}, {"other", s.MSpanSys + s.MCacheSys + s.BuckHashSys + s.GCSys + s.OtherSys},
	} {
		text += fmt.Sprintf("%-20s %7.1f\n", x.what, float64(x.bytes)/(1<<20))
	}
	text += fmt.Sprintf("%-20s %7d\n%-20s %7d\n", "collections", s.NumGC, "goroutines", runtime.NumGoroutine())
	return os.WriteFile(file, []byte(text), 0o644)
}

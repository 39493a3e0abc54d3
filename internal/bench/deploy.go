package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/internal/simnodes"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

const (
	deployPods, deployNodes = 5000, 1000

	deployRate = 1500.0 // pods/s, target
)

// deployed says how a Deployment went; times are since it was created.
type deployed struct {
	Created, Bound, Running time.Duration // of the last pod
	CPU                     time.Duration // until the last was bound
	AllCPU                  time.Duration // until the last was running
}

var (
	podResource  = corev1.SchemeGroupVersion.WithResource("pods")
	deployTarget = registry.Target{Resource: appsv1.SchemeGroupVersion.WithResource("deployments"), Namespace: metav1.NamespaceDefault}
)

// makeNodes adds simulated nodes, which then live in this process.
// Those that come with their ranges of pod addresses need no controller for it,
// which is asked about every node once and looks at all of them each time.
func (p *controlPlane) makeNodes(n int, given bool) error {
	cfg := simnodes.Config{Registry: p.registry, Count: n}
	if given {
		cfg.Prepare = func(i int, node *corev1.Node) {
			node.Spec.PodCIDR = fmt.Sprintf("10.%d.%d.0/24", 224+i>>8, i&255)
			node.Spec.PodCIDRs = []string{node.Spec.PodCIDR}
		}
	}
	nodes := simnodes.New(cfg)
	if err := nodes.Create(p.ctx); err != nil {
		return err
	}
	p.nodes = p.keepAlive(nodes)
	if err := p.addressed(); err != nil {
		return err
	}
	return p.awaitIdle()
}

// addressed waits until every node has its range of pod addresses: until then
// a controller is still at work on the nodes.
func (p *controlPlane) addressed() error {
	for {
		l, err := p.registry.List(p.ctx, registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("nodes")}, metav1.ListOptions{})
		if err != nil {
			return err
		}
		without := 0
		for _, o := range l.Items {
			if n, ok := o.Obj.(*corev1.Node); !ok || n.Spec.PodCIDR == "" {
				without++
			}
		}
		if without == 0 {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}

// awaitIdle waits until the process has been almost idle for a second.
func (p *controlPlane) awaitIdle() error {
	for range 20 {
		before := ownCPU()
		select {
		case <-time.After(time.Second):
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
		if ownCPU()-before < 100*time.Millisecond {
			return nil
		}
	}
	return nil
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// deploy creates a Deployment and follows its pods until all of them run.
func (p *controlPlane) deploy(n int) (deployed, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	w, err := p.registry.Watch(ctx, registry.Target{Resource: podResource, Namespace: metav1.NamespaceDefault}, metav1.ListOptions{LabelSelector: "app=bench"})
	if err != nil {
		return deployed{}, err
	}
	defer w.Stop()
	begin, cpu := time.Now(), ownCPU()
	if _, err := p.registry.Create(ctx, deployTarget, benchDeployment(int32(n)), registry.WriteOptions{FieldManager: "bench"}); err != nil {
		return deployed{}, err
	}
	var d deployed
	created, bound, running := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for len(running) < n {
		select {
		case e, ok := <-w.Events():
			if !ok {
				return d, fmt.Errorf("watch of pods: %w", w.Err())
			}
			pod, ok := e.Object.Obj.(*corev1.Pod)
			if e.Type == watch.Deleted || !ok {
				return d, fmt.Errorf("pod %s was deleted", e.Object.Name)
			}
			now := time.Since(begin)
			created[pod.Name] = true
			if len(created) == n && d.Created == 0 {
				d.Created = now
			}
			if pod.Spec.NodeName != "" {
				bound[pod.Name] = true
			}
			if len(bound) == n && d.Bound == 0 {
				d.Bound, d.CPU = now, ownCPU()-cpu
			}
			if pod.Status.Phase == corev1.PodRunning {
				running[pod.Name] = true
			}
		case <-ctx.Done():
			return d, fmt.Errorf("of %d pods %d were created, %d bound, %d running: %w", n, len(created), len(bound), len(running), ctx.Err())
		}
	}
	d.Running, d.AllCPU = time.Since(begin), ownCPU()-cpu
	return d, nil
}

func benchDeployment(n int32) *appsv1.Deployment {
	labels := map[string]string{"app": "bench"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "bench"},
		Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.local/app:1", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: apiresource.MustParse("100m"), corev1.ResourceMemory: apiresource.MustParse("64Mi")}}}}},
		}},
	}
}

// deployment measures the whole way of a Deployment: its controllers, the
// scheduler, the store, and the answers of the simulated nodes.
func (b *bench) deployment(ctx context.Context) error {
	p, err := b.startControlPlane(ctx, "deployment")
	if err != nil {
		return err
	}
	defer p.close()
	if _, err := p.order(order{Do: "nodes", Count: deployNodes}); err != nil {
		return err
	}
	profile := filepath.Join(b.profiles, "deployment.pprof")
	if _, err := p.order(order{Do: "profile", File: profile}); err != nil {
		return err
	}
	a, err := p.order(order{Do: "deploy", Count: deployPods})
	if err != nil {
		return err
	}
	if _, err := p.order(order{Do: "profile"}); err != nil {
		return err
	}
	d := a.Deploy
	rate := func(t time.Duration) float64 { return deployPods / t.Seconds() }
	perPod := func(t time.Duration) float64 { return t.Seconds() * 1000 / deployPods }
	ok := b.report.least("Deployment of 5,000 pods, 1,000 nodes: created → all bound", rate(d.Bound), deployRate, "pods/s", fmt.Sprintf("%.2f s; plugins as WASM, fsync", d.Bound.Seconds()))
	b.report.least("  all created", rate(d.Created), 0, "pods/s", "")
	b.report.least("  all running", rate(d.Running), 0, "pods/s", "")
	b.report.most("  CPU until all bound", perPod(d.CPU), 1, "ms a pod", "with the simulated nodes' writes; the design's target")
	b.report.most("  CPU until all running", perPod(d.AllCPU), 0, "ms a pod", "")
	if !ok {
		b.report.explain(profile)
	}
	rss, err := resident(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	b.report.most("  memory afterwards", rss, 0, "MiB", "with the simulated nodes")
	return p.saveMetrics(ctx, filepath.Join(b.profiles, "deployment.metrics"))
}

// Package scenario is what both servers are given to do: each scenario makes
// objects, waits until the controllers have done what these ask for, and knows
// a server only as a client does.
package scenario

import (
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/conformance/differential/peers/nodes"
)

// Namespace is where objects are.
const Namespace = "peers"

// Scenario is one thing to do.
type Scenario struct {
	// Name in flags and tables.
	Name string
	// What it does, with a verb for the size.
	What string
	// Size at scale 1, and of what.
	Size int
	Unit string
	// Nodes that it needs at scale 1; they follow the scale down to the size.
	Nodes int
	// Kind creates an object of the kind that a controller is needed for, as a
	// dry run. nil: every server has the controller.
	Kind func(ctx context.Context, c kubernetes.Interface) error
	// Arm prepares what is not measured.
	Arm func(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error)
}

// Armed is a scenario that is ready to begin.
type Armed struct {
	// Wait returns when it may begin; nil is at once.
	Wait func(ctx context.Context) error
	// Do is what is measured: it returns when all is done.
	Do func(ctx context.Context) error
	// Progress says how far it is; anybody may ask at any time.
	Progress func() string
}

// All are the scenarios, in the order of tables.
func All() []Scenario {
	return []Scenario{statefulSet, job, daemonSet, cronJobs, namespace, orphans}
}

// Scaled is a count at a scale, one at least.
func Scaled(n int, scale float64) int { return max(1, int(float64(n)*scale+0.5)) }

// unattended is what Pintle's warning says to him who creates an object of a
// kind that no controller acts on.
const unattended = "nobody acts on it"

// Missing says why a server cannot do the scenario; "" when it can. The server
// is asked: an object is created as a dry run, and who has no controller for it
// warns. A server that never warns has them all.
func (s Scenario) Missing(ctx context.Context, config *rest.Config) (string, error) {
	if s.Kind == nil {
		return "", nil
	}
	heard := &warnings{}
	config = rest.CopyConfig(config)
	config.WarningHandler = heard
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	if err := s.Kind(ctx, c); err != nil {
		return "", fmt.Errorf("create as a dry run: %w", err)
	}
	return heard.saying(unattended), nil
}

// warnings keeps the warnings of a server.
type warnings struct {
	mu   sync.Mutex
	list []string // guarded by mu
}

// HandleWarningHeader keeps a warning.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

func (w *warnings) saying(what string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.list {
		if strings.Contains(text, what) {
			return text
		}
	}
	return ""
}

// Prepare creates the namespace and waits until pods can be created in it.
func Prepare(ctx context.Context, c kubernetes.Interface) error {
	core := c.CoreV1()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if _, err := core.Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	t, err := track(ctx, core.RESTClient(), "serviceaccounts", Namespace, &corev1.ServiceAccount{}, func(o any) bool {
		return o.(*corev1.ServiceAccount).Name == "default"
	})
	if err != nil {
		return err
	}
	if err := t.until(ctx, func(_, wished int) bool { return wished == 1 }); err != nil {
		return fmt.Errorf("the default service account of namespace %s: %w", Namespace, err)
	}
	return nil
}

// Ready waits until count nodes carry no taint: a controller takes that of
// nodes that are not ready from them.
func Ready(ctx context.Context, c kubernetes.Interface, count int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, err := track(ctx, c.CoreV1().RESTClient(), "nodes", "", &corev1.Node{}, func(o any) bool {
		return len(o.(*corev1.Node).Spec.Taints) == 0
	})
	if err != nil {
		return err
	}
	if err := t.until(ctx, func(_, wished int) bool { return wished == count }); err != nil {
		return fmt.Errorf("nodes without taints: %w", err)
	}
	return nil
}

var dryRun = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// template is that of a pod of one container.
func template(name string, restart corev1.RestartPolicy) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			SchedulerName: nodes.SchedulerName, RestartPolicy: restart,
			Containers: []corev1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10"}},
		},
	}
}

func of(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}

// Package conformance checks from the outside that a cluster keeps the
// contract of the Kubernetes API. It knows nothing of Pintle: it is written on
// client-go alone and runs against any cluster of the same API level, so a
// case that is wrong shows when it is run against upstream.
//
// Each case works in a namespace of its own and names the upstream conformance
// test, or the paragraph of the API documentation, that it stands for. Cases
// that need a node are left out, and reported so, where there is none.
//
// Start with [Run]. The package has 19 files because each subject of cases has
// one of its own; what the cases share is in check.go.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Case is one thing that a cluster must do.
type Case struct {
	Name string
	// Stands names the upstream test or the paragraph behind the case.
	Stands string
	// Nodes says that the case needs a ready node.
	Nodes bool
	Run   func(ctx context.Context, e *Env) error
}

// Env is what a case works with.
type Env struct {
	REST      *rest.Config // an administrator's; the case may copy it
	Client    kubernetes.Interface
	Namespace string // exists, empty, and the case's own
}

// Config of a run.
type Config struct {
	// REST reaches the cluster as an administrator.
	REST *rest.Config
	// Only selects cases by name; nil is all.
	Only *regexp.Regexp
	// Timeout of one case; 0 is a minute.
	Timeout time.Duration
	// Parallel is how many cases run at a time; 0 is 4.
	Parallel int
	// Done is told of each result as it comes, one at a time; may be nil.
	Done func(Result)
}

// Result of one case.
type Result struct {
	Case Case
	// Err is what the cluster did wrong; nil when it passed or was left out.
	Err error
	// LeftOut says why the case was not run; "" when it was.
	LeftOut string
	Took    time.Duration
}

// Cases lists all cases, in the order of their subjects.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{
		discoveryCases, namespaceCases, objectCases, validationCases, patchCases, applyCases, watchCases, listCases, renderCases,
		lifecycleCases, workloadCases, serviceCases, accessCases, identityCases, coordinationCases, errorCases, schedulingCases,
	} {
		all = append(all, part...)
	}
	return all
}

// Run runs the selected cases and returns their results in the order of Cases.
// The error is about the run itself: a cluster that cannot be reached.
func Run(ctx context.Context, c Config) ([]Result, error) {
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.Parallel <= 0 {
		c.Parallel = 4
	}
	cfg := rest.CopyConfig(c.REST)
	cfg.QPS, cfg.UserAgent = -1, "pintle-conformance"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	nodes, err := readyNodes(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	var selected []Case
	for _, x := range Cases() {
		if c.Only == nil || c.Only.MatchString(x.Name) {
			selected = append(selected, x)
		}
	}
	results := make([]Result, len(selected))
	slots := make(chan struct{}, c.Parallel)
	var mu sync.Mutex // of Done
	var wg sync.WaitGroup
	for i, x := range selected {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r := Result{Case: x}
			if x.Nodes && nodes == 0 {
				r.LeftOut = "the cluster has no ready node"
			} else {
				start := time.Now()
				r.Err = runCase(ctx, c.Timeout, x, Env{REST: cfg, Client: client})
				r.Took = time.Since(start)
			}
			results[i] = r
			mu.Lock()
			defer mu.Unlock()
			if c.Done != nil {
				c.Done(r)
			}
		})
	}
	wg.Wait()
	return results, ctx.Err()
}

func readyNodes(ctx context.Context, client kubernetes.Interface) (int, error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, x := range list.Items {
		for _, c := range x.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue && !x.Spec.Unschedulable {
				n++
			}
		}
	}
	return n, nil
}

// runCase runs one case in a namespace of its own and removes it afterwards.
func runCase(ctx context.Context, limit time.Duration, x Case, e Env) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %s", limit))
	defer cancel()
	ns, err := e.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "conformance-", Labels: map[string]string{"conformance": strings.ReplaceAll(x.Name, "/", ".")}}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a namespace: %w", err)
	}
	e.Namespace = ns.Name
	err = x.Run(ctx, &e)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	// The case's own time may be over.
	clean, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return errors.Join(err, notFoundIsFine(e.Client.CoreV1().Namespaces().Delete(clean, ns.Name, metav1.DeleteOptions{})))
}

// Package namespace empties a namespace that is being deleted and then lets
// it go.
package namespace

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	finalizer = "kubernetes"
	// shortest and longest are the pauses before the next look while something is
	// left.
	shortest, longest = time.Second, 15 * time.Second
	// chunk bounds one batch of deletions.
	chunk = 250
)

func init() {
	sdk.Register(sdk.Plugin{Name: "namespace", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches:   []controller.Watch{{Resource: "v1/namespaces"}},
			Workers:   2,
			Reconcile: reconcile,
		}, nil
	}})
}

// nameOf is how conditions name a resource, which is "group/version/plural", or
// "v1/plural" of the core group.
func nameOf(path string) string {
	p := strings.Split(path, "/")
	if len(p) == 3 {
		return p[2] + "." + p[0]
	}
	return p[len(p)-1] + "."
}

// object is any object's metadata.
type object struct {
	metav1.TypeMeta   `json:""`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Resource          string `json:"resource,omitempty"`
}

// APIResource names the resource that the object was listed as.
func (o *object) APIResource() string { return o.Resource }

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	ns := &corev1.Namespace{}
	if err := c.Get(ns, "", req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, finalizer) {
		return controller.Result{}, nil
	}
	now := c.Now()
	found := empty(c, ns.Name, now)
	if len(found.resources) > 0 {
		found = empty(c, ns.Name, now) // most goes at once
		found.unexpected()
	}
	if !found.empty() || len(ns.Status.Conditions) > 0 {
		if err := report(c, ns, found, now); err != nil {
			return controller.Result{}, err
		}
	}
	switch {
	case len(found.unknown)+len(found.failures) > 0:
		return controller.Result{}, fmt.Errorf("empty namespace %s: %s", ns.Name, sorted(append(found.unknown, found.failures...)))
	case !found.empty():
		return controller.Result{RequeueAfter: pause(now.Sub(ns.DeletionTimestamp.Time()))}, nil
	}
	keep := slices.DeleteFunc(slices.Clone(ns.Spec.Finalizers), func(f corev1.FinalizerName) bool { return f == finalizer })
	if keep == nil {
		keep = []corev1.FinalizerName{}
	}
	err := c.Patch(ns, client.Patch{Subresource: "finalize", Data: map[string]any{"spec": map[string]any{"finalizers": keep}}})
	if client.IsNotFound(err) {
		err = nil
	}
	return controller.Result{}, err
}

// pods is the resource that goes before all others.
const pods = "v1/pods"

// empty deletes what is in the namespace, of whatever resource there is by now,
// and answers what was there. A deletion that fails does not keep the others.
// While there are pods nothing else goes: what runs must not outlive the network
// policies, quotas and secrets that bind it (KEP-5080).
func empty(c client.Client, ns string, now time.Time) *content {
	f := newContent(ns, now)
	var items []*object
	if err := c.List(&items, client.ListOptions{Resource: client.AllResources, Namespace: ns}); err != nil {
		f.failures = append(f.failures, fmt.Sprintf("list: %v", err))
		return f
	}
	ordered := slices.ContainsFunc(items, func(o *object) bool { return o.Resource == pods })
	var ops []client.Op
	for _, o := range items {
		f.add(o)
		if o.DeletionTimestamp == nil && (!ordered || o.Resource == pods) {
			ops = append(ops, remove(o))
		}
	}
	for part := range slices.Chunk(ops, chunk) {
		errs, err := c.Batch(part, false)
		if err != nil {
			f.failures = append(f.failures, err.Error())
			return f
		}
		for i, err := range errs {
			if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) {
				f.failures = append(f.failures, fmt.Sprintf("delete %s: %v", nameOf(part[i].Object.APIResource()), err))
			}
		}
	}
	return f
}

// remove deletes an object and lets its dependents follow: whatever its kind, or a
// finalizer of garbage collection that it has, asks for, nothing of it stays.
func remove(o *object) client.Op {
	return client.Op{Verb: client.VerbDelete, Object: o, Delete: client.DeleteOptions{
		Preconditions: client.NewUIDPreconditions(o.UID), Propagation: "Background"}}
}

// pause is how long what is left of a namespace, whose deletion began that long ago, is
// left alone: what takes longer is looked at less often.
func pause(since time.Duration) time.Duration {
	return min(max(since/10, shortest), longest)
}

// report says in the namespace's status what it waits for.
func report(c client.Client, ns *corev1.Namespace, f *content, now time.Time) error {
	next, changed := conditions(ns.Status.Conditions, f, metav1.NewTime(now))
	if !changed {
		return nil
	}
	ns.Status.Conditions = next
	if err := c.UpdateStatus(ns); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}

// Package namespace empties a namespace that is being deleted and then lets
// it go.
package namespace

import (
	"encoding/json"
	"errors"
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

// Config is the plugin's configuration.
type Config struct {
	// Resources are all namespaced resources that can be listed and deleted,
	// as "group/version/plural".
	Resources []string `json:"resources"`
}

const (
	finalizer = "kubernetes"
	// again is the pause before the next look while something is left.
	again = time.Second
	// chunk bounds one batch of deletions.
	chunk = 250
)

func init() {
	sdk.Register(sdk.Plugin{Name: "namespace", New: func(raw []byte) (sdk.Points, error) {
		var c Config
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		if len(c.Resources) == 0 {
			return nil, errors.New("config.resources: a namespace without resources cannot be emptied")
		}
		var l cleaner
		for _, path := range c.Resources {
			r, err := parse(path)
			if err != nil {
				return nil, err
			}
			l = append(l, r)
		}
		return &controller.Points{
			Watches:   []controller.Watch{{Resource: "v1/namespaces"}},
			Workers:   2,
			Reconcile: l.reconcile,
		}, nil
	}})
}

// cleaner empties namespaces of these resources.
type cleaner []resource

// resource is one of them: as it is listed, and as conditions name it.
type resource struct{ path, name string }

// parse reads "group/version/plural", or "v1/plural" of the core group.
func parse(path string) (resource, error) {
	p := strings.Split(path, "/")
	if slices.Contains(p, "") || len(p) < 2 || len(p) > 3 {
		return resource{}, fmt.Errorf("config.resources: %q: want group/version/plural, or v1/plural of the core group", path)
	}
	if len(p) == 2 {
		return resource{path, p[1] + "."}, nil
	}
	return resource{path, p[2] + "." + p[0]}, nil
}

// object is any object's metadata.
type object struct {
	metav1.TypeMeta   `json:""`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	resource          string
}

// APIResource names the resource that the object was listed as.
func (o *object) APIResource() string { return o.resource }

func (l cleaner) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
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
	found := l.empty(c, ns.Name)
	if len(found.resources) > 0 {
		found = l.empty(c, ns.Name) // most goes at once
	}
	if !found.empty() || len(ns.Status.Conditions) > 0 {
		if err := report(c, ns, found); err != nil {
			return controller.Result{}, err
		}
	}
	switch {
	case len(found.unknown)+len(found.failures) > 0:
		return controller.Result{}, fmt.Errorf("empty namespace %s: %s", ns.Name, sorted(append(found.unknown, found.failures...)))
	case !found.empty():
		return controller.Result{RequeueAfter: again}, nil
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

// empty deletes what is in the namespace and answers what was there. A resource
// that fails does not keep the others.
func (l cleaner) empty(c client.Client, ns string) *content {
	f := &content{resources: map[string]int{}, finalizers: map[string]int{}}
	for _, r := range l {
		var items []*object
		err := c.List(&items, client.ListOptions{Resource: r.path, Namespace: ns})
		switch {
		case client.IsNotFound(err):
			f.unknown = append(f.unknown, fmt.Sprintf("%s: %v", r.name, err))
		case err != nil:
			f.failures = append(f.failures, fmt.Sprintf("list %s: %v", r.name, err))
		}
		if len(items) == 0 {
			continue
		}
		f.resources[r.name] = len(items)
		for _, o := range items {
			for _, x := range o.Finalizers {
				f.finalizers[x]++
			}
		}
		if err := remove(c, r.path, items); err != nil {
			f.failures = append(f.failures, err.Error())
		}
	}
	return f
}

func remove(c client.Client, resource string, items []*object) error {
	var ops []client.Op
	for _, o := range items {
		if o.DeletionTimestamp != nil {
			continue
		}
		d := *o
		d.resource = resource
		ops = append(ops, client.Op{Verb: client.VerbDelete, Object: &d, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(o.UID)}})
	}
	for part := range slices.Chunk(ops, chunk) {
		errs, err := c.Batch(part, false)
		if err != nil {
			return err
		}
		for _, err := range errs {
			if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) {
				return fmt.Errorf("delete %s: %w", resource, err)
			}
		}
	}
	return nil
}

// report says in the namespace's status what it waits for.
func report(c client.Client, ns *corev1.Namespace, f *content) error {
	next, changed := conditions(ns.Status.Conditions, f, metav1.Now())
	if !changed {
		return nil
	}
	ns.Status.Conditions = next
	if err := c.UpdateStatus(ns); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}

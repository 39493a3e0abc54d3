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
	sdk.Register(sdk.Plugin{Name: "namespace", New: func(raw []byte) (*sdk.Points, error) {
		var c Config
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		if len(c.Resources) == 0 {
			return nil, errors.New("config.resources: a namespace without resources cannot be emptied")
		}
		return &sdk.Points{Controller: &sdk.Controller{
			Watches:   []sdk.Watch{{Resource: "v1/namespaces"}},
			Workers:   2,
			Reconcile: cleaner(c.Resources).reconcile,
		}}, nil
	}})
}

type cleaner []string

// object is any object's metadata.
type object struct {
	metav1.TypeMeta   `json:""`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	resource          string
}

// APIResource names the resource that the object was listed as.
func (o *object) APIResource() string { return o.resource }

func (l cleaner) reconcile(c sdk.Client, req sdk.Request) (sdk.Result, error) {
	ns := &corev1.Namespace{}
	if err := c.Get(ns, "", req.Name); err != nil {
		if sdk.IsNotFound(err) {
			return sdk.Result{}, nil
		}
		return sdk.Result{}, err
	}
	if ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, finalizer) {
		return sdk.Result{}, nil
	}
	left, err := l.empty(c, ns.Name)
	if err == nil && len(left) > 0 {
		left, err = l.empty(c, ns.Name) // most goes at once
	}
	if err != nil {
		return sdk.Result{}, err
	}
	if len(left) > 0 {
		return sdk.Result{RequeueAfter: again}, report(c, ns, left)
	}
	keep := slices.DeleteFunc(slices.Clone(ns.Spec.Finalizers), func(f corev1.FinalizerName) bool { return f == finalizer })
	if keep == nil {
		keep = []corev1.FinalizerName{}
	}
	err = c.Patch(ns, sdk.Patch{Subresource: "finalize", Data: map[string]any{"spec": map[string]any{"finalizers": keep}}})
	if sdk.IsNotFound(err) {
		err = nil
	}
	return sdk.Result{}, err
}

// empty deletes what is in the namespace and lists what is not gone yet, as
// "3 v1/pods".
func (l cleaner) empty(c sdk.Client, ns string) (left []string, err error) {
	for _, resource := range l {
		var items []*object
		if err := c.List(&items, sdk.ListOptions{Resource: resource, Namespace: ns}); err != nil {
			return nil, fmt.Errorf("list %s: %w", resource, err)
		}
		if len(items) == 0 {
			continue
		}
		left = append(left, fmt.Sprintf("%d %s", len(items), resource))
		if err := remove(c, resource, items); err != nil {
			return nil, err
		}
	}
	return left, nil
}

func remove(c sdk.Client, resource string, items []*object) error {
	var ops []sdk.Op
	for _, o := range items {
		if o.DeletionTimestamp != nil {
			continue
		}
		d := *o
		d.resource = resource
		ops = append(ops, sdk.Op{Verb: sdk.VerbDelete, Object: &d, Delete: sdk.DeleteOptions{UID: o.UID}})
	}
	for part := range slices.Chunk(ops, chunk) {
		errs, err := c.Batch(part, false)
		if err != nil {
			return err
		}
		for _, err := range errs {
			if err != nil && !sdk.IsNotFound(err) && !sdk.IsConflict(err) {
				return fmt.Errorf("delete %s: %w", resource, err)
			}
		}
	}
	return nil
}

// report says in the namespace's status what it waits for.
func report(c sdk.Client, ns *corev1.Namespace, left []string) error {
	message := "Some resources are remaining: " + strings.Join(left, ", ")
	for _, cond := range ns.Status.Conditions {
		if cond.Type == corev1.NamespaceContentRemaining && cond.Message == message {
			return nil
		}
	}
	next := slices.DeleteFunc(slices.Clone(ns.Status.Conditions), func(x corev1.NamespaceCondition) bool {
		return x.Type == corev1.NamespaceContentRemaining
	})
	ns.Status.Conditions = append(next, corev1.NamespaceCondition{Type: corev1.NamespaceContentRemaining, Status: corev1.ConditionTrue,
		LastTransitionTime: metav1.Now(), Reason: "SomeResourcesRemain", Message: message})
	err := c.UpdateStatus(ns)
	if sdk.IsConflict(err) || sdk.IsNotFound(err) {
		return nil // the next look reports
	}
	return err
}

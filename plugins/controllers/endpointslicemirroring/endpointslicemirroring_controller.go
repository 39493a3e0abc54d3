// Package endpointslicemirroring writes EndpointSlices for the Endpoints that
// somebody wrote by hand for a Service without a selector, so that what reads
// slices alone finds them.
package endpointslicemirroring

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Labels of the slices, as upstream has them.
const (
	serviceLabel = "kubernetes.io/service-name"
	managedLabel = "endpointslice.kubernetes.io/managed-by"
	managedBy    = "endpointslicemirroring-controller.k8s.io"
)

func init() {
	identity := []string{"metadata.namespace", "metadata.name"}
	service := append([]string{"spec.selector"}, identity...)
	sdk.Register(sdk.Plugin{Name: "endpointslicemirroring", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/endpoints"},
				// Of Services it matters whether they have a selector, and that they come and go.
				{Resource: "v1/services", Map: controller.Added(without), Fields: service},
				{Resource: "v1/services", Map: controller.Deleted(without), Fields: service},
				{Resource: "v1/services", Map: controller.Changed(itself, "spec.selector"), Fields: identity},
				{Resource: "discovery.k8s.io/v1/endpointslices", Map: controller.Func(mirrorOf), Fields: []string{"metadata.namespace", "metadata.labels"}},
			},
			Implements: []string{}, // Endpoints are what somebody wrote
			Reconcile:  reconcile,
		}, nil
	}})
}

// itself requests the Endpoints of the name.
func itself(o sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: o.Get("metadata.name").String()}}
}

// without requests the Endpoints of a Service without a selector.
func without(o sdk.Value) []controller.Request {
	if o.Get("spec.selector").Len() > 0 {
		return nil
	}
	return itself(o)
}

// mirrorOf requests the Endpoints that a slice mirrors.
func mirrorOf(o sdk.Value) []controller.Request {
	labels := o.Get("metadata.labels")
	name := labels.Key(serviceLabel).String()
	if name == "" || labels.Key(managedLabel).String() != managedBy {
		return nil
	}
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: name}}
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	var have []*discoveryv1.EndpointSlice
	if err := c.List(&have, client.ListOptions{Namespace: req.Namespace, Labels: serviceLabel + "=" + req.Name + "," + managedLabel + "=" + managedBy}); err != nil {
		return controller.Result{}, err
	}
	e, err := source(c, req)
	if err != nil {
		return controller.Result{}, err
	}
	var ops []client.Op
	if e == nil {
		for _, s := range have {
			ops = append(ops, remove(s))
		}
	} else {
		m := mirror(e)
		ops = diff(e, m.groups, have)
		for _, n := range m.notes() {
			c.Event(e, n)
		}
	}
	return controller.Result{}, write(c, req, ops)
}

// source is the Endpoints that are to be mirrored; nil is none.
func source(c client.Client, req controller.Request) (*corev1.Endpoints, error) {
	svc := &serviceSelector{}
	if err := c.Get(svc, req.Namespace, req.Name); err != nil || len(svc.Spec.Selector) > 0 {
		return nil, found(err)
	}
	e := &corev1.Endpoints{}
	if err := c.Get(e, req.Namespace, req.Name); err != nil || !mirrored(e) {
		return nil, found(err)
	}
	return e, nil
}

func found(err error) error {
	if client.IsNotFound(err) {
		return nil
	}
	return err
}

// serviceSelector is what counts of a Service.
type serviceSelector struct {
	Spec struct {
		Selector map[string]string `json:"selector"`
	} `json:"spec"`
}

// APIResource makes it a client.Object.
func (*serviceSelector) APIResource() string { return "v1/services" }

func write(c client.Client, req controller.Request, ops []client.Op) error {
	if len(ops) == 0 {
		return nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return err
	}
	for i, err := range errs {
		switch {
		case err == nil:
		case client.IsNamespaceTerminating(err): // the Endpoints go with the namespace
		case ops[i].Verb == client.VerbDelete && client.IsNotFound(err):
		default:
			return fmt.Errorf("%s endpoint slice of endpoints %s: %w", ops[i].Verb, req.Name, err)
		}
	}
	return nil
}

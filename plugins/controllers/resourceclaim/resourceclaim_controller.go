// Package resourceclaim looks after ResourceClaims, by which pods ask for devices: it
// makes those that pods want from a ResourceClaimTemplate, takes back the reservations of
// pods that have ended, frees what nobody uses any more, and deletes what it made when
// its pod is done. Devices are chosen, and claims reserved, by whoever schedules; only
// for pods that were given a node by somebody else does the controller reserve.
//
// Behaviour and texts are those of upstream's controller with the features that are on by
// default in v1.37; claims of PodGroups (DRAWorkloadResourceClaims, GenericWorkload) are
// off there. KEP-3063, KEP-4381.
package resourceclaim

import (
	"strings"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// What no claim is called begins the names of other requests: a pod, the pods that wait
// for a template, and those that use a claim of everybody's.
const (
	ofPod      = "pod "
	ofTemplate = "template "
	usersOf    = "users "
)

func init() {
	sdk.Register(sdk.Plugin{Name: "resource-claim", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: append(podWatches("spec.resourceClaims"), append(podWatches("status.extendedResourceClaimStatus"),
				controller.Watch{Resource: claims, Map: controller.Func(itselfAndOwner), Fields: claimFields},
				controller.Watch{Resource: claims, Map: controller.Added(users), Fields: claimFields, Present: []string{"status.allocation"}},
				controller.Watch{Resource: claims, Map: controller.Changed(users, "status.allocation"), Fields: claimFields},
				controller.Watch{Resource: templates, Map: controller.Added(waiting), Fields: identity},
				controller.Watch{Resource: templates, Map: controller.Changed(waiting, "metadata.uid", "spec"), Fields: identity})...),
			Implements: []string{claims},
			Workers:    4,
			Reconcile:  reconcile,
		}, nil
	}})
}

var (
	identity    = []string{"metadata.namespace", "metadata.name"}
	claimFields = append([]string{"metadata.ownerReferences"}, identity...)
	podFields   = append([]string{"metadata.deletionTimestamp", "spec.nodeName", "spec.resourceClaims", "status.phase", "status.resourceClaimStatuses",
		"status.extendedResourceClaimStatus"}, identity...)
)

// podWatches are those of pods that have claims, which the path tells.
func podWatches(path string) []controller.Watch {
	present := []string{path}
	return []controller.Watch{
		{Resource: pods, Map: controller.Added(podChanged), Fields: podFields, Present: present},
		{Resource: pods, Map: controller.Changed(podChanged, "metadata.uid", "metadata.deletionTimestamp", "spec.nodeName", "status.phase", "status.resourceClaimStatuses",
			"status.extendedResourceClaimStatus"), Fields: podFields, Present: present},
		{Resource: pods, Map: controller.Deleted(claimsOf), Fields: podFields, Present: present},
	}
}

// podChanged requests a pod, and the claims of one that will not use them any more.
func podChanged(p sdk.Value) []controller.Request {
	out := []controller.Request{{Namespace: p.Get("metadata.namespace").String(), Name: ofPod + p.Get("metadata.name").String()}}
	phase := corev1.PodPhase(p.Get("status.phase").String())
	going := p.Get("metadata.deletionTimestamp").Exists() && p.Get("spec.nodeName").String() == ""
	if phase == corev1.PodSucceeded || phase == corev1.PodFailed || going {
		out = append(out, claimsOf(p)...)
	}
	return out
}

// claimsOf requests the claims of a pod, as far as there are some.
func claimsOf(p sdk.Value) []controller.Request {
	ns := p.Get("metadata.namespace").String()
	var out []controller.Request
	add := func(name sdk.Value) {
		if name.String() != "" {
			out = append(out, controller.Request{Namespace: ns, Name: name.String()})
		}
	}
	for _, c := range p.Get("spec.resourceClaims").Items() {
		add(c.Key("resourceClaimName"))
	}
	for _, s := range p.Get("status.resourceClaimStatuses").Items() {
		add(s.Key("resourceClaimName"))
	}
	add(p.Get("status.extendedResourceClaimStatus.resourceClaimName"))
	return out
}

// itselfAndOwner requests a claim, and the pod that it was made for, which may have to
// have another one.
func itselfAndOwner(c sdk.Value) []controller.Request {
	ns := c.Get("metadata.namespace").String()
	out := []controller.Request{{Namespace: ns, Name: c.Get("metadata.name").String()}}
	if pod := podOf(c); pod != "" {
		out = append(out, controller.Request{Namespace: ns, Name: ofPod + pod})
	}
	return out
}

// podOf is the name of the pod that a claim was made for.
func podOf(c sdk.Value) string {
	for _, r := range c.Get("metadata.ownerReferences").Items() {
		if r.Get("apiVersion").String() == "v1" && r.Get("kind").String() == "Pod" && r.Get("controller").Bool() {
			return r.Get("name").String()
		}
	}
	return ""
}

// users requests the pods that use a claim by its name; those that were made for a pod
// have no others.
func users(c sdk.Value) []controller.Request {
	if podOf(c) != "" {
		return nil
	}
	return []controller.Request{{Namespace: c.Get("metadata.namespace").String(), Name: usersOf + c.Get("metadata.name").String()}}
}

func waiting(t sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: t.Get("metadata.namespace").String(), Name: ofTemplate + t.Get("metadata.name").String()}}
}

func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if name, ok := strings.CutPrefix(q.Name, ofPod); ok {
		return reconcilePod(c, q.Namespace, name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofTemplate); ok {
		return podsWhere(c, q.Namespace, func(p *pod) bool { return waitsFor(p, name) })
	}
	if name, ok := strings.CutPrefix(q.Name, usersOf); ok {
		return podsWhere(c, q.Namespace, func(p *pod) bool { return uses(p, name) })
	}
	return controller.Result{}, reconcileClaim(c, q.Namespace, q.Name)
}

// podsWhere requests pods of a namespace.
func podsWhere(c client.Client, namespace string, want func(*pod) bool) (controller.Result, error) {
	var list []*pod
	if err := c.List(&list, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var out controller.Result
	for _, p := range list {
		if want(p) && !p.done() {
			out.Enqueue = append(out.Enqueue, controller.Request{Namespace: namespace, Name: ofPod + p.Name})
		}
	}
	return out, nil
}

// Package attachdetach has the volumes of CSI drivers attached to the nodes of the pods
// that use them, and detached when no pod does. It says what it wants as
// VolumeAttachments, which the drivers' attachers act on, and tells nodes in
// status.volumesAttached what has been attached to them.
//
// What is attached is what has a VolumeAttachment; a restart loses nothing but how long
// a node that is not well has kept a volume, and what pods were told already. One
// request is a volume, a claim, a node, or a driver; they are handled one at a time, so
// that no two nodes are given one volume.
//
// KEP-625, KEP-2268.
package attachdetach

import (
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// What no object is called begins the names of requests that are no volumes: a node, a
// node that the controller is to care for, a driver. A claim's has a namespace.
const (
	ofNode    = "node "
	ofManaged = "managed "
	ofDriver  = "driver "
)

func init() {
	sdk.Register(sdk.Plugin{Name: "attachdetach", New: func([]byte) (sdk.Points, error) {
		k := &controlled{memory: map[string]memory{}}
		return &controller.Points{
			Watches:    watches(),
			Workers:    1, // what is remembered is this instance's
			Implements: []string{attachments},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return k.reconcile(c, q, c.Now())
			},
		}, nil
	}})
}

func watches() []controller.Watch {
	podFields := []string{"metadata.namespace", "metadata.name", "spec.nodeName", "spec.volumes"}
	var out []controller.Watch
	for _, present := range []string{"spec.volumes.persistentVolumeClaim", "spec.volumes.ephemeral"} {
		for _, m := range []controller.Map{controller.Added(claimsOf), controller.Deleted(claimsOf),
			controller.Changed(claimsOf, "spec.nodeName", "status.phase", "metadata.deletionTimestamp"),
			controller.Changed(claimsOfEnding, "status.containerStatuses.state", "status.initContainerStatuses.state", "status.ephemeralContainerStatuses.state")} {
			out = append(out, controller.Watch{Resource: pods, Map: m, Present: []string{present}, Fields: append([]string{"metadata.deletionTimestamp"}, podFields...)})
		}
	}
	named := func(path string, begin ...string) func(sdk.Value) []controller.Request { return requests(path, begin) }
	csi, name := []string{"spec.csi"}, []string{"metadata.name"}
	return append(out,
		controller.Watch{Resource: claims, Map: controller.Changed(self, "spec.volumeName", "status.phase"), Fields: []string{"metadata.namespace", "metadata.name"}},
		controller.Watch{Resource: claims, Map: controller.Deleted(named("spec.volumeName", "")), Fields: []string{"spec.volumeName"}, Present: []string{"spec.volumeName"}},
		controller.Watch{Resource: volumes, Map: controller.Added(named("metadata.name", "")), Present: csi, Fields: name},
		controller.Watch{Resource: volumes, Map: controller.Changed(named("metadata.name", ""), "spec.claimRef", "spec.accessModes"), Present: csi, Fields: name},
		controller.Watch{Resource: volumes, Map: controller.Deleted(named("metadata.name", "")), Present: csi, Fields: name},
		controller.Watch{Resource: attachments, Map: controller.Added(attachmentChanged), Fields: attachmentFields},
		controller.Watch{Resource: attachments, Map: controller.Changed(attachmentChanged, "status", "metadata.deletionTimestamp"), Fields: attachmentFields},
		controller.Watch{Resource: attachments, Map: controller.Deleted(attachmentChanged), Fields: attachmentFields},
		controller.Watch{Resource: nodes, Map: controller.Added(named("metadata.name", ofNode, ofManaged)), Fields: name},
		controller.Watch{Resource: nodes, Map: controller.Deleted(named("metadata.name", ofNode)), Fields: name},
		controller.Watch{Resource: nodes, Map: controller.Changed(named("metadata.name", ofNode), "status.volumesInUse", "spec.taints"), Fields: name},
		controller.Watch{Resource: nodes, Map: controller.Condition(named("metadata.name", ofNode), "Ready"), Fields: name},
		controller.Watch{Resource: nodes, Map: controller.Changed(named("metadata.name", ofManaged), "metadata.annotations["+annManaged+"]"), Fields: name},
		controller.Watch{Resource: drivers, Map: controller.Added(named("metadata.name", ofDriver)), Fields: name},
		controller.Watch{Resource: drivers, Map: controller.Changed(named("metadata.name", ofDriver), "spec.attachRequired"), Fields: name},
		controller.Watch{Resource: drivers, Map: controller.Deleted(named("metadata.name", ofDriver)), Fields: name},
	)
}

// requests asks for the cluster's object that a field names, as each of the kinds.
func requests(path string, begin []string) func(sdk.Value) []controller.Request {
	return func(o sdk.Value) []controller.Request {
		var out []controller.Request
		for _, b := range begin {
			out = append(out, controller.Request{Name: b + o.Get(path).String()})
		}
		return out
	}
}

func self(c sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: c.Get("metadata.namespace").String(), Name: c.Get("metadata.name").String()}}
}

var attachmentFields = []string{"spec.nodeName", "spec.source.persistentVolumeName"}

// attachmentChanged requests the volume, and the node, which is to be told.
func attachmentChanged(a sdk.Value) []controller.Request {
	v := a.Get("spec.source.persistentVolumeName").String()
	if v == "" {
		return nil
	}
	return []controller.Request{{Name: v}, {Name: ofNode + a.Get("spec.nodeName").String()}}
}

// claimsOf requests the claims of a pod that has a node.
func claimsOf(p sdk.Value) []controller.Request {
	if p.Get("spec.nodeName").String() == "" {
		return nil
	}
	ns, name := p.Get("metadata.namespace").String(), p.Get("metadata.name").String()
	var out []controller.Request
	for _, v := range p.Get("spec.volumes").Items() {
		if c := v.Get("persistentVolumeClaim.claimName"); c.Exists() {
			out = append(out, controller.Request{Namespace: ns, Name: c.String()})
		}
		if v.Key("ephemeral").Exists() {
			out = append(out, controller.Request{Namespace: ns, Name: name + "-" + v.Key("name").String()})
		}
	}
	return out
}

// claimsOfEnding requests the claims of a pod whose last containers may have ended.
func claimsOfEnding(p sdk.Value) []controller.Request {
	if !p.Get("metadata.deletionTimestamp").Exists() {
		return nil
	}
	return claimsOf(p)
}

// controlled is what an instance knows.
type controlled struct {
	memory map[string]memory // by volume
	fresh  bool              // it has seen every attachment that was made before it was opened
}

func (k *controlled) reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	if q.Namespace != "" {
		cl, err := one[claim](c, q.Namespace, q.Name)
		if err != nil || cl == nil || cl.Spec.VolumeName == "" {
			return controller.Result{}, err
		}
		return controller.Result{Enqueue: []controller.Request{{Name: cl.Spec.VolumeName}}}, nil
	}
	if name, ok := strings.CutPrefix(q.Name, ofNode); ok {
		return nodeChanged(c, name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofManaged); ok {
		return nodeManaged(c, name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofDriver); ok {
		return driverChanged(c, name)
	}
	return k.volume(c, q.Name, now)
}

// driverChanged requests the volumes of a driver.
func driverChanged(c client.Client, name string) (controller.Result, error) {
	list, err := by[volume](c, "", "spec.csi.driver", name)
	var out controller.Result
	for _, v := range list {
		out.Enqueue = append(out.Enqueue, controller.Request{Name: v.Name})
	}
	return out, err
}

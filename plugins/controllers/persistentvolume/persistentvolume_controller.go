// Package persistentvolume binds PersistentVolumeClaims to PersistentVolumes, asks
// provisioners for volumes, and says what becomes of those whose claim is gone.
//
// A binding is four writes, the volume's first: whoever is killed between them, or
// loses a race, finds at the next look what is to be finished. No volume is made or
// deleted here: provisioners do that, by the annotations, phases and finalizers that
// upstream's controller gives them.
//
// One request is a claim, a volume, or a class (ofClass) of which claims may wait.
// They are handled one at a time, so that no two claims are given one volume; were
// they, the volume's resourceVersion would let only one have it.
package persistentvolume

import (
	"strings"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	claims  = "v1/persistentvolumeclaims"
	volumes = "v1/persistentvolumes"
	pods    = "v1/pods"
	classes = "storage.k8s.io/v1/storageclasses"
)

// What no object is called begins the names of other requests: a class of which
// claims may wait, and a claim that is gone and named no volume.
const (
	ofClass = "class "
	gone    = "gone "
)

func init() {
	sdk.Register(sdk.Plugin{Name: "persistent-volume-binder", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: claims},
				{Resource: claims, Map: controller.Deleted(claimGone), Fields: []string{"metadata.namespace", "metadata.name", "spec.volumeName"}},
				{Resource: volumes},
				{Resource: volumes, Map: controller.Deleted(volumeGone), Fields: []string{"spec.claimRef"}, Present: []string{"spec.claimRef"}},
				{Resource: classes, Map: controller.Func(classChanged), Fields: []string{"metadata.name"}},
				{Resource: pods, Map: controller.Added(claimsOf), Fields: podFields, Present: []string{"spec.volumes.persistentVolumeClaim"}},
				{Resource: pods, Map: controller.Added(claimsOf), Fields: podFields, Present: []string{"spec.volumes.ephemeral"}},
			},
			Implements: []string{claims, volumes},
			Reconcile:  reconcile,
		}, nil
	}})
}

var podFields = []string{"metadata.namespace", "metadata.name", "spec.nodeName", "spec.volumes"}

// claimGone requests the volume of a claim that is gone.
func claimGone(c sdk.Value) []controller.Request {
	if v := c.Get("spec.volumeName").String(); v != "" {
		return []controller.Request{{Name: v}}
	}
	return []controller.Request{{Namespace: c.Get("metadata.namespace").String(), Name: gone + c.Get("metadata.name").String()}}
}

// volumeGone requests the claim of a volume that is gone.
func volumeGone(v sdk.Value) []controller.Request {
	ns, name := v.Get("spec.claimRef.namespace").String(), v.Get("spec.claimRef.name").String()
	if ns == "" || name == "" {
		return nil
	}
	return []controller.Request{{Namespace: ns, Name: name}}
}

func classChanged(s sdk.Value) []controller.Request {
	return []controller.Request{{Name: ofClass + s.Get("metadata.name").String()}}
}

// claimsOf requests the claims for which a pod waits to be given a node.
func claimsOf(p sdk.Value) []controller.Request {
	if p.Get("spec.nodeName").String() != "" {
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

func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if name, ok := strings.CutPrefix(q.Name, gone); ok {
		return abandoned(c, q.Namespace, name)
	}
	if q.Namespace != "" {
		return controller.Result{}, reconcileClaim(c, q.Namespace, q.Name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofClass); ok {
		return waitingForClass(c, name)
	}
	return reconcileVolume(c, q.Name)
}

// complete tells that the binding of the claim was complete once.
func (c *claim) complete() bool {
	_, ok := c.Annotations[annBindCompleted]
	return ok
}

func unlessGone(err error) error {
	if client.IsNotFound(err) {
		return nil
	}
	return err
}

// write patches an object as it was read. Nothing is written for a nil patch.
func write(c client.Client, o client.Object, m *metav1.ObjectMeta, subresource string, p patch) error {
	if p == nil {
		return nil
	}
	meta, ok := p["metadata"].(patch)
	if !ok {
		meta = patch{}
		p["metadata"] = meta
	}
	meta["uid"], meta["resourceVersion"] = m.UID, m.ResourceVersion
	if subresource != "" {
		p = patch{"metadata": meta, subresource: p.rest()}
	}
	return c.Patch(o, client.Patch{Data: p, Subresource: subresource})
}

// rest is the patch but for the metadata.
func (p patch) rest() patch {
	out := patch{}
	for k, v := range p {
		if k != "metadata" {
			out[k] = v
		}
	}
	return out
}

// Package driver is the contract between the agent's volumes (package volume)
// and those who make one kind of volume. A kind is a package of its own beside
// this one.
//
// A kind that leaves nothing outside of the directory that it is given is a
// Driver: the agent unmounts and removes that directory, for which it needs
// nobody. A kind that makes something elsewhere, on the node for all pods that
// use the volume or in another system, is Staged: what the agent must know to
// undo it is on the disk before it is made, so that an agent that begins later,
// when the API has forgotten the pod, can undo it.
//
// Calls for one pod do not overlap, and calls for one staged volume do not;
// others may come at the same time.
package driver

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Spec is what a volume is to be: part of the pod, or persistent.
type Spec struct {
	// Volume is the volume as the pod names it.
	Volume *corev1.Volume
	// Persistent is what the pod's claim is bound to; nil for a volume that is
	// not claimed, whose source Volume names.
	Persistent *corev1.PersistentVolume
	// ReadOnly: the pod wants to read only.
	ReadOnly bool
}

// Request asks for one volume of a pod. A driver changes nothing of it.
type Request struct {
	Spec
	Pod *corev1.Pod
	// Dir is the volume's own directory on this node, on the disk of the agent.
	// It need not exist. Whatever is mounted at it or below is unmounted, and
	// what is on it removed, when the pod is gone.
	Dir string
	// Staged is where Stage made the volume; empty for one that is not staged.
	Staged string
}

// Mount is a volume that is ready to be mounted into containers.
type Mount struct {
	// Path is where it lies on the node, Request.Dir or elsewhere.
	Path string
	// Image is mounted by the runtime instead, when set; Path is empty then.
	Image string
	// ReadOnly: no container may write it, whatever the pod says.
	ReadOnly bool
	// Renew is when Setup must be called again; zero for not before something
	// that the volume shows has changed.
	Renew time.Time
}

// Driver makes volumes of a kind.
type Driver interface {
	// Name is the kind's name. It stands in records on the disk: it must not
	// change.
	Name() string
	// Supports reports whether a volume is of this kind.
	Supports(s Spec) bool
	// Setup makes the volume, or brings it up to date: it is called before the
	// pod's first container, by each agent that takes up the pod, at
	// Mount.Renew, and when an object changed that the pod refers to. What
	// stands already is left alone. fsGroup and SELinux labels are its duty (see
	// package ownership), as only the kind knows whether the volume may be
	// changed.
	//
	// # Errors
	//
	// *podspec.MissingError when the volume refers to something that does not
	// exist yet. Whatever fails is tried again, with the Request of then.
	Setup(ctx context.Context, r *Request) (Mount, error)
}

// Handle is what the agent keeps of a staged volume to undo it later.
type Handle struct {
	// Driver is the driver's name.
	Driver string `json:"driver"`
	// ID is the volume, the same for every pod that uses it.
	ID string `json:"id"`
	// Attributes are the driver's own; nothing secret, it is on the disk.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Staged makes volumes in two phases, as CSI does: Stage once per node and
// volume, then Setup for each pod; and back in the other order.
type Staged interface {
	Driver
	// Handle names the volume. It is pure.
	Handle(r *Request) (Handle, error)
	// Stage makes the volume available at dir, which exists, for all pods. It is
	// called before each Setup, so one that is staged already is no error. Other
	// pods of the volume wait meanwhile, those too that end: what it takes from
	// others, such as an attachment, it does not wait for, but fails and is
	// called again.
	Stage(ctx context.Context, r *Request, h Handle, dir string) error
	// TearDown undoes Setup. The pod may have been gone for long: h and dir are
	// all that is known. A volume that was never set up is no error.
	TearDown(ctx context.Context, h Handle, dir string) error
	// Unstage undoes Stage, when no pod of the node uses the volume any more. A
	// volume that is not staged is no error.
	Unstage(ctx context.Context, h Handle, dir string) error
}

// Forgetter is a driver that remembers something of pods, such as tokens.
type Forgetter interface {
	// Forget is told that a pod is gone.
	Forget(pod types.UID)
}

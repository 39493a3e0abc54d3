package scheduling

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// ObjectRef names an object, or with Name "" all of a resource in a namespace
// (with Namespace "" in all): {"v1/persistentvolumeclaims", "default", "data"}.
type ObjectRef = schedule.ObjectRef

// Placement is a pod on the node that was chosen for it, until it is bound. It is
// valid until the point returns.
//
// What a plugin has to remember of it is its [Placement.State], and not in the
// memory of the instance: each point may be asked of another instance, of another
// version of the plugin, and after a restart of the server of none.
type Placement struct {
	// Namespace, PodName and UID name the pod.
	Namespace, PodName, UID string
	// NodeName is the node that was chosen.
	NodeName string
	// State is what the plugin keeps about this placement, at most 64 KiB. What a
	// point leaves here is there when the next is asked.
	State []byte
	// Elapsed is for how long PreBind has been going on; 0 when it is asked first,
	// and in the other points.
	Elapsed time.Duration

	pod     *Pod
	node    Node
	assumed []schedule.Assumed
}

// Pod is the pod as PreFilter sees it; nil but in Reserve and PreFlight.
func (p *Placement) Pod() *Pod { return p.pod }

// Node is the node that was chosen; it may be used in Reserve and PreFlight only.
func (p *Placement) Node() Node { return p.node }

// Snapshot is all nodes; nil but in Reserve and PreFlight.
func (p *Placement) Snapshot() *Snapshot { return p.node.s }

// Assume says, from Reserve, that an object is about to be changed by a JSON merge
// patch. Until the pod is bound or unreserved, every decision sees the object with
// the patch, so that no other pod is promised what this one was. Nothing is written:
// PreBind does that. It panics when patch has no JSON form.
func (p *Placement) Assume(o ObjectRef, patch any) {
	text, err := json.Marshal(patch)
	if err != nil {
		panic(fmt.Sprintf("scheduling.Placement.Assume: %v", err))
	}
	p.assumed = append(p.assumed, schedule.Assumed{ObjectRef: o, Patch: text})
}

// Wait says, from PreBind, that the pod cannot be bound yet: PreBind is asked again
// when one of the objects changes, and after a time in any case; 0 leaves that to
// the kernel. No instance is in use meanwhile. The resources must be among
// [Points.Objects].
func Wait(after time.Duration, until ...ObjectRef) *Status {
	return &Status{Code: CodeWait, after: after, until: until}
}

// Failed says that the plugin has no answer, from PreFilter, Reserve or PreBind: what
// that means is said by its failure policy.
func Failed(err error) *Status { return &Status{Code: CodeError, Reasons: []string{err.Error()}} }

// Get reads an object into obj as every decision sees it: as stored, with what was
// assumed ([Placement.Assume]). The verdict about the pod is remembered until one of
// the objects that were looked at changes, and a pod that was refused is tried again
// then. The resource must be among [Points.Objects].
//
// # Errors
//   - client.IsNotFound, client.IsForbidden, as of [client.Reader]
func (s *Snapshot) Get(obj client.Object, namespace, name string) error {
	if s.reader == nil {
		return errNoReader
	}
	return s.reader.Get(obj, namespace, name)
}

// List is Get for all objects of a namespace, or of all with "". Every change of one
// of them voids the verdict. See [client.Reader].
func (s *Snapshot) List(list any, o client.ListOptions) error {
	if s.reader == nil {
		return errNoReader
	}
	return s.reader.List(list, o)
}

var errNoReader = fmt.Errorf("this snapshot was made for a test and has no objects")

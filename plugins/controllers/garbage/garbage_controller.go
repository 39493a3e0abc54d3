// Package garbage deletes objects whose owners are gone, and carries out the
// finalizers foregroundDeletion (dependents first) and orphan (dependents let
// go) that the API puts on an object being deleted.
//
// It keeps no graph of its own: the kernel answers which objects name an
// owner. An owner counts as gone when its name holds no object, or another
// uid, or when it was seen to be deleted and its kind is not there any more: the
// objects of a CustomResourceDefinition go before it. An owner of a kind that is not
// known, and that nobody saw deleted, is looked for again, as upstream does: its kind
// may be about to come.
package garbage

import (
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Finalizers of the API's own.
const (
	foreground = "foregroundDeletion"
	orphan     = "orphan"
)

// Modes of a request: an owner to look for, one that is known to be gone, and
// an object whose finalizer waits.
const (
	modeCheck = "check"
	modeGone  = "gone"
	modeFinal = "final"
)

// pause before the next look at dependents that are still going, and each more for each
// of them, as each is looked at; patience, before that at an owner of a kind that nobody
// has defined.
const (
	pause    = 300 * time.Millisecond
	each     = 200 * time.Microsecond
	patience = time.Minute
)

func init() {
	sdk.Register(sdk.Plugin{Name: "garbage-collector", New: func([]byte) (sdk.Points, error) {
		g := &collector{}
		return &controller.Points{Watches: watches(), Workers: 2, Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
			g.now = c.Now
			return g.reconcile(c, q)
		}}, nil
	}})
}

// watches are of every resource that takes part in garbage collection.
func watches() []controller.Watch {
	var out []controller.Watch
	for _, m := range []controller.Map{controller.Owned(ownersOf), controller.Deleted(gone), controller.Deleting(final)} {
		out = append(out, controller.Watch{Resource: controller.AllResources, Metadata: true, Present: []string{"collected"}, Map: m})
	}
	return out
}

// subject is what a request is about, packed into its name.
type subject struct {
	mode, apiVersion, kind, uid, name string
}

func (s subject) request(namespace string) controller.Request {
	return controller.Request{Namespace: namespace, Name: strings.Join([]string{s.mode, s.apiVersion, s.kind, s.uid, s.name}, " ")}
}

func unpack(name string) (subject, error) {
	p := strings.SplitN(name, " ", 5)
	if len(p) != 5 {
		return subject{}, fmt.Errorf("request %q has %d parts, want 5", name, len(p))
	}
	return subject{p[0], p[1], p[2], p[3], p[4]}, nil
}

// ownersOf asks to look for the owners that an object names.
func ownersOf(o sdk.Value) []controller.Request {
	var out []controller.Request
	for _, ref := range o.Get("metadata.ownerReferences").Items() {
		s := subject{modeCheck, ref.Key("apiVersion").String(), ref.Key("kind").String(), ref.Key("uid").String(), ref.Key("name").String()}
		out = append(out, s.request(o.Get("metadata.namespace").String()))
	}
	return out
}

func gone(o sdk.Value) []controller.Request {
	s := subject{modeGone, o.Get("apiVersion").String(), o.Get("kind").String(), o.Get("metadata.uid").String(), o.Get("metadata.name").String()}
	return []controller.Request{s.request(o.Get("metadata.namespace").String())}
}

func final(o sdk.Value) []controller.Request {
	if !o.Get("metadata.deletionTimestamp").Exists() {
		return nil
	}
	for _, f := range o.Get("metadata.finalizers").Items() {
		if f.String() == foreground || f.String() == orphan {
			s := subject{modeFinal, o.Get("apiVersion").String(), o.Get("kind").String(), o.Get("metadata.uid").String(), o.Get("metadata.name").String()}
			return []controller.Request{s.request(o.Get("metadata.namespace").String())}
		}
	}
	return nil
}

// collector is the controller.
type collector struct {
	now    func() time.Time
	budget searchBudget
}

func (g *collector) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	s, err := unpack(req.Name)
	if err != nil {
		return controller.Result{}, err
	}
	switch s.mode {
	case modeFinal:
		return finalize(c, s, req.Namespace)
	case modeGone:
		return controller.Result{}, collect(c, s, req.Namespace)
	}
	state, err := owner(c, s, req.Namespace)
	if err != nil || state != ownerGone && state != ownerUnknown {
		return controller.Result{}, err
	}
	far, left, err := g.search(c, s, req.Namespace)
	switch {
	case state == ownerGone: // whether or not it could be looked for elsewhere, for an event
		return controller.Result{}, collect(c, s, req.Namespace)
	case err != nil:
		return controller.Result{}, err
	case far || left == 0:
		return controller.Result{}, nil // no other look finds anything else
	}
	// Asked again for as long as somebody has that owner.
	return controller.Result{RequeueAfter: patience}, nil
}

// search looks for an owner that is not where its dependents look, says of them if it is
// elsewhere, and answers how many dependents there are.
func (g *collector) search(c client.Client, s subject, namespace string) (far bool, left int, err error) {
	deps, err := dependents(c, s.uid, namespace)
	if err != nil || len(deps) == 0 || !g.budget.take(g.now()) {
		return false, len(deps), err
	}
	if far, err = elsewhere(c, s, namespace); far {
		misplaced(c, s, namespace, deps)
	}
	return far, len(deps), err
}

// object is any object's metadata.
type object struct {
	metav1.TypeMeta   `json:""`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Resource          string `json:"resource,omitempty"` // in a list of all resources
}

// APIResource names the resource that the object was read as.
func (o *object) APIResource() string {
	if o.Resource != "" {
		return o.Resource
	}
	return client.ByKind(o.APIVersion, o.Kind)
}

// read reads an object's metadata by its kind, the way owner references name
// objects.
//
// # Errors
//   - client.IsUnsupported: there is no telling whom the reference means, for
//     there is no such kind, or its objects are in namespaces
func read(c client.Client, apiVersion, kind, namespace, name string) (*object, error) {
	o := &object{Resource: client.ByKind(apiVersion, kind)}
	err := c.Get(o, namespace, name)
	o.Resource = client.ByKind(apiVersion, kind) // reading clears everything
	return o, err
}

// Package garbage deletes objects whose owners are gone, and carries out the
// finalizers foregroundDeletion (dependents first) and orphan (dependents let
// go) that the API puts on an object being deleted.
//
// It keeps no graph of its own: the kernel answers which objects name an
// owner. An owner counts as gone when its name holds no object, or another
// uid.
package garbage

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Config is the plugin's configuration.
type Config struct {
	// Resources are all resources that can own or be owned.
	Resources []Resource `json:"resources"`
}

// Resource is one resource, and the kind by which owner references name it.
type Resource struct {
	Resource   string `json:"resource"`   // "apps/v1/replicasets"
	APIVersion string `json:"apiVersion"` // "apps/v1"
	Kind       string `json:"kind"`       // "ReplicaSet"
	Namespaced bool   `json:"namespaced"`
}

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

// pause before the next look at dependents that are still going.
const pause = 300 * time.Millisecond

func init() {
	sdk.Register(sdk.Plugin{Name: "garbage-collector", New: func(raw []byte) (sdk.Points, error) {
		var c Config
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		if len(c.Resources) == 0 {
			return nil, errors.New("config.resources: nothing to collect from")
		}
		g := collector{c.Resources}
		return &controller.Points{Watches: g.watches(), Workers: 2, Reconcile: g.reconcile}, nil
	}})
}

type collector struct{ resources []Resource }

func (g collector) watches() []controller.Watch {
	var out []controller.Watch
	for _, r := range g.resources {
		out = append(out,
			controller.Watch{Resource: r.Resource, Map: controller.Owned(ownersOf)},
			controller.Watch{Resource: r.Resource, Map: controller.Deleted(r.gone)},
			controller.Watch{Resource: r.Resource, Map: controller.Deleting(r.final)},
		)
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

func (r Resource) gone(o sdk.Value) []controller.Request {
	s := subject{modeGone, r.APIVersion, r.Kind, o.Get("metadata.uid").String(), o.Get("metadata.name").String()}
	return []controller.Request{s.request(o.Get("metadata.namespace").String())}
}

func (r Resource) final(o sdk.Value) []controller.Request {
	if !o.Get("metadata.deletionTimestamp").Exists() {
		return nil
	}
	for _, f := range o.Get("metadata.finalizers").Items() {
		if f.String() == foreground || f.String() == orphan {
			s := subject{modeFinal, r.APIVersion, r.Kind, o.Get("metadata.uid").String(), o.Get("metadata.name").String()}
			return []controller.Request{s.request(o.Get("metadata.namespace").String())}
		}
	}
	return nil
}

func (g collector) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	s, err := unpack(req.Name)
	if err != nil {
		return controller.Result{}, err
	}
	switch s.mode {
	case modeFinal:
		return g.finalize(c, s, req.Namespace)
	case modeGone:
		return controller.Result{}, g.collect(c, s, req.Namespace)
	}
	state, err := g.owner(c, s, req.Namespace)
	if err != nil || state != ownerGone {
		return controller.Result{}, err
	}
	return controller.Result{}, g.collect(c, s, req.Namespace)
}

// object is any object's metadata.
type object struct {
	metav1.TypeMeta   `json:""`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	resource          string
}

// APIResource names the resource that the object was listed as.
func (o *object) APIResource() string { return o.resource }

// read reads an object's metadata.
func read(c client.Client, resource, namespace, name string) (*object, error) {
	o := &object{resource: resource}
	err := c.Get(o, namespace, name)
	o.resource = resource // reading clears everything
	return o, err
}

// find knows the resource of an owner reference by group and kind; the
// version may be any.
func (g collector) find(apiVersion, kind string) (Resource, bool) {
	group := groupOf(apiVersion)
	for _, r := range g.resources {
		if r.Kind == kind && groupOf(r.APIVersion) == group {
			return r, true
		}
	}
	return Resource{}, false
}

func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// locate is find for an owner of an object in a namespace, and where the owner
// is; ok is false when there is no telling whom the reference means.
func (g collector) locate(apiVersion, kind, namespace string) (r Resource, in string, ok bool) {
	r, ok = g.find(apiVersion, kind)
	switch {
	case !ok:
		return r, "", false
	case !r.Namespaced:
		return r, "", true
	}
	return r, namespace, namespace != ""
}

// ownerState is what an owner is to its dependents.
type ownerState int

const (
	ownerGone  ownerState = iota
	ownerWaits            // it is being deleted once its dependents are gone
	ownerStays
)

// owner looks for an owner. One whose kind is not known counts as there: what
// cannot be looked up must not be taken for garbage.
func (g collector) owner(c client.Client, s subject, namespace string) (ownerState, error) {
	r, namespace, ok := g.locate(s.apiVersion, s.kind, namespace)
	if !ok {
		return ownerStays, nil
	}
	o, err := read(c, r.Resource, namespace, s.name)
	switch {
	case client.IsNotFound(err):
		return ownerGone, nil
	case err != nil:
		return ownerStays, err
	case o.UID != s.uid:
		return ownerGone, nil
	case waits(o):
		return ownerWaits, nil
	}
	return ownerStays, nil
}

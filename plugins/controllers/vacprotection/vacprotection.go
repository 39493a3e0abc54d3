// Package vacprotection keeps VolumeAttributesClasses that a claim or a volume names:
// one that is deleted goes when the last of them is gone or names another. Admission
// gives new classes the finalizer; those that are older get it here.
//
// KEP-3751.
package vacprotection

import (
	"slices"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	finalizer = "kubernetes.io/vac-protection"
	classes   = "storage.k8s.io/v1/volumeattributesclasses"
	claims    = "v1/persistentvolumeclaims"
	volumes   = "v1/persistentvolumes"
)

// Where a claim names classes: what it wants, what its volume has, and what that is
// being changed to.
const (
	wanted  = "spec.volumeAttributesClassName" // and of a volume: what it has
	current = "status.currentVolumeAttributesClassName"
	target  = "status.modifyVolumeStatus.targetVolumeAttributesClassName"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "vac-protection", New: func([]byte) (sdk.Points, error) {
		// An object that names another class than before is told of both.
		names := func(resource, path string) controller.Watch {
			return controller.Watch{Resource: resource, Map: controller.FieldChanged(path), Present: []string{path}}
		}
		return &controller.Points{
			Watches:    []controller.Watch{{Resource: classes}, names(claims, wanted), names(claims, current), names(claims, target), names(volumes, wanted)},
			Implements: []string{}, // who changes volumes does
			Reconcile:  reconcile,
		}, nil
	}})
}

// class is a VolumeAttributesClass's metadata.
type class struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
}

// APIResource implements client.Object.
func (*class) APIResource() string { return classes }

// GetObjectMeta implements metav1.Accessor.
func (c *class) GetObjectMeta() *metav1.ObjectMeta { return &c.Metadata }

// claim is what counts of a PersistentVolumeClaim.
type claim struct {
	Spec struct {
		Class string `json:"volumeAttributesClassName"`
	} `json:"spec"`
	Status struct {
		Class  string `json:"currentVolumeAttributesClassName"`
		Modify struct {
			Class string `json:"targetVolumeAttributesClassName"`
		} `json:"modifyVolumeStatus"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

func (c *claim) names(class string) bool {
	return c.Spec.Class == class || c.Status.Class == class || c.Status.Modify.Class == class
}

// volume is what counts of a PersistentVolume.
type volume struct {
	Spec struct {
		Class string `json:"volumeAttributesClassName"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*volume) APIResource() string { return volumes }

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	vac := &class{}
	if err := c.Get(vac, "", req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	switch has, deleted := client.ContainsFinalizer(vac, finalizer), vac.Metadata.DeletionTimestamp != nil; {
	case deleted && has:
		used, err := isUsed(c, vac.Metadata.Name)
		if err != nil || used {
			return controller.Result{}, err
		}
		return controller.Result{}, client.RemoveFinalizer(c, vac, finalizer)
	case !deleted && !has:
		return controller.Result{}, client.AddFinalizer(c, vac, finalizer)
	}
	return controller.Result{}, nil
}

// isUsed tells whether a volume or a claim names the class.
func isUsed(c client.Client, class string) (bool, error) {
	var pvs []*volume
	if err := c.List(&pvs, client.ListOptions{}); err != nil {
		return false, err
	}
	if slices.ContainsFunc(pvs, func(v *volume) bool { return v.Spec.Class == class }) {
		return true, nil
	}
	var pvcs []*claim
	if err := c.List(&pvcs, client.ListOptions{}); err != nil {
		return false, err
	}
	return slices.ContainsFunc(pvcs, func(p *claim) bool { return p.names(class) }), nil
}

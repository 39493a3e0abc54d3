// Package pvprotection keeps PersistentVolumes that a claim is bound to: one
// that is deleted goes when it is bound no longer. Admission gives new volumes
// the finalizer; those that are older get it here.
package pvprotection

import (
	"slices"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	finalizer = "kubernetes.io/pv-protection"
	volumes   = "v1/persistentvolumes"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "pv-protection", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{Watches: []controller.Watch{{Resource: volumes}}, Implements: []string{}, Reconcile: reconcile}, nil
	}})
}

// volume is what counts of a PersistentVolume.
type volume struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Status   struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*volume) APIResource() string { return volumes }

// GetObjectMeta implements metav1.Accessor.
func (v *volume) GetObjectMeta() *metav1.ObjectMeta { return &v.Metadata }

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	pv := &volume{}
	if err := c.Get(pv, "", req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	m := &pv.Metadata
	has, deleted := slices.Contains(m.Finalizers, finalizer), m.DeletionTimestamp != nil
	switch {
	case deleted && has && pv.Status.Phase != "Bound":
		return controller.Result{}, set(c, pv, slices.DeleteFunc(slices.Clone(m.Finalizers), func(f string) bool { return f == finalizer }))
	case !deleted && !has:
		return controller.Result{}, set(c, pv, append(slices.Clone(m.Finalizers), finalizer))
	}
	return controller.Result{}, nil
}

// set replaces the finalizers of the volume as it was read.
func set(c client.Client, pv *volume, finalizers []string) error {
	patch := map[string]any{"metadata": map[string]any{"uid": pv.Metadata.UID, "resourceVersion": pv.Metadata.ResourceVersion, "finalizers": finalizers}}
	err := c.Patch(pv, client.Patch{Data: patch})
	if client.IsNotFound(err) {
		return nil
	}
	return err
}

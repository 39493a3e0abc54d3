// Package pvprotection keeps PersistentVolumes that a claim is bound to: one
// that is deleted goes when it is bound no longer. Admission gives new volumes
// the finalizer; those that are older get it here.
package pvprotection

import (
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
	switch has, deleted := client.ContainsFinalizer(pv, finalizer), pv.Metadata.DeletionTimestamp != nil; {
	case deleted && has && pv.Status.Phase != "Bound":
		return controller.Result{}, client.RemoveFinalizer(c, pv, finalizer)
	case !deleted && !has:
		return controller.Result{}, client.AddFinalizer(c, pv, finalizer)
	}
	return controller.Result{}, nil
}

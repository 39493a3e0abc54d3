// Package storageprotection gives new PersistentVolumeClaims, PersistentVolumes and
// VolumeAttributesClasses the finalizers that keep them while they are used, as
// upstream's StorageObjectInUseProtection admission does. The controllers
// pvcprotection, pvprotection and vacprotection take them away.
package storageprotection

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
)

// finalizers by resource.
var finalizers = map[string]string{
	"v1/persistentvolumeclaims":                 "kubernetes.io/pvc-protection",
	"v1/persistentvolumes":                      "kubernetes.io/pv-protection",
	"storage.k8s.io/v1/volumeattributesclasses": "kubernetes.io/vac-protection",
}

func init() {
	sdk.Register(sdk.Plugin{Name: "storage-protection", New: func([]byte) (sdk.Points, error) {
		rule := admission.MatchRule{Operations: []admission.Operation{admission.Create}, Resources: slices.Sorted(maps.Keys(finalizers))}
		return &admission.Points{Match: []admission.MatchRule{rule}, Fields: []string{"metadata.finalizers"}, Mutate: mutate}, nil
	}})
}

func mutate(r *admission.Review) error {
	want := finalizers[r.Resource]
	has := r.Object.Get("metadata.finalizers")
	for _, f := range has.Items() {
		if f.String() == want {
			return nil
		}
	}
	return r.Set(fmt.Sprintf("metadata.finalizers[%d]", has.Len()), want)
}

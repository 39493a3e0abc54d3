// Package claimresize lets a PersistentVolumeClaim grow only when it is bound and its
// StorageClass allows that, as upstream's PersistentVolumeClaimResize admission does.
package claimresize

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	size      = "spec.resources.requests.storage"
	className = "spec.storageClassName"
	annotated = "metadata.annotations[volume.beta.kubernetes.io/storage-class]" // by which older clients name the class
)

func init() {
	sdk.Register(sdk.Plugin{Name: "claim-resize", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{
			Match:    []admission.MatchRule{{Operations: []admission.Operation{admission.Update}, Resources: []string{"v1/persistentvolumeclaims"}}},
			Fields:   []string{size, className, annotated, "status.phase"},
			Validate: validate,
		}, nil
	}})
}

// class is what counts of a StorageClass.
type class struct {
	AllowVolumeExpansion bool `json:"allowVolumeExpansion"`
}

// APIResource implements client.Object.
func (*class) APIResource() string { return "storage.k8s.io/v1/storageclasses" }

func validate(r *admission.Review) error {
	was, now := resource.Quantity(r.Old.Get(size).String()), resource.Quantity(r.Object.Get(size).String())
	if now.Cmp(was) <= 0 {
		return nil
	}
	if r.Old.Get("status.phase").String() != "Bound" {
		return r.Forbid("Only bound persistent volume claims can be expanded")
	}
	may := class{}
	if name := classOf(r.Object); name != "" && name == classOf(r.Old) {
		if err := r.Reader.Get(&may, "", name); err != nil && !client.IsNotFound(err) {
			return err
		}
	}
	if !may.AllowVolumeExpansion {
		return r.Forbid("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
	}
	return nil
}

func classOf(claim sdk.Value) string {
	if v := claim.Get(annotated); v.Exists() {
		return v.String()
	}
	return claim.Get(className).String()
}

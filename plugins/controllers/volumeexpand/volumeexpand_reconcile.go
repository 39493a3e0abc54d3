package volumeexpand

import (
	"fmt"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	annResizer   = "volume.kubernetes.io/storage-resizer"
	annPreResize = "volume.alpha.kubernetes.io/pre-resize-capacity"
)

type size struct {
	Storage resource.Quantity `json:"storage"`
}

// claim is what the controller looks at in a PersistentVolumeClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		VolumeName string `json:"volumeName"`
		Resources  struct {
			Requests size `json:"requests"`
		} `json:"resources"`
	} `json:"spec"`
	Status struct {
		Capacity size `json:"capacity"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

// volume is what it looks at in a PersistentVolume.
type volume struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ClaimRef *struct {
			Namespace string `json:"namespace"`
			UID       string `json:"uid"`
		} `json:"claimRef"`
		AWS      *struct{} `json:"awsElasticBlockStore"`
		Azure    *struct{} `json:"azureDisk"`
		Files    *struct{} `json:"azureFile"`
		Cinder   *struct{} `json:"cinder"`
		GCE      *struct{} `json:"gcePersistentDisk"`
		Portworx *struct{} `json:"portworxVolume"`
		VSphere  *struct{} `json:"vsphereVolume"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*volume) APIResource() string { return volumes }

// tookOver is the plugin of Kubernetes that a volume was of, and the driver that
// acts for it now; "" for any other volume.
func (v *volume) tookOver() (plugin, driver string) {
	switch s := &v.Spec; {
	case s.AWS != nil:
		return "kubernetes.io/aws-ebs", "ebs.csi.aws.com"
	case s.Azure != nil:
		return "kubernetes.io/azure-disk", "disk.csi.azure.com"
	case s.Files != nil:
		return "kubernetes.io/azure-file", "file.csi.azure.com"
	case s.Cinder != nil:
		return "kubernetes.io/cinder", "cinder.csi.openstack.org"
	case s.GCE != nil:
		return "kubernetes.io/gce-pd", "pd.csi.storage.gke.io"
	case s.Portworx != nil:
		return "kubernetes.io/portworx-volume", "pxd.portworx.com"
	case s.VSphere != nil:
		return "kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"
	}
	return "", ""
}

// plan is the next step for a claim; the zero plan is none.
type plan struct {
	resizer string // to name in the claim
	note    *client.Note
}

// decide is the next step for a bound claim and the volume of its name.
func decide(c *claim, v *volume) plan {
	r := v.Spec.ClaimRef
	if r == nil || r.Namespace != c.Namespace || r.UID != c.UID {
		return plan{} // the binder will say that it is lost
	}
	_, grows := v.Annotations[annPreResize]
	if c.Spec.Resources.Requests.Storage.Cmp(c.Status.Capacity.Storage) <= 0 && !grows {
		return plan{}
	}
	plugin, driver := v.tookOver()
	if driver == "" {
		return plan{note: &client.Note{Reason: "ExternalExpanding", Message: "waiting for an external controller to expand this PVC"}}
	}
	p := plan{note: &client.Note{Reason: "ExternalExpanding", Message: fmt.Sprintf("CSI migration enabled for %s; waiting for external resizer to expand the pvc", plugin)}}
	if c.Annotations[annResizer] != driver {
		p.resizer = driver
	}
	return p
}

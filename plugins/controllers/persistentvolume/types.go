package persistentvolume

import (
	"strings"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// Annotations and finalizers that binders, provisioners and attachers of other
// projects know, too.
const (
	annBindCompleted     = "pv.kubernetes.io/bind-completed"
	annBoundByController = "pv.kubernetes.io/bound-by-controller"
	annProvisionedBy     = "pv.kubernetes.io/provisioned-by"
	annMigratedTo        = "pv.kubernetes.io/migrated-to"
	annSelectedNode      = "volume.kubernetes.io/selected-node"
	annProvisioner       = "volume.kubernetes.io/storage-provisioner"
	annBetaProvisioner   = "volume.beta.kubernetes.io/storage-provisioner"
	annBetaClass         = "volume.beta.kubernetes.io/storage-class"
	annPreResize         = "volume.alpha.kubernetes.io/pre-resize-capacity"
	annDefaultClass      = "storageclass.kubernetes.io/is-default-class"
	annBetaDefaultClass  = "storageclass.beta.kubernetes.io/is-default-class"

	finalizerInTree   = "kubernetes.io/pv-controller"
	finalizerExternal = "external-provisioner.volume.kubernetes.io/finalizer"
	inTree            = "kubernetes.io/"
)

// Phases of claims and of volumes.
const (
	pending   = "Pending"
	bound     = "Bound"
	lost      = "Lost"
	available = "Available"
	released  = "Released"
	failed    = "Failed"
)

// Reclaim policies, and the binding mode that waits for a pod.
const (
	retain          = "Retain"
	recycle         = "Recycle"
	remove          = "Delete"
	waitForConsumer = "WaitForFirstConsumer"
	filesystem      = "Filesystem"
)

// claim is what the binder looks at in a PersistentVolumeClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		AccessModes      []string              `json:"accessModes"`
		Selector         *metav1.LabelSelector `json:"selector"`
		Resources        resources             `json:"resources"`
		VolumeName       string                `json:"volumeName"`
		StorageClassName *string               `json:"storageClassName"`
		VolumeMode       string                `json:"volumeMode"`
		AttributesClass  string                `json:"volumeAttributesClassName"`
	} `json:"spec"`
	Status struct {
		Phase           string   `json:"phase"`
		AccessModes     []string `json:"accessModes"`
		Capacity        sizes    `json:"capacity"`
		AttributesClass *string  `json:"currentVolumeAttributesClassName"`
	} `json:"status"`
}

type resources struct {
	Requests sizes `json:"requests"`
}

type sizes map[string]resource.Quantity

// storage is the size, and whether there is one.
func (s sizes) storage() (resource.Quantity, bool) {
	q, ok := s["storage"]
	return q, ok
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

// class is the name of the claim's StorageClass; asked is false for a claim that
// leaves the choice to the cluster.
func (c *claim) class() (name string, asked bool) {
	return classOf(c.Annotations, c.Spec.StorageClassName)
}

func (c *claim) size() resource.Quantity {
	q, _ := c.Spec.Resources.Requests.storage()
	return q
}

// classOf: the annotation of older clients goes first.
func classOf(annotations map[string]string, named *string) (name string, asked bool) {
	if n, ok := annotations[annBetaClass]; ok {
		return n, true
	}
	if named == nil {
		return "", false
	}
	return *named, true
}

// reference is a volume's claim.
type reference struct {
	Kind            string `json:"kind,omitempty"`
	APIVersion      string `json:"apiVersion,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name,omitempty"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// volume is what the binder looks at in a PersistentVolume.
type volume struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Capacity        sizes      `json:"capacity"`
		AccessModes     []string   `json:"accessModes"`
		ClaimRef        *reference `json:"claimRef"`
		ReclaimPolicy   string     `json:"persistentVolumeReclaimPolicy"`
		StorageClass    string     `json:"storageClassName"`
		VolumeMode      string     `json:"volumeMode"`
		AttributesClass *string    `json:"volumeAttributesClassName"`
		CSI             *struct {
			Driver string `json:"driver"`
		} `json:"csi"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*volume) APIResource() string { return volumes }

func (v *volume) class() string {
	name, _ := classOf(v.Annotations, &v.Spec.StorageClass)
	return name
}

func (v *volume) size() resource.Quantity {
	q, _ := v.Spec.Capacity.storage()
	return q
}

func (v *volume) attributesClass() string {
	if v.Spec.AttributesClass == nil {
		return ""
	}
	return *v.Spec.AttributesClass
}

// isFor tells that the volume is bound to the claim, or reserved for its name.
func (v *volume) isFor(c *claim) bool {
	r := v.Spec.ClaimRef
	return r != nil && r.Name == c.Name && r.Namespace == c.Namespace && (r.UID == "" || r.UID == c.UID)
}

// storageClass is what the binder looks at in a StorageClass.
type storageClass struct {
	metav1.ObjectMeta `json:"metadata"`
	Provisioner       string `json:"provisioner"`
	BindingMode       string `json:"volumeBindingMode"`
}

// APIResource implements client.Object.
func (*storageClass) APIResource() string { return classes }

// isDefault tells that claims without a class get this one.
func (s *storageClass) isDefault() bool {
	return s.Annotations[annDefaultClass] == "true" || s.Annotations[annBetaDefaultClass] == "true"
}

// defaultOf is the default among classes: the youngest, then the first by name.
func defaultOf(list []*storageClass) *storageClass {
	var best *storageClass
	for _, s := range list {
		if !s.isDefault() {
			continue
		}
		if best == nil || best.CreationTimestamp.Before(s.CreationTimestamp) ||
			best.CreationTimestamp == s.CreationTimestamp && s.Name < best.Name {
			best = s
		}
	}
	return best
}

// pod is a pod that waits for a node.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Volumes []struct {
			Name  string `json:"name"`
			Claim *struct {
				Name string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
			Ephemeral *struct{} `json:"ephemeral"`
		} `json:"volumes"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return pods }

func (p *pod) uses(claim string) bool {
	for _, v := range p.Spec.Volumes {
		if v.Claim != nil && v.Claim.Name == claim || v.Ephemeral != nil && p.Name+"-"+v.Name == claim {
			return true
		}
	}
	return false
}

// migrated are the CSI drivers that took over what Kubernetes itself once
// provisioned.
var migrated = map[string]string{
	"kubernetes.io/aws-ebs":         "ebs.csi.aws.com",
	"kubernetes.io/azure-disk":      "disk.csi.azure.com",
	"kubernetes.io/azure-file":      "file.csi.azure.com",
	"kubernetes.io/cinder":          "cinder.csi.openstack.org",
	"kubernetes.io/gce-pd":          "pd.csi.storage.gke.io",
	"kubernetes.io/portworx-volume": "pxd.portworx.com",
	"kubernetes.io/vsphere-volume":  "csi.vsphere.vmware.com",
}

// external is who provisions for a class, and whether it is anybody: what only
// Kubernetes itself provisioned is provisioned by nobody any more.
func external(provisioner string) (name string, ok bool) {
	if driver := migrated[provisioner]; driver != "" {
		return driver, true
	}
	return provisioner, !strings.HasPrefix(provisioner, inTree)
}

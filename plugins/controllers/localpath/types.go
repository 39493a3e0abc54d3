package localpath

import (
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// What the provisioner, the node agents and the server agree on.
const (
	// Provisioner is the name that StorageClasses ask for.
	Provisioner = "pintle.dev/local-path"
	// NodeLabel of a volume is the node that has it: an agent follows its own by it.
	NodeLabel = "pintle.dev/local-path-node"
	// Finalizer of a volume is removed by the agent once the directory is.
	Finalizer = "pintle.dev/local-path"
	// DirectoryAnnotation of a node is where its agent keeps such volumes.
	DirectoryAnnotation = "pintle.dev/local-path-directory"
)

const (
	annProvisionedBy = "pv.kubernetes.io/provisioned-by"
	annSelectedNode  = "volume.kubernetes.io/selected-node"
	annProvisioner   = "volume.kubernetes.io/storage-provisioner"
	annBetaClass     = "volume.beta.kubernetes.io/storage-class"
	hostname         = "kubernetes.io/hostname"
	remove           = "Delete"
	released         = "Released"
	bound            = "Bound"
)

type size struct {
	Storage resource.Quantity `json:"storage"`
}

// claim is what the provisioner looks at in a PersistentVolumeClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		AccessModes []string  `json:"accessModes"`
		Selector    *struct{} `json:"selector"`
		Resources   struct {
			Requests size `json:"requests"`
		} `json:"resources"`
		VolumeName    string    `json:"volumeName"`
		StorageClass  string    `json:"storageClassName"`
		VolumeMode    string    `json:"volumeMode"`
		Attributes    string    `json:"volumeAttributesClassName"`
		DataSource    *struct{} `json:"dataSource"`
		DataSourceRef *struct{} `json:"dataSourceRef"`
	} `json:"spec"`
	Status struct {
		Phase    string `json:"phase"`
		Capacity size   `json:"capacity"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

func (c *claim) class() string {
	if n, ok := c.Annotations[annBetaClass]; ok {
		return n
	}
	return c.Spec.StorageClass
}

// volume is what it looks at in a PersistentVolume.
type volume struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Capacity size `json:"capacity"`
		ClaimRef *struct {
			UID string `json:"uid"`
		} `json:"claimRef"`
		ReclaimPolicy string `json:"persistentVolumeReclaimPolicy"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*volume) APIResource() string { return volumes }

// GetObjectMeta implements metav1.Accessor.
func (v *volume) GetObjectMeta() *metav1.ObjectMeta { return &v.ObjectMeta }

// class is what it looks at in a StorageClass.
type class struct {
	metav1.ObjectMeta `json:"metadata"`
	Provisioner       string   `json:"provisioner"`
	ReclaimPolicy     string   `json:"reclaimPolicy"`
	MountOptions      []string `json:"mountOptions"`
}

// APIResource implements client.Object.
func (*class) APIResource() string { return classes }

// node is what it looks at in a Node.
type node struct {
	metav1.ObjectMeta `json:"metadata"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return nodes }

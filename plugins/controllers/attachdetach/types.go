package attachdetach

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

const (
	pods        = "v1/pods"
	nodes       = "v1/nodes"
	claims      = "v1/persistentvolumeclaims"
	volumes     = "v1/persistentvolumes"
	drivers     = "storage.k8s.io/v1/csidrivers"
	attachments = "storage.k8s.io/v1/volumeattachments"
)

const (
	annManaged   = "volumes.kubernetes.io/controller-managed-attach-detach"
	outOfService = "node.kubernetes.io/out-of-service"
	plugin       = "kubernetes.io/csi/" // begins the names of volumes in the status of nodes
	prefix       = "csi-"               // and those of attachments
)

// attachmentName is the name of the attachment of a volume to a node.
func attachmentName(handle, driver, node string) string {
	sum := sha256.Sum256([]byte(handle + driver + node))
	return prefix + hex.EncodeToString(sum[:])
}

// volumeName is the name of a volume in the status of nodes.
func volumeName(driver, handle string) string { return plugin + driver + "^" + handle }

// names tells that a name in the status of a node is that of the attachment's volume,
// whether or not there is a PersistentVolume that could say so.
func names(volume, attachment, node string) bool {
	driver, handle, ok := strings.Cut(strings.TrimPrefix(volume, plugin), "^")
	return ok && strings.HasPrefix(volume, plugin) && attachmentName(handle, driver, node) == attachment
}

type source struct {
	Driver string `json:"driver"`
	Handle string `json:"volumeHandle"`
}

// volume is what the controller looks at in a PersistentVolume.
type volume struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		AccessModes []string `json:"accessModes"`
		ClaimRef    *struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			UID       string `json:"uid"`
		} `json:"claimRef"`
		CSI *source `json:"csi"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*volume) APIResource() string { return volumes }

// exclusive tells that the volume must not be attached to two nodes. Of one without
// access modes that is the driver's to know.
func (v *volume) exclusive() bool {
	return len(v.Spec.AccessModes) > 0 && !slices.ContainsFunc(v.Spec.AccessModes, func(m string) bool {
		return m == "ReadWriteMany" || m == "ReadOnlyMany"
	})
}

// claim is what it looks at in a PersistentVolumeClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		VolumeName string `json:"volumeName"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

// driver is what it looks at in a CSIDriver.
type driver struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		AttachRequired *bool `json:"attachRequired"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*driver) APIResource() string { return drivers }

// node is what it looks at in a Node.
type node struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Taints []struct {
			Key string `json:"key"`
		} `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		InUse    []string   `json:"volumesInUse"`
		Attached []attached `json:"volumesAttached"`
	} `json:"status"`
}

type attached struct {
	Name       string `json:"name"`
	DevicePath string `json:"devicePath"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return nodes }

func (n *node) managed() bool {
	_, ok := n.Annotations[annManaged]
	return ok
}

func (n *node) lost() bool {
	for _, t := range n.Spec.Taints {
		if t.Key == outOfService {
			return true
		}
	}
	return false
}

func (n *node) ready() bool {
	for _, c := range n.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// uses tells that the node may have the volume of the attachment mounted.
func (n *node) uses(attachment string) bool {
	return slices.ContainsFunc(n.Status.InUse, func(v string) bool { return names(v, attachment, n.Name) })
}

// attachment is a VolumeAttachment.
type attachment struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              attachmentSpec   `json:"spec"`
	Status            attachmentStatus `json:"status"`
}

type attachmentSpec struct {
	Attacher string `json:"attacher"`
	NodeName string `json:"nodeName"`
	Source   struct {
		Volume string `json:"persistentVolumeName,omitempty"`
	} `json:"source"`
}

type attachmentStatus struct {
	Attached bool           `json:"attached"`
	Error    *attachmentErr `json:"attachError,omitempty"`
}

type attachmentErr struct {
	Time    metav1.Time `json:"time,omitempty,omitzero"`
	Message string      `json:"message,omitempty"`
}

// APIResource implements client.Object.
func (*attachment) APIResource() string { return attachments }

// ours tells that the name is one that this controller, or upstream's, gives. Others
// have attachments, too, and do with them as they like.
func (a *attachment) ours() bool {
	sum, ok := strings.CutPrefix(a.Name, prefix)
	if !ok || len(sum) != hex.EncodedLen(sha256.Size) || a.Spec.Source.Volume == "" {
		return false
	}
	_, err := hex.DecodeString(sum)
	return err == nil
}

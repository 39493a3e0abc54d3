package serve

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/node/volume/localpath"
)

// LocalPath is the StorageClass that a new cluster has, and its default.
const LocalPath = "local-path"

// founding are the objects that a new cluster begins with. They are the user's to
// change and to delete.
func founding() []kernel.Founding {
	wait, remove, grow := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete, true
	return []kernel.Founding{{Resource: storagev1.SchemeGroupVersion.WithResource("storageclasses"), Object: &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: LocalPath, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: localpath.Provisioner, ReclaimPolicy: &remove, VolumeBindingMode: &wait, AllowVolumeExpansion: &grow}}}
}

package resources

import (
	"context"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	storageutil "k8s.io/kubernetes/pkg/api/storage"
	"k8s.io/kubernetes/pkg/apis/storage"
	storagevalidation "k8s.io/kubernetes/pkg/apis/storage/validation"
	"k8s.io/kubernetes/pkg/features"

	"github.com/pintle-io/pintle/kernel/resource"
)

func storageKinds() []*resource.Definition {
	return []*resource.Definition{
		define(names{group: storagev1.GroupName, kind: "CSIDriver", resource: "csidrivers", cluster: true}, rule[storagev1.CSIDriver, storage.CSIDriver]{
			generation:     raisedOnly,
			conditional:    true,
			returnDeleted:  true,
			validate:       storagevalidation.ValidateCSIDriver,
			validateUpdate: storagevalidation.ValidateCSIDriverUpdate,
			warn: func(_ context.Context, d, old *storage.CSIDriver) []string {
				if len(d.Spec.TokenRequests) == 0 || d.Spec.ServiceAccountTokenInSecrets != nil ||
					old != nil && equality.Semantic.DeepEqual(old.Spec.TokenRequests, d.Spec.TokenRequests) {
					return nil
				}
				return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"}
			},
		}),
		define(names{group: storagev1.GroupName, kind: "CSINode", resource: "csinodes", cluster: true}, rule[storagev1.CSINode, storage.CSINode]{
			status:         hasStatusOnly,
			conditional:    true,
			returnDeleted:  true,
			validate:       storagevalidation.ValidateCSINode,
			validateUpdate: storagevalidation.ValidateCSINodeUpdate,
			validateStatus: storagevalidation.ValidateCSINodeStatusUpdate,
			statusInternal: func(n, old *storage.CSINode) {
				if !enabled(features.CSIVolumeHealth) && len(old.Status.StorageHealth) == 0 {
					n.Status.StorageHealth = nil
				}
			},
		}),
		define(names{group: storagev1.GroupName, kind: "CSIStorageCapacity", resource: "csistoragecapacities"}, rule[storagev1.CSIStorageCapacity, storage.CSIStorageCapacity]{
			conditional: true,
			validate: func(c *storage.CSIStorageCapacity) field.ErrorList {
				return storagevalidation.ValidateCSIStorageCapacity(c, storagevalidation.CSIStorageCapacityValidateOptions{})
			},
			validateUpdate: func(c, old *storage.CSIStorageCapacity) field.ErrorList {
				errs := storagevalidation.ValidateCSIStorageCapacity(c, storagevalidation.CSIStorageCapacityValidateOptions{
					AllowInvalidLabelValueInSelector: old.NodeTopology != nil && invalidSelector(*old.NodeTopology),
				})
				return append(errs, storagevalidation.ValidateCSIStorageCapacityUpdate(c, old)...)
			},
			warn: func(_ context.Context, c, _ *storage.CSIStorageCapacity) []string {
				return storageutil.GetWarningsForCSIStorageCapacity(c)
			},
		}),
		define(names{group: storagev1.GroupName, kind: "StorageClass", resource: "storageclasses", short: []string{"sc"}, cluster: true}, rule[storagev1.StorageClass, storage.StorageClass]{
			returnDeleted:  true,
			validate:       storagevalidation.ValidateStorageClass,
			validateUpdate: both(storagevalidation.ValidateStorageClass, storagevalidation.ValidateStorageClassUpdate),
			warn: func(_ context.Context, c, _ *storage.StorageClass) []string {
				return storageutil.GetWarningsForStorageClass(c)
			},
		}),
		define(names{group: storagev1.GroupName, kind: "VolumeAttachment", resource: "volumeattachments", cluster: true}, rule[storagev1.VolumeAttachment, storage.VolumeAttachment]{
			status:         hasStatusOnly,
			conditional:    true,
			returnDeleted:  true,
			validate:       storagevalidation.ValidateVolumeAttachment,
			validateUpdate: storagevalidation.ValidateVolumeAttachmentUpdate,
			validateStatus: storagevalidation.ValidateVolumeAttachmentUpdate,
		}),
		define(names{group: storagev1.GroupName, kind: "VolumeAttributesClass", resource: "volumeattributesclasses", short: []string{"vac"}, cluster: true}, rule[storagev1.VolumeAttributesClass, storage.VolumeAttributesClass]{
			returnDeleted:  true,
			validate:       storagevalidation.ValidateVolumeAttributesClass,
			validateUpdate: storagevalidation.ValidateVolumeAttributesClassUpdate,
		}),
	}
}

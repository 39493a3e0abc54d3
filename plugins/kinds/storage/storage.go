// Package storage defines the kinds of the API group storage.k8s.io.
package storage

import (
	"context"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	storageutil "k8s.io/kubernetes/pkg/api/storage"
	"k8s.io/kubernetes/pkg/apis/storage"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	storagevalidation "k8s.io/kubernetes/pkg/apis/storage/validation"
	"k8s.io/kubernetes/pkg/features"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: storagev1.GroupName, Kind: "CSIDriver", Resource: "csidrivers", Cluster: true}, kind.Rule[storagev1.CSIDriver, storage.CSIDriver]{
			Generation:     kind.RaisedOnly,
			Conditional:    true,
			ReturnDeleted:  true,
			Validate:       storagevalidation.ValidateCSIDriver,
			ValidateUpdate: storagevalidation.ValidateCSIDriverUpdate,
			Warn: func(_ context.Context, d, old *storage.CSIDriver) []string {
				if len(d.Spec.TokenRequests) == 0 || d.Spec.ServiceAccountTokenInSecrets != nil ||
					old != nil && equality.Semantic.DeepEqual(old.Spec.TokenRequests, d.Spec.TokenRequests) {
					return nil
				}
				return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"}
			},
		}),
		kind.Define(kind.Names{Group: storagev1.GroupName, Kind: "CSINode", Resource: "csinodes", Cluster: true}, kind.Rule[storagev1.CSINode, storage.CSINode]{
			Status:         kind.HasStatusOnly,
			Conditional:    true,
			ReturnDeleted:  true,
			Validate:       storagevalidation.ValidateCSINode,
			ValidateUpdate: storagevalidation.ValidateCSINodeUpdate,
			ValidateStatus: storagevalidation.ValidateCSINodeStatusUpdate,
			StatusInternal: func(n, old *storage.CSINode) {
				if !kind.Enabled(features.CSIVolumeHealth) && len(old.Status.StorageHealth) == 0 {
					n.Status.StorageHealth = nil
				}
			},
		}),
		kind.Define(kind.Names{Group: storagev1.GroupName, Kind: "CSIStorageCapacity", Resource: "csistoragecapacities"}, kind.Rule[storagev1.CSIStorageCapacity, storage.CSIStorageCapacity]{
			Conditional: true,
			Validate: func(c *storage.CSIStorageCapacity) field.ErrorList {
				return storagevalidation.ValidateCSIStorageCapacity(c, storagevalidation.CSIStorageCapacityValidateOptions{})
			},
			ValidateUpdate: func(c, old *storage.CSIStorageCapacity) field.ErrorList {
				errs := storagevalidation.ValidateCSIStorageCapacity(c, storagevalidation.CSIStorageCapacityValidateOptions{
					AllowInvalidLabelValueInSelector: old.NodeTopology != nil && kind.InvalidSelector(*old.NodeTopology),
				})
				return append(errs, storagevalidation.ValidateCSIStorageCapacityUpdate(c, old)...)
			},
			Warn: func(_ context.Context, c, _ *storage.CSIStorageCapacity) []string {
				return storageutil.GetWarningsForCSIStorageCapacity(c)
			},
		}),
		kind.Define(kind.Names{Group: storagev1.GroupName, Kind: "StorageClass", Resource: "storageclasses", Short: []string{"sc"}, Cluster: true}, kind.Rule[storagev1.StorageClass, storage.StorageClass]{
			ReturnDeleted:  true,
			Validate:       storagevalidation.ValidateStorageClass,
			ValidateUpdate: kind.Both(storagevalidation.ValidateStorageClass, storagevalidation.ValidateStorageClassUpdate),
			Warn: func(_ context.Context, c, _ *storage.StorageClass) []string {
				return storageutil.GetWarningsForStorageClass(c)
			},
		}),
		kind.Define(kind.Names{Group: storagev1.GroupName, Kind: "VolumeAttachment", Resource: "volumeattachments", NeedsImplementer: true, Cluster: true}, kind.Rule[storagev1.VolumeAttachment, storage.VolumeAttachment]{
			Status:         kind.HasStatusOnly,
			Conditional:    true,
			ReturnDeleted:  true,
			Validate:       storagevalidation.ValidateVolumeAttachment,
			ValidateUpdate: storagevalidation.ValidateVolumeAttachmentUpdate,
			ValidateStatus: storagevalidation.ValidateVolumeAttachmentUpdate,
		}),
		kind.Define(kind.Names{Group: storagev1.GroupName, Kind: "VolumeAttributesClass", Resource: "volumeattributesclasses", Short: []string{"vac"}, Cluster: true}, kind.Rule[storagev1.VolumeAttributesClass, storage.VolumeAttributesClass]{
			ReturnDeleted:  true,
			Validate:       storagevalidation.ValidateVolumeAttributesClass,
			ValidateUpdate: storagevalidation.ValidateVolumeAttributesClassUpdate,
		}),
	}
}

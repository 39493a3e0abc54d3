// Package storagemigration defines the kinds of the API group storagemigration.k8s.io.
package storagemigration

import (
	migrationv1beta1 "k8s.io/api/storagemigration/v1beta1"
	"k8s.io/kubernetes/pkg/apis/storagemigration"
	_ "k8s.io/kubernetes/pkg/apis/storagemigration/install"
	migrationvalidation "k8s.io/kubernetes/pkg/apis/storagemigration/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: migrationv1beta1.GroupName, Kind: "StorageVersionMigration", Resource: "storageversionmigrations", NeedsImplementer: true, Cluster: true, Storage: "v1beta1"},
			kind.Rule[migrationv1beta1.StorageVersionMigration, storagemigration.StorageVersionMigration]{
				Status:         kind.HasStatusOnly,
				Conditional:    true,
				Validate:       migrationvalidation.ValidateStorageVersionMigration,
				ValidateUpdate: migrationvalidation.ValidateStorageVersionMigrationUpdate,
				ValidateStatus: migrationvalidation.ValidateStorageVersionMigrationStatusUpdate,
			}),
	}
}

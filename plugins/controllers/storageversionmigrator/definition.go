package storageversionmigrator

import (
	"slices"

	"fmt"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// storageMigrating is the condition of a definition whose objects are being migrated.
const storageMigrating = "StorageMigrating"

// definition is what counts here of a CustomResourceDefinition.
type definition struct {
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Versions []struct {
			Name    string `json:"name"`
			Storage bool   `json:"storage"`
		} `json:"versions"`
	} `json:"spec"`
	Status struct {
		Conditions     []metav1.Condition `json:"conditions"`
		StoredVersions []string           `json:"storedVersions"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*definition) APIResource() string { return "apiextensions.k8s.io/v1/customresourcedefinitions" }

// definitionOf is the definition of a resource; nil if it is built in.
func definitionOf(c client.Client, gr metav1.GroupResource) (*definition, error) {
	d := &definition{}
	err := c.Get(d, "", gr.Resource+"."+gr.Group)
	if client.IsNotFound(err) {
		return nil, nil
	}
	return d, err
}

// begins says in the status of the definition, if there is one, that a migration runs.
func begins(c client.Client, m *migration, now time.Time) error {
	d, err := definitionOf(c, m.Spec.Resource)
	if err != nil || d == nil {
		return err
	}
	return d.write(c, metav1.Condition{Status: metav1.ConditionTrue, Reason: reasonRunning, Message: fmt.Sprintf("Migration %s is running", m.Name)}, d.Status.StoredVersions, now)
}

// ends says that it runs no more, and which versions are stored: that of today alone, if
// the definition is still the one that it was when the migration began. A migration that
// failed leaves the list as it is.
func ends(c client.Client, m *migration, succeeded bool, now time.Time) error {
	d, err := definitionOf(c, m.Spec.Resource)
	if err != nil || d == nil || d.ended() {
		return err // of the last: the status of the migration could not be written then
	}
	stored, end := d.stored(succeeded)
	return d.write(c, end, stored, now)
}

// ended tells that the end of a migration has been written already. To write it again
// would take the definition of now for the one that the migration was of.
func (d *definition) ended() bool {
	return slices.ContainsFunc(d.Status.Conditions, func(c metav1.Condition) bool { return c.Type == storageMigrating && c.Status == metav1.ConditionFalse })
}

// stored is what a migration that has ended leaves: the versions, and the condition.
func (d *definition) stored(succeeded bool) ([]string, metav1.Condition) {
	end := metav1.Condition{Status: metav1.ConditionFalse, Reason: "MigrationFailed", Message: "The migration has failed"}
	if !succeeded {
		return d.Status.StoredVersions, end
	}
	end.Reason, end.Message = "MigrationSucceeded", "The migration has succeeded"
	for _, is := range d.Status.Conditions {
		if is.Type != storageMigrating || is.ObservedGeneration != d.Generation {
			continue
		}
		for _, v := range d.Spec.Versions {
			if v.Storage {
				end.Message += " and the stored versions have been updated"
				return []string{v.Name}, end
			}
		}
	}
	end.Message += " but the stored versions have not been updated due to a generation mismatch"
	return d.Status.StoredVersions, end
}

// write writes the status, unless the definition has changed since it was read.
func (d *definition) write(c client.Client, is metav1.Condition, stored []string, now time.Time) error {
	is.Type, is.ObservedGeneration = storageMigrating, d.Generation
	return c.Patch(d, client.Patch{Subresource: "status", Data: map[string]any{
		"metadata": map[string]string{"uid": d.UID, "resourceVersion": d.ResourceVersion},
		"status":   map[string]any{"conditions": set(d.Status.Conditions, is, now), "storedVersions": stored},
	}})
}

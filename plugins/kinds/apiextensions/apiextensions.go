// Package apiextensions defines the kinds of the API group apiextensions.k8s.io.
// What the kinds that they define are like is kernel/custom's.
package apiextensions

import (
	"context"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds define other kinds. Upstream serves v1 and stores v1beta1.
func Kinds() []*resource.Definition {
	crds := kind.Define(kind.Names{
		Group: apiextensions.GroupName, Kind: "CustomResourceDefinition", Resource: "customresourcedefinitions", NeedsImplementer: true,
		Short: []string{"crd", "crds"}, Categories: kind.Extensions, Cluster: true,
		Storage: "v1beta1", Prefix: apiextensions.GroupName + "/customresourcedefinitions",
	}, kind.Rule[Stored, apiextensions.CustomResourceDefinition]{
		Status:      kind.HasStatus,
		Generation:  kind.BySpec,
		Conditional: true,
		Internal:    func(_ context.Context, crd, _ *apiextensions.CustomResourceDefinition) { noteStored(crd) },
		Validate: func(crd *apiextensions.CustomResourceDefinition) field.ErrorList {
			return validation.ValidateCustomResourceDefinition(context.Background(), crd)
		},
		ValidateUpdate: func(crd, old *apiextensions.CustomResourceDefinition) field.ErrorList {
			return validation.ValidateCustomResourceDefinitionUpdate(context.Background(), crd, old)
		},
		ValidateStatus: func(crd, old *apiextensions.CustomResourceDefinition) field.ErrorList {
			return validation.ValidateUpdateCustomResourceDefinitionStatus(context.Background(), crd, old)
		},
		Warn: warnings,
		Finish: func(s *resource.Strategy) {
			s.Held = func(obj runtime.Object) bool {
				return kind.Hub[Stored](obj).DeletionTimestamp.IsZero()
			}
			s.PrepareForDelete = func(_ context.Context, obj runtime.Object) {
				terminate(kind.Hub[Stored](obj))
			}
		},
	})
	crds.Columns = columns
	return []*resource.Definition{crds}
}

// noteStored adds the storage version to those in which objects may be stored.
func noteStored(crd *apiextensions.CustomResourceDefinition) {
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Storage && !apiextensions.IsStoredVersion(crd, v.Name) {
			crd.Status.StoredVersions = append(slices.Clone(crd.Status.StoredVersions), v.Name)
		}
	}
}

// terminate keeps a definition that is being deleted until its objects are gone.
func terminate(crd *Stored) {
	if !slices.Contains(crd.Finalizers, v1beta1.CustomResourceCleanupFinalizer) {
		crd.Finalizers = append(crd.Finalizers, v1beta1.CustomResourceCleanupFinalizer)
	}
	c := v1beta1.CustomResourceDefinitionCondition{Type: v1beta1.Terminating, Status: v1beta1.ConditionTrue, LastTransitionTime: metav1.Now().Rfc3339Copy(),
		Reason: "InstanceDeletionPending", Message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"}
	for i := range crd.Status.Conditions {
		if crd.Status.Conditions[i].Type == c.Type {
			crd.Status.Conditions[i] = c
			return
		}
	}
	crd.Status.Conditions = append(crd.Status.Conditions, c)
}

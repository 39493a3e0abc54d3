package custom

import (
	"cmp"
	"fmt"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	customschema "github.com/pintle-io/pintle/kernel/custom/schema"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Lists that all definitions share.
var (
	verbs       = []string{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}
	updateVerbs = []string{"get", "patch", "update"}
	// endingVerbs are what discovery tells of a kind that goes. Objects can still be
	// changed: who holds one by a finalizer has to.
	endingVerbs = []string{"delete", "deletecollection", "get", "list", "watch"}
	resetStatus = fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec")))
)

// Served tells whether a CustomResourceDefinition's objects are served.
func Served(crd *apiextensionsv1.CustomResourceDefinition) bool {
	return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) && crd.Status.AcceptedNames.Plural != ""
}

// define makes the catalog's definition of a kind. Nothing of crd is kept but
// names.
func (k *kind) define(crd *apiextensionsv1.CustomResourceDefinition, types *objects) *resource.Definition {
	names := &crd.Status.AcceptedNames
	d := &resource.Definition{
		Group: crd.Spec.Group, Resource: names.Plural, Singular: names.Singular, Kind: names.Kind, ListKind: names.ListKind,
		ShortNames: slices.Clone(names.ShortNames), Categories: slices.Clone(names.Categories), Namespaced: k.namespaced,
		StorageVersion: k.storage, KeyPrefix: "/registry/" + crd.Spec.Group + "/" + names.Plural, JSONStored: true,
		Verbs: verbs, Types: types, TypeConverter: typeConverter{k}, VersionColumns: k.columns,
		SchemaID: fmt.Sprintf("%s/%d", k.uid, k.generation),
		Schema: func(version string, v2 bool) *spec.Schema {
			s, err := k.schema(version)
			if err != nil {
				return nil
			}
			return s.OpenAPI(v2)
		},
		Strategy: k.strategy(),
	}
	selectable := false
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		selectable = selectable || len(v.SelectableFields) > 0
		if v.Served {
			d.Versions = append(d.Versions, v.Name)
		}
		if v.Served && v.Deprecated {
			if d.Deprecations == nil {
				d.Deprecations = map[string]string{}
			}
			d.Deprecations[v.Name] = deprecation(crd, v)
		}
	}
	slices.SortFunc(d.Versions, func(a, b string) int { return version.CompareKubeAwareVersionStrings(b, a) })
	d.Subresources = k.subresources(crd)
	if selectable {
		d.Strategy.Fields = k.selectableFields
	}
	if crd.DeletionTimestamp != nil || apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Terminating) {
		d.Strategy.Companions, d.ShownVerbs = refuseNew(d), endingVerbs
	}
	return d
}

func (k *kind) subresources(crd *apiextensionsv1.CustomResourceDefinition) (out []resource.Subresource) {
	scale := resource.Subresource{Name: "scale", Style: resource.StyleProjection, Verbs: updateVerbs, Kind: autoscalingv1.SchemeGroupVersion.WithKind("Scale"),
		Get: k.getScale, Set: k.setScale, ReplicasPaths: map[string]fieldpath.Path{}}
	status := resource.Subresource{Name: "status", Style: resource.StyleStatus, Verbs: updateVerbs, ResetFields: resetStatus,
		PrepareForUpdate: k.prepareForStatusUpdate, ValidateUpdate: k.validateStatus}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Subresources == nil {
			continue
		}
		if v.Subresources.Scale != nil {
			scale.Versions = append(scale.Versions, v.Name)
			scale.ReplicasPaths[v.Name] = customschema.ReplicasPath(v.Subresources.Scale.SpecReplicasPath)
		}
		if v.Subresources.Status != nil {
			status.Versions = append(status.Versions, v.Name)
		}
	}
	if status.Versions != nil { // first, as upstream's discovery has it
		out = append(out, status)
	}
	if scale.Versions != nil {
		out = append(out, scale)
	}
	return out
}

// deprecation is the warning to who asks for a version.
func deprecation(crd *apiextensionsv1.CustomResourceDefinition, v *apiextensionsv1.CustomResourceDefinitionVersion) string {
	if v.DeprecationWarning != nil {
		return *v.DeprecationWarning
	}
	text := fmt.Sprintf("%s/%s %s is deprecated", crd.Spec.Group, v.Name, crd.Spec.Names.Kind)
	better := ""
	for i := range crd.Spec.Versions {
		w := &crd.Spec.Versions[i]
		if w.Served && !w.Deprecated && version.CompareKubeAwareVersionStrings(w.Name, cmp.Or(better, v.Name)) > 0 {
			better = w.Name
		}
	}
	if better == "" {
		return text
	}
	return text + fmt.Sprintf("; use %s/%s %s", crd.Spec.Group, better, crd.Spec.Names.Kind)
}

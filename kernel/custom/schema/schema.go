// Package schema is what one version of a CustomResourceDefinition says about its
// objects, made ready to be asked: which fields there are, which of them have
// defaults, what is valid, what is printed, how managers share them, and how
// OpenAPI describes all that.
//
// A [Schema] is made of a definition that validation has accepted, and is a value:
// it reads nothing and keeps nothing of the objects that it is asked about. Its
// expensive parts (validators, CEL programs, columns, types for server-side apply)
// are made when they are first needed. What is asked of the objects themselves is
// k8s.io/apiextensions-apiserver's.
package schema

import (
	"errors"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Schema is one version of a definition. It is immutable to those who use it, and
// safe for concurrent use.
type Schema struct {
	Kind       schema.GroupVersionKind
	namespaced bool
	preserve   bool // everything that the schema does not know, as v1beta1 could have it
	root       *structural.Structural
	props      *apiextensions.JSONSchemaProps
	status     bool
	scale      *apiextensionsv1.CustomResourceSubresourceScale

	validators func() (validators, error)
	rules      func() *cel.Validator
	table      func() rest.TableConvertor
	selectable func() ([]selectable, error)
}

// Compile makes the schema of a version.
//
// # Errors
// The definition has no such version, or none that a server could serve, which
// validation of definitions refuses.
func Compile(crd *apiextensionsv1.CustomResourceDefinition, version string) (*Schema, error) {
	v := find(crd, version)
	if v == nil {
		return nil, fmt.Errorf("%s has no version %s", crd.Name, version)
	}
	s := &Schema{
		Kind:       schema.GroupVersionKind{Group: crd.Spec.Group, Version: version, Kind: crd.Spec.Names.Kind},
		namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		preserve:   crd.Spec.PreserveUnknownFields,
	}
	if sub := v.Subresources; sub != nil {
		s.status, s.scale = sub.Status != nil, sub.Scale
	}
	if err := s.parse(v); err != nil {
		return nil, fmt.Errorf("%s, version %s: %w", crd.Name, version, err)
	}
	s.validators = sync.OnceValues(s.makeValidators)
	s.rules = sync.OnceValue(func() *cel.Validator { return cel.NewValidator(s.root, true, celconfig.PerCallLimit) })
	columns := v.AdditionalPrinterColumns
	s.table = sync.OnceValue(func() rest.TableConvertor { return newTable(columns) })
	fields := v.SelectableFields
	s.selectable = sync.OnceValues(func() ([]selectable, error) { return parseSelectable(fields) })
	return s, nil
}

func find(crd *apiextensionsv1.CustomResourceDefinition, version string) *apiextensionsv1.CustomResourceDefinitionVersion {
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Name == version {
			return v
		}
	}
	return nil
}

var errNotStructural = errors.New("the schema is not structural")

// parse makes the structural schema. Only a definition that preserves unknown
// fields may have one that is not structural, or none.
func (s *Schema) parse(v *apiextensionsv1.CustomResourceDefinitionVersion) error {
	if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
		return nil
	}
	var in apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, &in, nil); err != nil {
		return err
	}
	s.props = in.OpenAPIV3Schema
	root, err := structural.NewStructural(s.props)
	switch {
	case err != nil && s.preserve:
		return nil // validated, and nothing else
	case err != nil:
		return errors.Join(errNotStructural, err)
	case s.preserve:
		s.root = root
		return nil
	}
	s.root = root.DeepCopy() // which shares its defaults with v
	return defaulting.PruneDefaults(s.root)
}

// Default sets the defaults of an object of this version.
func (s *Schema) Default(u *unstructured.Unstructured) {
	if s.root != nil {
		defaulting.Default(u.Object, s.root)
	}
}

// Prune drops what the version does not have, and brings metadata to its form:
// the object's own and that of objects in it. It names what it has dropped. Of
// stored objects, it drops malformed metadata too, which it refuses otherwise.
func (s *Schema) Prune(u *unstructured.Unstructured, stored bool) (unknown []string, err error) {
	kind, hasKind := u.Object["kind"]
	apiVersion, hasVersion := u.Object["apiVersion"]
	meta, hasMeta, paths, err := objectmeta.GetObjectMetaWithOptions(u.Object, objectmeta.ObjectMetaOptions{DropMalformedFields: stored, ReturnUnknownFieldPaths: !stored})
	if err != nil {
		return nil, err
	}
	unknown = paths
	if !s.preserve {
		unknown = append(unknown, pruning.PruneWithOptions(u.Object, s.root, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: !stored})...)
		defaulting.PruneNonNullableNullsWithoutDefaults(u.Object, s.root)
	}
	// A typed nil must not become an error.
	if fault, paths := objectmeta.CoerceWithOptions(nil, u.Object, s.root, false, objectmeta.CoerceOptions{DropInvalidFields: stored, ReturnUnknownFieldPaths: !stored}); fault != nil {
		return nil, fault
	} else {
		unknown = append(unknown, paths...)
	}
	if hasKind {
		u.Object["kind"] = kind
	}
	if hasVersion {
		u.Object["apiVersion"] = apiVersion
	}
	if hasMeta {
		return unknown, setMeta(u, meta)
	}
	return unknown, nil
}

func setMeta(u *unstructured.Unstructured, meta *metav1.ObjectMeta) error {
	return objectmeta.SetObjectMeta(u.Object, meta)
}

// HasStatus tells whether the version has a status of its own path.
func (s *Schema) HasStatus() bool { return s.status }

// validators check values by the schema.
type validators struct {
	object, status validation.SchemaValidator
}

func (s *Schema) makeValidators() (v validators, err error) {
	if v.object, _, err = validation.NewSchemaValidator(s.props); err != nil {
		return v, err
	}
	if s.status && s.props != nil {
		if status, ok := s.props.Properties["status"]; ok {
			v.status, _, err = validation.NewSchemaValidator(&status)
		}
	}
	return v, err
}

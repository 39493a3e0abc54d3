package batch

import (
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// patchTypes are those that an item may have.
var patchTypes = []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType)}

// verbs of items, and the verbs of the API that they are.
var verbs = map[string]string{"create": "create", "update": "update", "patch": "patch", "apply": "patch", "delete": "delete"}

// read makes the write of an item.
func (b *batch) read(i int) error {
	it, w := &b.in.Spec.Items[i], &b.writes[i]
	at := field.NewPath("spec", "items").Index(i)
	w.Verb, w.Options = verbs[it.Verb], b.o
	w.Options.Force = it.Force
	head, err := headOf(it)
	if err != nil {
		return invalid(field.Invalid(at.Child("object"), "", err.Error()))
	}
	w.Target = registry.Target{Namespace: head.Namespace, Name: head.Name, Subresource: it.Subresource}
	if err := check(it, head, at); err != nil {
		return invalid(err)
	}
	gv, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return invalid(field.Invalid(at.Child("apiVersion"), head.APIVersion, err.Error()))
	}
	w.kind = gv.WithKind(head.Kind)
	d := b.c.Catalog.LookupKind(w.kind.GroupKind())
	if d == nil || !slices.Contains(d.Versions, gv.Version) {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound,
			Message: fmt.Sprintf("no kind %q is registered for version %q", head.Kind, head.APIVersion)}}
	}
	w.Target.Resource = gv.WithResource(d.Resource)
	if d.Namespaced && w.Target.Namespace == "" {
		return invalid(field.Required(at.Child("namespace"), d.Kind+" is namespaced"))
	}
	if !d.Namespaced && w.Target.Namespace != "" {
		// Rights in that namespace would be asked for, and the object is in none.
		return invalid(field.Forbidden(at.Child("namespace"), d.Kind+" is not namespaced"))
	}
	return b.content(it, w, at)
}

// content reads what an item brings.
func (b *batch) content(it *v1alpha1.BatchItem, w *write, at *field.Path) error {
	switch it.Verb {
	case "create", "update":
		return b.object(it, w, at)
	case "apply":
		w.PatchType, w.Patch = types.ApplyYAMLPatchType, it.Object.Raw
	case "patch":
		w.PatchType, w.Patch = types.PatchType(it.PatchType), it.Patch.Raw
	case "delete":
		w.Delete = metav1.DeleteOptions{}
		if p := metav1.DeletionPropagation(it.PropagationPolicy); p != "" {
			w.Delete.PropagationPolicy = &p
		}
		if it.UID != "" || it.ResourceVersion != "" {
			w.Delete.Preconditions = &metav1.Preconditions{}
			if uid := types.UID(it.UID); uid != "" {
				w.Delete.Preconditions.UID = &uid
			}
			if rv := it.ResourceVersion; rv != "" {
				w.Delete.Preconditions.ResourceVersion = &rv
			}
		}
	}
	return nil
}

// object decodes the object of a create or update as the edge does.
func (b *batch) object(it *v1alpha1.BatchItem, w *write, at *field.Path) error {
	mode := b.o.FieldValidation
	obj, got, strict, err := b.c.Codec.DecodeRequest(it.Object.Raw, resource.JSON, &w.kind, mode != metav1.FieldValidationIgnore)
	if err != nil {
		return err
	}
	if *got != w.kind && it.Subresource == "" {
		return invalid(field.Invalid(at.Child("object"), got.String(), "is not what apiVersion and kind of the item say"))
	}
	if mode == metav1.FieldValidationStrict {
		if err := resource.StrictError(strict, *got); err != nil {
			return err
		}
	}
	w.warnings = resource.StrictWarnings(strict)
	if m, err := meta.Accessor(obj); err == nil && m.GetNamespace() == "" {
		m.SetNamespace(w.Target.Namespace)
	}
	w.Object = obj
	return nil
}

// head is which object an item is about.
type head struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Namespace, Name string `json:"-"`
}

// headOf takes what the item does not say from its object.
func headOf(it *v1alpha1.BatchItem) (h head, err error) {
	if it.Object != nil && len(it.Object.Raw) > 0 {
		if err = json.Unmarshal(it.Object.Raw, &h); err != nil {
			return h, fmt.Errorf("is no object: %w", err)
		}
	}
	pick := func(said, found string) string {
		if said != "" {
			return said
		}
		return found
	}
	h.APIVersion, h.Kind = pick(it.APIVersion, h.APIVersion), pick(it.Kind, h.Kind)
	h.Namespace, h.Name = pick(it.Namespace, h.Metadata.Namespace), pick(it.Name, h.Metadata.Name)
	return h, nil
}

// check tells what an item lacks, and what it has too much.
func check(it *v1alpha1.BatchItem, h head, at *field.Path) *field.Error {
	has := func(r *runtime.RawExtension) bool { return r != nil && len(r.Raw) > 0 && string(r.Raw) != "null" }
	object := it.Verb == "create" || it.Verb == "update" || it.Verb == "apply"
	switch {
	case verbs[it.Verb] == "":
		return field.NotSupported(at.Child("verb"), it.Verb, []string{"apply", "create", "delete", "patch", "update"})
	case object && !has(it.Object):
		return field.Required(at.Child("object"), "is what is written")
	case !object && has(it.Object):
		return field.Forbidden(at.Child("object"), "a "+it.Verb+" has none")
	case it.Verb == "patch" && !slices.Contains(patchTypes, it.PatchType):
		return field.NotSupported(at.Child("patchType"), it.PatchType, patchTypes)
	case it.Verb == "patch" && !has(it.Patch):
		return field.Required(at.Child("patch"), "is what is written")
	case it.Verb != "patch" && (has(it.Patch) || it.PatchType != ""):
		return field.Forbidden(at.Child("patch"), "is for the verb patch")
	case it.Verb != "apply" && it.Force:
		return field.Forbidden(at.Child("force"), "is for the verb apply")
	case it.Verb != "delete" && (it.PropagationPolicy != "" || it.UID != "" || it.ResourceVersion != ""):
		return field.Forbidden(at, "propagationPolicy, uid and resourceVersion are for the verb delete")
	case h.APIVersion == "":
		return field.Required(at.Child("apiVersion"), "is neither in the item nor in its object")
	case h.Kind == "":
		return field.Required(at.Child("kind"), "is neither in the item nor in its object")
	case h.Name == "" && it.Verb != "create":
		return field.Required(at.Child("name"), "is neither in the item nor in its object")
	case it.Namespace != "" && h.Metadata.Namespace != "" && it.Namespace != h.Metadata.Namespace:
		return field.Invalid(at.Child("namespace"), it.Namespace, "is not the object's")
	case it.Name != "" && h.Metadata.Name != "" && it.Name != h.Metadata.Name:
		return field.Invalid(at.Child("name"), it.Name, "is not the object's")
	}
	return nil
}

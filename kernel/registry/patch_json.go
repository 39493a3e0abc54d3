package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/pintle-io/pintle/kernel/resource"
)

// The library has this limit as a variable only: without it a handful of
// "copy" operations would double a document until memory ends.
func init() { jsonpatch.AccumulatedCopySizeLimit = maxPatchCopies }

// validating reports that unknown and duplicate fields matter to the request.
func (p *patcher) validating() bool {
	return p.strict == metav1.FieldValidationStrict || p.strict == metav1.FieldValidationWarn
}

// jsonPatched applies a JSON patch or a merge patch to the JSON of an object.
func (p *patcher) jsonPatched(ctx context.Context, cur runtime.Object, gvk schema.GroupVersionKind) (runtime.Object, error) {
	before, err := json.Marshal(cur)
	if err != nil {
		return nil, plain(err)
	}
	after, faults, err := p.patchedJSON(before)
	if err != nil {
		return nil, err
	}
	if err := p.reserve(ctx, after); err != nil {
		return nil, err
	}
	if err := resource.CheckQuantitiesOf(p.c.scheme, after, gvk); err != nil {
		return nil, badRequest(err.Error())
	}
	obj, decodeFaults, err := p.decode(after, gvk)
	if err != nil {
		return nil, invalidPatch(string(after), err)
	}
	if err := p.report(append(faults, decodeFaults...), string(after)); err != nil {
		return nil, err
	}
	return obj, nil
}

func (p *patcher) patchedJSON(before []byte) (after []byte, faults []error, err error) {
	if p.kind == types.MergePatchType {
		return p.merged(before)
	}
	if p.validating() {
		var ops []struct {
			Op    string `json:"op"`
			Path  string `json:"path"`
			From  string `json:"from"`
			Value any    `json:"value"`
		}
		if faults, err = kjson.UnmarshalStrict(p.bytes, &ops); err != nil {
			return nil, nil, badRequestf("error decoding patch: %v", err)
		}
		for i, f := range faults {
			faults[i] = fmt.Errorf("json patch %w", f)
		}
	}
	patch, err := jsonpatch.DecodePatch(p.bytes)
	if err != nil {
		return nil, nil, badRequest(err.Error())
	}
	if len(patch) > maxPatchOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, len(patch)))
	}
	if after, err = patch.Apply(before); err != nil {
		return nil, nil, unprocessable(err)
	}
	return after, faults, nil
}

func (p *patcher) merged(before []byte) (after []byte, faults []error, err error) {
	if p.validating() {
		if faults, err = kjson.UnmarshalStrict(p.bytes, &map[string]any{}); err != nil {
			return nil, nil, badRequestf("error decoding patch: %v", err)
		}
	}
	after, err = jsonpatch.MergePatch(before, p.bytes)
	switch {
	case errors.Is(err, jsonpatch.ErrBadJSONPatch):
		return nil, nil, badRequest(err.Error())
	case err != nil:
		return nil, nil, plain(err)
	case bytes.Equal(after, []byte("null")) || len(after) == 0 || after[0] != '{':
		return nil, nil, badRequest("the patch does not leave an object")
	}
	return after, faults, nil
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}

// types are those of the request's kind, or of a kind that a subresource has.
func (p *patcher) types(gvk schema.GroupVersionKind) resource.Types {
	if gvk.Kind == p.r.k.Kind {
		return p.r.k.types
	}
	return p.c.scheme
}

// decode reads JSON into the version of the request, with defaults.
func (p *patcher) decode(doc []byte, gvk schema.GroupVersionKind) (obj runtime.Object, faults []error, err error) {
	s := p.types(gvk)
	into, err := s.New(gvk)
	if err != nil {
		return nil, nil, err
	}
	dec := jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, s, s,
		jsonserializer.SerializerOptions{Strict: p.validating()})
	obj, got, err := dec.Decode(doc, &gvk, into)
	if strict, ok := runtime.AsStrictDecodingError(err); ok && obj != nil {
		faults, err = strict.Errors(), nil
	}
	if err != nil {
		return nil, nil, err
	}
	if *got != gvk {
		return nil, nil, fmt.Errorf("the patch changes the kind from %s to %s", gvk, got)
	}
	if pruner, ok := s.(resource.Pruner); ok {
		if unknown := pruner.Prune(obj); p.validating() {
			faults = append(faults, unknown...)
		}
	}
	s.Default(obj)
	return obj, faults, nil
}

// report deals with unknown and duplicate fields as the request wishes.
func (p *patcher) report(faults []error, what string) error {
	if len(faults) == 0 {
		return nil
	}
	if p.strict == metav1.FieldValidationWarn {
		for _, text := range resource.StrictWarnings(faults) {
			p.r.warn(text)
		}
		return nil
	}
	return invalidPatch(what, runtime.NewStrictDecodingError(faults))
}

// invalidPatch is upstream's answer to a patch whose result cannot be read; it
// names no kind.
func invalidPatch(value string, err error) error {
	if len(value) > maxShown {
		value = strings.ToValidUTF8(value[:maxShown], "") + "..."
	}
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), value, err.Error()),
	})
}

// strategic applies a strategic merge patch: lists merge by the keys that the
// Go type of the request's version names.
func (p *patcher) strategic(cur runtime.Object, gvk schema.GroupVersionKind) (runtime.Object, error) {
	s := p.types(gvk)
	out, err := s.New(gvk)
	if err != nil {
		return nil, plain(err)
	}
	if _, ok := out.(runtime.Unstructured); ok { // no Go type says how its lists merge
		return nil, unsupportedPatch(types.JSONPatchType, types.MergePatchType, types.ApplyYAMLPatchType)
	}
	before, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cur)
	if err != nil {
		return nil, plain(err)
	}
	patch := make(map[string]any)
	var faults []error
	if p.validating() {
		faults, err = kjson.UnmarshalStrict(p.bytes, &patch)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(p.bytes, &patch)
	}
	if err != nil {
		return nil, badRequest(err.Error())
	}
	shown := fmt.Sprintf("%+v", patch) // the merge changes the map
	if err := quadratic(before, patch); err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergeMapPatch(before, patch, out)
	if err != nil {
		return nil, strategicError(err)
	}
	if err := p.checkQuantities(after, gvk); err != nil {
		return nil, err
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(after, out, p.validating())
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		faults, err = append(faults, strict.Errors()...), nil
	}
	if err != nil {
		return nil, invalidPatch(shown, err)
	}
	if err := p.report(faults, shown); err != nil {
		return nil, err
	}
	s.Default(out)
	return out, nil
}

func strategicError(err error) error {
	switch {
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys),
		errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return badRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists), errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys):
		return unprocessable(err)
	}
	return plain(err)
}

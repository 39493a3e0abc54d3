package patch

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
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
)

// The library has this limit as a variable only: without it a handful of
// "copy" operations would double a document until memory ends.
func init() { jsonpatch.AccumulatedCopySizeLimit = maxCopies }

// jsonPatchOp is one operation of a JSON patch; errors of decoding name the type.
type jsonPatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

// onJSON applies a JSON patch or a merge patch to the JSON of an object.
func (p *Patch) onJSON(ctx context.Context, cur runtime.Object, as Subject) (runtime.Object, error) {
	before, err := json.Marshal(cur)
	if err != nil {
		return nil, status.Plain(err)
	}
	after, faults, err := p.patchedJSON(before)
	if err != nil {
		return nil, err
	}
	if err := p.reserve(ctx, after); err != nil {
		return nil, err
	}
	if err := resource.CheckQuantitiesOf(p.by.scheme, after, as.Kind); err != nil {
		return nil, status.BadRequest(err.Error())
	}
	obj, decodeFaults, err := p.decode(after, as)
	if err != nil {
		return nil, invalidPatch(string(after), err)
	}
	if err := p.report(append(faults, decodeFaults...), string(after)); err != nil {
		return nil, err
	}
	return obj, nil
}

func (p *Patch) patchedJSON(before []byte) (after []byte, faults []error, err error) {
	if p.kind == types.MergePatchType {
		return p.merged(before)
	}
	if p.validating() {
		var ops []jsonPatchOp
		if faults, err = kjson.UnmarshalStrict(p.bytes, &ops); err != nil {
			return nil, nil, status.BadRequestf("error decoding patch: %v", err)
		}
		for i, f := range faults {
			faults[i] = fmt.Errorf("json patch %w", f)
		}
	}
	patch, err := jsonpatch.DecodePatch(p.bytes)
	if err != nil {
		return nil, nil, status.BadRequest(err.Error())
	}
	if len(patch) > maxOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"The allowed maximum operations in a JSON patch is %d, got %d", maxOperations, len(patch)))
	}
	if after, err = patch.Apply(before); err != nil {
		return nil, nil, unprocessable(err)
	}
	return after, faults, nil
}

func (p *Patch) merged(before []byte) (after []byte, faults []error, err error) {
	if p.validating() {
		if faults, err = kjson.UnmarshalStrict(p.bytes, &map[string]any{}); err != nil {
			return nil, nil, status.BadRequestf("error decoding patch: %v", err)
		}
	}
	after, err = jsonpatch.MergePatch(before, p.bytes)
	switch {
	case errors.Is(err, jsonpatch.ErrBadJSONPatch):
		return nil, nil, status.BadRequest(err.Error())
	case err != nil:
		return nil, nil, status.Plain(err)
	case bytes.Equal(after, []byte("null")) || len(after) == 0 || after[0] != '{':
		return nil, nil, status.BadRequest("the patch does not leave an object")
	}
	return after, faults, nil
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}

// decode reads JSON into the subject's version, with defaults.
func (p *Patch) decode(doc []byte, as Subject) (obj runtime.Object, faults []error, err error) {
	s, gvk := as.Types, as.Kind
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
		unknown, err := pruner.Prune(obj, false)
		if err != nil {
			return nil, nil, err
		}
		if p.validating() {
			faults = append(faults, unknown...)
		}
	}
	s.Default(obj)
	return obj, faults, nil
}

// report deals with unknown and duplicate fields as the request wishes.
func (p *Patch) report(faults []error, what string) error {
	if len(faults) == 0 {
		return nil
	}
	if p.field == metav1.FieldValidationWarn {
		for _, text := range resource.StrictWarnings(faults) {
			p.warn(text)
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

package patch

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"

	"github.com/pintle-io/pintle/kernel/registry/status"
)

// strategic applies a strategic merge patch: lists merge by the keys that the
// Go type of the request's version names.
func (p *Patch) strategic(cur runtime.Object, as Subject) (runtime.Object, error) {
	s, gvk := as.Types, as.Kind
	out, err := s.New(gvk)
	if err != nil {
		return nil, status.Plain(err)
	}
	if _, ok := out.(runtime.Unstructured); ok { // no Go type says how its lists merge
		return nil, unsupported(types.JSONPatchType, types.MergePatchType, types.ApplyYAMLPatchType)
	}
	before, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cur)
	if err != nil {
		return nil, status.Plain(err)
	}
	patch := make(map[string]any)
	var faults []error
	if p.validating() {
		faults, err = kjson.UnmarshalStrict(p.bytes, &patch)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(p.bytes, &patch)
	}
	if err != nil {
		return nil, status.BadRequest(err.Error())
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
		return status.BadRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists), errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys):
		return unprocessable(err)
	}
	return status.Plain(err)
}

// quadratic refuses a strategic merge patch whose lists would be compared for
// minutes: each of its items is looked for among those that are there.
func quadratic(before, patch map[string]any) error {
	n := longest(patch)
	if work := n * (n + longest(before)); n > 1 && work > maxComparisons {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a list of %d items is too long for a strategic merge patch of this object; send a merge patch", n))
	}
	return nil
}

// longest is the length of the longest list of objects in a value.
func longest(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n = max(n, longest(e))
		}
	case []any:
		n = len(v)
		for _, e := range v {
			n = max(n, longest(e))
		}
	}
	return n
}

package registry

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/resource/cost"
)

// reserve asks for the memory in which the result of a JSON patch is worked on:
// a few "copy" operations make much of little. What is not there is waited for.
func (p *patcher) reserve(ctx context.Context, after []byte) error {
	p.release()
	values := cost.JSON(after)
	switch {
	case len(after) > MaxPatchBytes:
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d, with the patch it has %d", MaxPatchBytes, len(after)))
	case values > MaxValues:
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the limit is %d values, with the patch it has %d", MaxValues, values))
	}
	n := int64(len(after))*textPrice + int64(values)*cost.ValueBytes
	if n <= smallPatching {
		return nil
	}
	n = min(n, maxPatching)
	if err := p.c.patching.Acquire(ctx, n); err != nil {
		return err
	}
	p.held = n
	return nil
}

// textPrice is what each byte of a document takes while it is decoded,
// defaulted, validated and encoded, as measured; its values come besides.
const textPrice = 16

// release gives back what reserve took.
func (p *patcher) release() {
	if p.held > 0 {
		p.c.patching.Release(p.held)
		p.held = 0
	}
}

// checkQuantities looks at the object that a patch leaves when there may be an
// absurd quantity in the patch.
func (p *patcher) checkQuantities(after map[string]any, gvk schema.GroupVersionKind) error {
	if json.Valid(p.bytes) && !resource.Suspicious(p.bytes) {
		return nil
	}
	doc, err := json.Marshal(after)
	if err != nil {
		return badRequest(err.Error())
	}
	if err := resource.CheckQuantitiesOf(p.c.scheme, doc, gvk); err != nil {
		return badRequest(err.Error())
	}
	return nil
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

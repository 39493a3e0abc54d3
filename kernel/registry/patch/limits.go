package patch

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/resource/cost"
)

// Limits on what a patch may be and ask for.
const (
	// MaxBytes is the largest patch, upstream's limit of a request body.
	MaxBytes = 3 << 20
	// MaxValues is how many values (of maps, lists and messages) an object or
	// patch from outside may have: three bytes of an empty container become
	// two thousand.
	MaxValues = 1 << 18
	// maxOperations is upstream's limit of a JSON patch.
	maxOperations = 10000
	// maxCopies bounds the bytes that "copy" operations of one JSON patch may
	// add up to; upstream's.
	maxCopies = MaxBytes
	// maxPatching bounds what the results of all JSON patches take in memory
	// while they are worked on, as estimated; of small ones it takes no notice.
	// One alone may take it all.
	maxPatching   = 256 << 20
	smallPatching = 1 << 20
	// maxComparisons bounds the work of a strategic merge patch, a second or
	// two.
	maxComparisons = 1e8
	// maxShown is how much of a client's bytes an error shows.
	maxShown = 4 << 10
)

// reserve asks for the memory in which the result of a JSON patch is worked on:
// a few "copy" operations make much of little. What is not there is waited for.
func (p *Patch) reserve(ctx context.Context, after []byte) error {
	p.Release()
	values := cost.JSON(after)
	switch {
	case len(after) > MaxBytes:
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d, with the patch it has %d", MaxBytes, len(after)))
	case values > MaxValues:
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the limit is %d values, with the patch it has %d", MaxValues, values))
	}
	n := int64(len(after))*textPrice + int64(values)*cost.ValueBytes
	if n <= smallPatching {
		return nil
	}
	n = min(n, maxPatching)
	if err := p.by.memory.Acquire(ctx, n); err != nil {
		return err
	}
	p.held = n
	return nil
}

// textPrice is what each byte of a document takes while it is decoded,
// defaulted, validated and encoded, as measured; its values come besides.
const textPrice = 16

// Release gives back what reserve took.
func (p *Patch) Release() {
	if p.held > 0 {
		p.by.memory.Release(p.held)
		p.held = 0
	}
}

// checkQuantities looks at the object that a patch leaves when there may be an
// absurd quantity in the patch.
func (p *Patch) checkQuantities(after map[string]any, gvk schema.GroupVersionKind) error {
	if json.Valid(p.bytes) && !resource.Suspicious(p.bytes) {
		return nil
	}
	doc, err := json.Marshal(after)
	if err != nil {
		return status.BadRequest(err.Error())
	}
	if err := resource.CheckQuantitiesOf(p.by.scheme, doc, gvk); err != nil {
		return status.BadRequest(err.Error())
	}
	return nil
}

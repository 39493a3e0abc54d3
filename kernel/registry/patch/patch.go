// Package patch applies patches to objects: JSON patches, merge patches and
// strategic merge patches, and reads apply configurations. It owns the bounds on
// them (bytes, values, operations, copies, comparisons) and the memory that the
// results of all patches may take while they are worked on: the bytes are
// anybody's, and a few of them can ask for much.
//
// It knows no store and no request, and never modifies the object that is
// patched. Who owns which field is not its matter (kernel/registry/fieldmanager).
// Start reading at [Patcher] and [Patch.To].
package patch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Patcher makes patches of clients' bytes, and bounds what all of them take
// together. It is safe for concurrent use.
type Patcher struct {
	scheme *runtime.Scheme     // of the kinds without types of their own
	memory *semaphore.Weighted // see maxPatching
}

// New makes a Patcher. The scheme holds the Go types, in which quantities are
// looked for.
func New(scheme *runtime.Scheme) *Patcher {
	return &Patcher{scheme: scheme, memory: semaphore.NewWeighted(maxPatching)}
}

// Patch is a patch that can be read. It may be applied to one state of an
// object after another, by one goroutine at a time, and is to be released in
// the end.
type Patch struct {
	by    *Patcher
	kind  types.PatchType
	bytes []byte
	field string // field validation
	warn  func(string)
	held  int64 // of by.memory
}

// Subject is what is patched: a kind in the version that the patch is written
// for.
type Subject struct {
	Kind  schema.GroupVersionKind
	Types resource.Types
}

// Parse reads a patch as far as that can be done without an object. validation
// is metav1.FieldValidationStrict, Warn or Ignore; warn is told of what Warn finds.
//
// # Errors
//   - Status: too large, no JSON (or YAML, of an apply), of no known type
func (s *Patcher) Parse(kind types.PatchType, data []byte, validation string, warn func(string)) (*Patch, error) {
	if len(data) > MaxBytes {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxBytes))
	}
	switch kind {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType:
		if !json.Valid(data) {
			return nil, status.BadRequest("invalid JSON patch")
		}
	case types.ApplyYAMLPatchType:
		// What begins as JSON is read when it is merged, as upstream does.
		if _, err := utilyaml.ToJSON(data); err != nil {
			return nil, status.BadRequestf("error encoding patch: %v", err)
		}
	default:
		return nil, unsupported(types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType)
	}
	return &Patch{by: s, kind: kind, bytes: data, field: validation, warn: warn}, nil
}

// unsupported names the types of patches that would be taken.
func unsupported(accepted ...types.PatchType) error {
	list := make([]string, len(accepted))
	for i, t := range accepted {
		list[i] = string(t)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(list, ", "),
	}}
}

// Applies reports that this is an apply configuration, which the field manager
// merges: [Patch.Configuration] is for it, [Patch.To] for all others.
func (p *Patch) Applies() bool { return p.kind == types.ApplyYAMLPatchType }

// To gives a private object: cur, which is of the subject's version, with the
// patch in it and defaults set. It takes memory that is shared with other
// patches, and waits for it.
//
// # Errors
//   - Status: the patch cannot be applied to this state, or leaves what cannot
//     be read or is too large
//   - ctx's
func (p *Patch) To(ctx context.Context, cur runtime.Object, as Subject) (runtime.Object, error) {
	if p.kind == types.StrategicMergePatchType {
		return p.strategic(cur, as)
	}
	return p.onJSON(ctx, cur, as)
}

// validating reports that unknown and duplicate fields matter to the request.
func (p *Patch) validating() bool {
	return p.field == metav1.FieldValidationStrict || p.field == metav1.FieldValidationWarn
}

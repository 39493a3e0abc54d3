// Package history keeps the templates of a controller's object as
// ControllerRevisions, as StatefulSets and DaemonSets do: what a template looked
// like, in which order they came, and which are kept. `kubectl rollout history`
// and `undo` read them.
//
// What it decides is pure: [Decide], [Excess], [Hash]. [Revisions] reads and writes
// through the client of a controller, for one object at a time.
package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"slices"
	"strconv"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// HashLabel is the label of a revision that holds its hash, unless its owner says otherwise.
const HashLabel = "controller.kubernetes.io/hash"

// maxPrefix bounds what a name takes from its owner's, so that there is room for
// the hash.
const maxPrefix = 223

// safe holds the letters of hashes: they spell no words.
const safe = "bcdfghjklmnpqrstvwxz2456789"

// revisionData is the data of a revision: a strategic merge patch that gives an
// object the template back.
type revisionData struct {
	Spec struct {
		Template json.RawMessage `json:"template"`
	} `json:"spec"`
}

// Data is a template as revisions hold it. Its bytes are those that upstream's
// controllers write, so that the hashes are, too.
func Data(t *corev1.PodTemplateSpec) (json.RawMessage, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode template: %w", err)
	}
	tree, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("encode template: %w", err)
	}
	if m, ok := tree.(map[string]any); ok {
		m["$patch"] = "replace"
	}
	return json.Marshal(map[string]any{"spec": map[string]any{"template": tree}})
}

// Template is what a revision holds.
//
// # Errors
//   - the data is that of something else
func Template(r *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var d revisionData
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return nil, fmt.Errorf("controller revision %s: data: %w", r.Name, err)
	}
	if d.Spec.Template == nil {
		return nil, fmt.Errorf("controller revision %s: data holds no spec.template", r.Name)
	}
	t := &corev1.PodTemplateSpec{}
	if err := json.Unmarshal(d.Spec.Template, t); err != nil {
		return nil, fmt.Errorf("controller revision %s: data: spec.template: %w", r.Name, err)
	}
	return t, nil
}

// Equal tells whether two revisions hold the same: the same values, however they
// are written. A null is as good as nothing, as older versions wrote it.
func Equal(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := parse(a)
	y, errY := parse(b)
	return errX == nil && errY == nil && reflect.DeepEqual(dropNulls(x), dropNulls(y))
}

// parse keeps numbers as they are written.
func parse(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func dropNulls(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if e == nil {
				delete(x, k)
				continue
			}
			x[k] = dropNulls(e)
		}
	case []any:
		for i := range x {
			x[i] = dropNulls(x[i])
		}
	}
	return v
}

// Hash is a short name for data. collisions tells apart what has the same one.
func Hash(data json.RawMessage, collisions int32) string {
	h := fnv.New32()
	h.Write(data)
	h.Write([]byte(strconv.Itoa(int(collisions))))
	digits := strconv.FormatUint(uint64(h.Sum32()), 10)
	out := make([]byte, len(digits))
	for i := range digits {
		out[i] = safe[int(digits[i])%len(safe)]
	}
	return string(out)
}

// Name is that of the revision of an owner.
func Name(owner, hash string) string { return owner[:min(len(owner), maxPrefix)] + "-" + hash }

// Sort puts revisions in their order, the oldest first.
func Sort(revisions []*appsv1.ControllerRevision) {
	slices.SortStableFunc(revisions, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Time().Compare(b.CreationTimestamp.Time()), cmp.Compare(a.Name, b.Name))
	})
}

// Decide finds the revision that holds data among sorted ones, the newest of
// several; nil when it is to be made. number is the one that it must have: a
// template that comes back is the newest again.
func Decide(sorted []*appsv1.ControllerRevision, data json.RawMessage) (found *appsv1.ControllerRevision, number int64) {
	next := int64(1)
	if n := len(sorted); n > 0 {
		next = sorted[n-1].Revision
		if next < math.MaxInt64 {
			next++
		}
		if last := sorted[n-1]; Equal(last.Data, data) {
			return last, last.Revision
		}
	}
	for _, r := range slices.Backward(sorted) {
		if Equal(r.Data, data) {
			return r, next
		}
	}
	return nil, next
}

// Excess are the revisions to delete: of those that nothing uses the oldest, so
// that limit of them are left. A negative limit keeps all.
func Excess(sorted []*appsv1.ControllerRevision, live map[string]bool, limit int) []*appsv1.ControllerRevision {
	if limit < 0 {
		return nil
	}
	idle := slices.DeleteFunc(slices.Clone(sorted), func(r *appsv1.ControllerRevision) bool { return live[r.Name] })
	return idle[:max(len(idle)-limit, 0)]
}

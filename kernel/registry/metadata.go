package registry

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"github.com/pintle-io/pintle/kernel/registry/status"
)

// wipeSystem clears what a client may not set on create.
func wipeSystem(m metav1.Object) {
	m.SetCreationTimestamp(metav1.Time{})
	m.SetUID("")
	m.SetDeletionTimestamp(nil)
	m.SetDeletionGracePeriodSeconds(nil)
	m.SetSelfLink("")
}

// matchNamespace brings the object's namespace and the request's together.
func matchNamespace(requested string, m metav1.Object) error {
	switch ns := m.GetNamespace(); {
	case ns == requested:
	case ns == "", requested == "":
		m.SetNamespace(requested)
	default:
		return status.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

// matchName checks the object's name against the request's.
func matchName(requested string, m metav1.Object) error {
	switch name := m.GetName(); {
	case name == requested:
		return nil
	case name == "":
		return status.BadRequestf("the name of the object (%s based on URL) was undeterminable: name must be provided", requested)
	default:
		return status.BadRequestf("the name of the object (%s) does not match the name on the URL (%s)", name, requested)
	}
}

// validName is the check of names that every kind shares.
func validName(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}

const (
	maxGeneratedBase = 63 - suffixLength
	suffixLength     = 5
)

// generateName draws a name as upstream does: five random characters behind
// the base, 63 in all.
func generateName(base string) string {
	if len(base) > maxGeneratedBase {
		base = base[:maxGeneratedBase]
	}
	return base + utilrand.String(suffixLength)
}

// accessor of an object that is known to have metadata.
func accessor(obj runtime.Object) (metav1.Object, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, status.BadRequestf("object of type %T has no metadata: %v", obj, err)
	}
	return m, nil
}

const (
	duplicateOwners = ".metadata.ownerReferences contains duplicate entries%s; API server dedups owner references " +
		"in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %v"
	afterAdmission = " after mutating admission happens"
)

// dedupOwners drops repeated owner references and answers upstream's warning.
func dedupOwners(m metav1.Object, when string) (warning string) {
	refs := m.GetOwnerReferences()
	if len(refs) < 2 {
		return ""
	}
	var kept []metav1.OwnerReference
	var dropped []string
	for _, ref := range refs {
		if hasOwner(kept, ref) {
			dropped = append(dropped, string(ref.UID))
			continue
		}
		kept = append(kept, ref)
	}
	if dropped == nil {
		return ""
	}
	m.SetOwnerReferences(kept)
	return fmt.Sprintf(duplicateOwners, when, strings.Join(dropped, ", "))
}

func hasOwner(refs []metav1.OwnerReference, ref metav1.OwnerReference) bool {
	for i := range refs {
		if refs[i].UID == ref.UID && equality.Semantic.DeepEqual(refs[i], ref) {
			return true
		}
	}
	return false
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Batches names the resource, which is created only: it is a request, and nothing of it
// is stored but what its items write.
var Batches = GroupVersion.WithResource("batches")

// MaxBatchItems bounds a batch: what it writes is one transaction of the store, with
// what kinds write beside their objects.
const MaxBatchItems = 256

// Batch is many writes that happen all or not at all, at one revision. The options
// dryRun, fieldManager and fieldValidation of the request are those of every item.
// The answer of a batch that was written has a status, and the resourceVersion of the
// revision; of one that was not, it is a Status whose causes name the items
// (spec.items[3]) that were refused, and why.
type Batch struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   BatchSpec   `json:"spec"`
	Status BatchStatus `json:"status,omitempty"`
}

// BatchSpec is what is to be written.
type BatchSpec struct {
	// Items are the writes. Each is authorized by its own verb and resource, admitted
	// and validated by itself, against what is stored before the batch: an item does
	// not see what the others write.
	Items []BatchItem `json:"items"`
}

// BatchItem is one write.
type BatchItem struct {
	// Verb is create, update, patch, apply (a server-side apply) or delete.
	Verb string `json:"verb"`
	// APIVersion, Kind, Namespace and Name of the object; by default they are those
	// in Object.
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	// Subresource to write, such as status.
	Subresource string `json:"subresource,omitempty"`
	// Object to create or update, or the configuration to apply.
	Object *runtime.RawExtension `json:"object,omitempty"`
	// PatchType is the media type of Patch.
	PatchType string `json:"patchType,omitempty"`
	// Patch is the patch, as JSON.
	Patch *runtime.RawExtension `json:"patch,omitempty"`
	// Force takes fields from other managers, in an apply.
	Force bool `json:"force,omitempty"`
	// PropagationPolicy says what becomes of dependents, in a delete.
	PropagationPolicy string `json:"propagationPolicy,omitempty"`
	// UID and ResourceVersion that the object must have, in a delete.
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// BatchStatus is what was written, or would be.
type BatchStatus struct {
	// Items answer those of the spec, in their order.
	Items []BatchItemStatus `json:"items,omitempty"`
}

// BatchItemStatus is the answer to an item.
type BatchItemStatus struct {
	// Code is the HTTP code that the write would have had by itself: 201 tells that
	// the object was created.
	Code int32 `json:"code"`
	// Object as it is after the write; of a deletion, what a deletion answers.
	Object *runtime.RawExtension `json:"object,omitempty"`
	// Warnings about the item.
	Warnings []string `json:"warnings,omitempty"`
}

func batchDefinition() *resource.Definition {
	return &resource.Definition{Group: Group, Resource: "batches", Singular: "batch", Kind: "Batch", Versions: []string{Version}, StorageVersion: Version,
		Verbs: []string{"create"}, Virtual: true}
}

// DeepCopyInto copies b into out.
func (b *Batch) DeepCopyInto(out *Batch) {
	*out = *b
	b.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	if b.Spec.Items != nil {
		out.Spec.Items = make([]BatchItem, len(b.Spec.Items))
		for i := range b.Spec.Items {
			it := &out.Spec.Items[i]
			*it = b.Spec.Items[i]
			it.Object, it.Patch = it.Object.DeepCopy(), it.Patch.DeepCopy()
		}
	}
	if b.Status.Items != nil {
		out.Status.Items = make([]BatchItemStatus, len(b.Status.Items))
		for i := range b.Status.Items {
			it := &out.Status.Items[i]
			*it = b.Status.Items[i]
			it.Object, it.Warnings = it.Object.DeepCopy(), append([]string(nil), it.Warnings...)
		}
	}
}

// DeepCopyObject implements runtime.Object.
func (b *Batch) DeepCopyObject() runtime.Object {
	out := new(Batch)
	b.DeepCopyInto(out)
	return out
}

// Package defaultclass gives PersistentVolumeClaims and Ingresses that name no class
// the cluster's default one, as upstream's DefaultStorageClass and
// DefaultIngressClass admission do. A class is the default by an annotation; of
// several the newest counts. Where there are no classes, nobody is asked.
package defaultclass

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// kind is a kind whose objects have a class.
type kind struct {
	plugin    string
	resource  string   // of the objects
	classes   string   // of their classes
	field     string   // that names the class; an empty name is one, too
	annotated string   // by which older clients named it
	marks     []string // annotations of the default class
}

var kinds = []kind{
	{plugin: "default-storage-class", resource: "v1/persistentvolumeclaims", classes: "storage.k8s.io/v1/storageclasses", field: "spec.storageClassName",
		annotated: "volume.beta.kubernetes.io/storage-class", marks: []string{"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"}},
	{plugin: "default-ingress-class", resource: "networking.k8s.io/v1/ingresses", classes: "networking.k8s.io/v1/ingressclasses", field: "spec.ingressClassName",
		annotated: "kubernetes.io/ingress.class", marks: []string{"ingressclass.kubernetes.io/is-default-class"}},
}

func init() {
	for _, k := range kinds {
		sdk.Register(sdk.Plugin{Name: k.plugin, New: func([]byte) (sdk.Points, error) {
			return &admission.Points{
				Match:  []admission.MatchRule{{Operations: []admission.Operation{admission.Create}, Resources: []string{k.resource}, Given: []string{k.classes}}},
				Fields: []string{k.field, "metadata.annotations[" + k.annotated + "]"},
				Mutate: k.mutate,
			}, nil
		}})
	}
}

// class is what counts of a class of any kind.
type class struct {
	metav1.ObjectMeta `json:"metadata"`
}

// APIResource implements client.Object; which resource it is, the list says.
func (*class) APIResource() string { return "" }

func (k kind) mutate(r *admission.Review) error {
	if r.Object.Get(k.field).Exists() || r.Object.Get("metadata.annotations["+k.annotated+"]").Exists() {
		return nil
	}
	var all []*class
	if err := r.Reader.List(&all, client.ListOptions{Resource: k.classes}); err != nil {
		return err
	}
	c := k.newest(all)
	if c == nil {
		return nil
	}
	return r.Set(k.field, c.Name)
}

// newest is the default class that was made last; nil when there is none. The list
// is in order of names: of those of one second the first counts.
func (k kind) newest(all []*class) (out *class) {
	for _, c := range all {
		if k.isDefault(c) && (out == nil || out.CreationTimestamp.Before(c.CreationTimestamp)) {
			out = c
		}
	}
	return out
}

func (k kind) isDefault(c *class) bool {
	for _, mark := range k.marks {
		if c.Annotations[mark] == "true" {
			return true
		}
	}
	return false
}

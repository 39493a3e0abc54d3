package volumebinding

import (
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// What is read of each kind: these fields and no others are sent.

// The resources.
const (
	claims     = "v1/persistentvolumeclaims"
	volumes    = "v1/persistentvolumes"
	classes    = "storage.k8s.io/v1/storageclasses"
	drivers    = "storage.k8s.io/v1/csidrivers"
	capacities = "storage.k8s.io/v1/csistoragecapacities"
)

// meta is what all have.
type meta struct {
	Name              string  `json:"name"`
	Namespace         string  `json:"namespace,omitempty"`
	UID               string  `json:"uid,omitempty"`
	ResourceVersion   string  `json:"resourceVersion,omitempty"`
	DeletionTimestamp *string `json:"deletionTimestamp,omitempty"`
}

type claim struct {
	Metadata struct {
		meta
		Annotations struct {
			SelectedNode  *string `json:"volume.kubernetes.io/selected-node,omitempty"`
			BindCompleted *string `json:"pv.kubernetes.io/bind-completed,omitempty"`
			Class         *string `json:"volume.beta.kubernetes.io/storage-class,omitempty"`
		} `json:"annotations,omitzero"`
		OwnerReferences []owner `json:"ownerReferences,omitempty"`
	} `json:"metadata"`
	Spec struct {
		AccessModes []string              `json:"accessModes,omitempty"`
		Selector    *metav1.LabelSelector `json:"selector,omitempty"`
		Resources   struct {
			Requests map[string]resource.Quantity `json:"requests,omitempty"`
		} `json:"resources,omitzero"`
		VolumeName       string  `json:"volumeName,omitempty"`
		StorageClassName *string `json:"storageClassName,omitempty"`
		VolumeMode       *string `json:"volumeMode,omitempty"`
		AttributesClass  *string `json:"volumeAttributesClassName,omitempty"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status,omitzero"`
}

type owner struct {
	UID        string `json:"uid"`
	Controller *bool  `json:"controller,omitempty"`
}

func (*claim) APIResource() string { return claims }

// class of the claim, as upstream finds it: the beta annotation first.
func (c *claim) class() string { return either(c.Metadata.Annotations.Class, c.Spec.StorageClassName) }

// bound tells whether the claim is bound altogether.
func (c *claim) bound() bool {
	return c.Spec.VolumeName != "" && c.Metadata.Annotations.BindCompleted != nil
}

func (c *claim) size() resource.Quantity { return orZero(c.Spec.Resources.Requests["storage"]) }

// isFor tells whether the claim was made for a pod.
func (c *claim) isFor(uid string) bool {
	for _, o := range c.Metadata.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return o.UID == uid
		}
	}
	return false
}

type volume struct {
	Metadata struct {
		meta
		Labels      map[string]string `json:"labels,omitempty"`
		Annotations struct {
			Class             *string `json:"volume.beta.kubernetes.io/storage-class,omitempty"`
			BoundByController *string `json:"pv.kubernetes.io/bound-by-controller,omitempty"`
		} `json:"annotations,omitzero"`
	} `json:"metadata"`
	Spec struct {
		Capacity     map[string]resource.Quantity `json:"capacity,omitempty"`
		AccessModes  []string                     `json:"accessModes,omitempty"`
		ClaimRef     *claimRef                    `json:"claimRef,omitempty"`
		Class        string                       `json:"storageClassName,omitempty"`
		VolumeMode   *string                      `json:"volumeMode,omitempty"`
		NodeAffinity *struct {
			Required *scheduling.NodeSelector `json:"required,omitempty"`
		} `json:"nodeAffinity,omitempty"`
		AttributesClass *string `json:"volumeAttributesClassName,omitempty"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status,omitzero"`
}

func (*volume) APIResource() string { return volumes }

func (v *volume) class() string { return either(v.Metadata.Annotations.Class, &v.Spec.Class) }

func (v *volume) size() resource.Quantity { return orZero(v.Spec.Capacity["storage"]) }

// claimRef is the claim that a volume is for.
type claimRef struct {
	APIVersion      string `json:"apiVersion,omitempty"`
	Kind            string `json:"kind,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name,omitempty"`
	UID             string `json:"uid,omitempty"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// names tells whether the volume is for the claim, if only by its name.
func (r *claimRef) names(c *meta) bool {
	return r != nil && r.Name == c.Name && r.Namespace == c.Namespace && (r.UID == "" || r.UID == c.UID)
}

type class struct {
	Metadata    meta       `json:"metadata"`
	Provisioner string     `json:"provisioner"`
	Mode        *string    `json:"volumeBindingMode,omitempty"`
	Topologies  []topology `json:"allowedTopologies,omitempty"`
}

type topology struct {
	Labels []struct {
		Key    string   `json:"key"`
		Values []string `json:"values"`
	} `json:"matchLabelExpressions,omitempty"`
}

func (*class) APIResource() string { return classes }

// provisions tells whether volumes of the class are made when they are needed.
func (c *class) provisions() bool {
	return c.Provisioner != "" && c.Provisioner != "kubernetes.io/no-provisioner"
}

type driver struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		StorageCapacity *bool `json:"storageCapacity,omitempty"`
	} `json:"spec"`
}

func (*driver) APIResource() string { return drivers }

type capacity struct {
	Metadata    meta                  `json:"metadata"`
	Topology    *metav1.LabelSelector `json:"nodeTopology,omitempty"`
	Class       string                `json:"storageClassName"`
	Capacity    *resource.Quantity    `json:"capacity,omitempty"`
	MaximumSize *resource.Quantity    `json:"maximumVolumeSize,omitempty"`
}

func (*capacity) APIResource() string { return capacities }

// takes tells whether a volume of that size can be made there.
func (c *capacity) takes(size resource.Quantity) bool {
	limit := c.MaximumSize // the more precise one
	if limit == nil {
		limit = c.Capacity
	}
	return limit != nil && limit.Cmp(size) >= 0
}

type node struct {
	Metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
}

func (*node) APIResource() string { return "v1/nodes" }

// either is the first of two that is there.
func either(a, b *string) string {
	switch {
	case a != nil:
		return *a
	case b != nil:
		return *b
	}
	return ""
}

func orZero(q resource.Quantity) resource.Quantity {
	if q == "" {
		return "0"
	}
	return q
}

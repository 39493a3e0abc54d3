// Package pvcprotection keeps PersistentVolumeClaims that pods use: one that is
// deleted goes when the last pod that uses it is gone. Admission gives new
// claims the finalizer; those that are older get it here.
//
// Only pods with a node count: a node starts none whose claim is being deleted.
package pvcprotection

import (
	"slices"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	finalizer = "kubernetes.io/pvc-protection"
	claims    = "v1/persistentvolumeclaims"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "pvc-protection", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: claims},
				{Resource: "v1/pods", Map: controller.Deleted(claimsOf), Present: []string{"spec.volumes.persistentVolumeClaim"}},
				{Resource: "v1/pods", Map: controller.Func(claimsOf), Present: []string{"spec.volumes.ephemeral"}},
			},
			Implements: []string{}, // who mounts claims does
			Reconcile:  reconcile,
		}, nil
	}})
}

// claimsOf requests the claims that a pod names.
func claimsOf(pod sdk.Value) []controller.Request {
	namespace, name := pod.Get("metadata.namespace").String(), pod.Get("metadata.name").String()
	var out []controller.Request
	for _, v := range pod.Get("spec.volumes").Items() {
		if c := v.Get("persistentVolumeClaim.claimName"); c.Exists() {
			out = append(out, controller.Request{Namespace: namespace, Name: c.String()})
		}
		if v.Key("ephemeral").Exists() {
			out = append(out, controller.Request{Namespace: namespace, Name: name + "-" + v.Key("name").String()})
		}
	}
	return out
}

// claim is a PersistentVolumeClaim's metadata.
type claim struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

// GetObjectMeta implements metav1.Accessor.
func (c *claim) GetObjectMeta() *metav1.ObjectMeta { return &c.Metadata }

// pod is what counts of one.
type pod struct {
	Metadata struct {
		Name    string       `json:"name"`
		UID     string       `json:"uid"`
		Deleted *metav1.Time `json:"deletionTimestamp"`
		Grace   *int64       `json:"deletionGracePeriodSeconds"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
		Volumes  []struct {
			Name  string `json:"name"`
			Claim *struct {
				Name string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
			Ephemeral *corev1.EphemeralVolumeSource `json:"ephemeral"`
		} `json:"volumes"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return "v1/pods" }

// uses tells whether the pod runs, or may, with the claim.
func (p *pod) uses(c *claim) bool {
	if p.Spec.NodeName == "" {
		return false
	}
	for _, v := range p.Spec.Volumes {
		if v.Claim != nil && v.Claim.Name == c.Metadata.Name {
			return true
		}
		if v.Ephemeral != nil && !p.ended() && p.Metadata.Name+"-"+v.Name == c.Metadata.Name && ownedBy(c, p.Metadata.UID) {
			return true
		}
	}
	return false
}

// ended tells that the pod runs no more and only finalizers hold it. One that is
// deleted in the foreground waits for its ephemeral volumes' claims.
func (p *pod) ended() bool {
	return p.Metadata.Deleted != nil && p.Metadata.Grace != nil && *p.Metadata.Grace == 0
}

// ownedBy: a claim that only happens to have an ephemeral volume's name is not
// that volume's.
func ownedBy(c *claim, uid string) bool {
	owner := metav1.ControllerOf(c)
	return owner != nil && owner.UID == uid
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	pvc := &claim{}
	if err := c.Get(pvc, req.Namespace, req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	switch has, deleted := client.ContainsFinalizer(pvc, finalizer), pvc.Metadata.DeletionTimestamp != nil; {
	case deleted && has:
		used, err := isUsed(c, pvc)
		if err != nil || used {
			return controller.Result{}, err
		}
		return controller.Result{}, client.RemoveFinalizer(c, pvc, finalizer)
	case !deleted && !has:
		return controller.Result{}, client.AddFinalizer(c, pvc, finalizer)
	}
	return controller.Result{}, nil
}

func isUsed(c client.Client, pvc *claim) (bool, error) {
	var pods []*pod
	if err := c.List(&pods, client.ListOptions{Namespace: pvc.Metadata.Namespace}); err != nil {
		return false, err
	}
	return slices.ContainsFunc(pods, func(p *pod) bool { return p.uses(pvc) }), nil
}

package disruption

import (
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// ofPod begins the name of a request for a pod; no budget has such a name.
const ofPod = "pod/"

// target requests a pod that says that it is going to be deleted.
func target(p sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: p.Get("metadata.namespace").String(), Name: ofPod + p.Get("metadata.name").String()}}
}

// targeted is the pod that a request is for.
func targeted(q controller.Request) (name string, ok bool) { return strings.CutPrefix(q.Name, ofPod) }

// marked is a pod that says that it is going to be deleted.
type marked struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Phase      corev1.PodPhase       `json:"phase"`
		Conditions []corev1.PodCondition `json:"conditions"`
	} `json:"status"`
}

// APIResource makes a marked pod a client.Object.
func (*marked) APIResource() string { return "v1/pods" }

func (p *marked) target() *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.DisruptionTarget {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// unmark takes back that a pod is going to be deleted, when it is not for too long.
func (k *keeper) unmark(c client.Client, namespace, name string) (controller.Result, error) {
	p := &marked{}
	if err := c.Get(p, namespace, name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	now := k.now()
	left, is := stale(p, now)
	if !is || left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	// A pod that changes at the same time, such as one that is deleted after all, is
	// looked at again.
	patch := map[string]any{
		"metadata": map[string]any{"uid": p.UID, "resourceVersion": p.ResourceVersion},
		"status": map[string]any{"conditions": []any{map[string]any{"type": disruptionTarget, "status": corev1.ConditionFalse, "reason": nil, "message": nil,
			"lastTransitionTime": metav1.NewTime(now), "observedGeneration": p.Generation}}},
	}
	if err := c.Patch(p, client.Patch{Type: client.StrategicPatch, Subresource: "status", Data: patch}); err != nil && !client.IsNotFound(err) {
		return controller.Result{}, fmt.Errorf("condition %s of pod %s: %w", disruptionTarget, name, err)
	}
	return controller.Result{}, nil
}

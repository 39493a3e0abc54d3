package kernel

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry"
)

var errNobodyLeads = errors.New("no server leads at the moment")

// components makes the ComponentStatus objects: whether the parts of the control
// plane that upstream has processes for do their work. Scheduler and controllers run
// on the server that leads, whichever that is.
func components(k *Kernel) registry.Computed {
	return func(ctx context.Context) ([]runtime.Object, error) {
		led := errNobodyLeads
		if l := k.leader; l != nil && (l.elector.Leads() || l.elector.Holder() != "") {
			led = nil
		}
		return []runtime.Object{
			component("controller-manager", led),
			component("etcd-0", k.storage.check(ctx)),
			component("scheduler", led),
		}, nil
	}
}

func component(name string, err error) *corev1.ComponentStatus {
	c := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
	if err != nil {
		c.Status, c.Message, c.Error = corev1.ConditionFalse, "", err.Error()
	}
	return &corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: name}, Conditions: []corev1.ComponentCondition{c}}
}

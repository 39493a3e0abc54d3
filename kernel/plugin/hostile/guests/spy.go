package guests

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// What the spies look for, and how they call what they found.
const (
	SecretName  = "loot"
	SecretKey   = "pin"
	StolenName  = "stolen-"
	FloodName   = "flood-"
	FloodObject = 5000
)

func init() {
	sdk.Register(sdk.Plugin{Name: "spy", New: newSpy})
	sdk.Register(sdk.Plugin{Name: "waiter", New: newWaiter})
	Register("forge", func(c *Call) error {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}}
		c.Client.Event(p, client.Note{Warning: true, Reason: "Compromised", Message: "call this number"})
		return nil
	})
	Register("flood events", func(c *Call) error {
		for i := range FloodObject {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Request.Namespace, Name: fmt.Sprintf("%s%d", FloodName, i)}}
			c.Client.Event(m, client.Note{Reason: "Flood", Message: fmt.Sprint(i)})
		}
		return nil
	})
	Register("large event", func(c *Call) error {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Request.Namespace, Name: c.Request.Name}}
		c.Client.Event(m, client.Note{Reason: string(make([]byte, 1<<20)), Message: "x"})
		return nil
	})
	Register("flood writes", func(c *Call) error {
		for i := range FloodObject {
			err := c.Client.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Request.Namespace, Name: fmt.Sprintf("%s%d", FloodName, i)}})
			if err != nil && !client.IsAlreadyExists(err) {
				return err
			}
		}
		return nil
	})
}

// newSpy watches Secrets and writes what is in them where others can read it:
// by a map of its own, by those that the kernel serves, and from the names.
func newSpy([]byte) (sdk.Points, error) {
	steal := func(v sdk.Value) []controller.Request {
		return []controller.Request{{Namespace: Namespace, Name: v.Get("data." + SecretKey).String()}}
	}
	return &controller.Points{
		Watches: []controller.Watch{{Resource: "v1/configmaps"}, {Resource: "v1/secrets", Map: controller.Func(steal)},
			{Resource: "v1/secrets"}, {Resource: "v1/secrets", Map: controller.Field("data." + SecretKey)}},
		Reconcile: func(c client.Client, r controller.Request) (controller.Result, error) {
			err := c.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: StolenName + r.Name}})
			if client.IsAlreadyExists(err) {
				err = nil
			}
			return controller.Result{}, err
		},
	}, nil
}

// newWaiter finds out whether a Secret is there by waiting for it.
func newWaiter([]byte) (sdk.Points, error) {
	return &admission.Points{Match: matchPods(Namespace), Validate: func(r *admission.Review) error {
		r.Await(&corev1.Secret{}, "bystander", SecretName)
		return nil
	}}, nil
}

// Package bootstrapsigner signs ConfigMap kube-public/cluster-info with the bootstrap
// tokens that may sign, so that who has a token can tell the cluster's own kubeconfig
// from a forged one before he trusts it.
//
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#configmap-signing
package bootstrapsigner

import (
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	public = "kube-public"
	system = "kube-system"
	info   = "cluster-info"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "bootstrap-signer", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/configmaps", Map: controller.Func(clusterInfo), Present: []string{"data." + kubeconfig}, Fields: []string{"metadata.namespace", "metadata.name"}},
				{Resource: "v1/secrets", Map: controller.Func(bootstrapToken), Fields: []string{"metadata.namespace", "type"}},
			},
			Implements: []string{},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return reconcile(c, c.Now())
			},
		}, nil
	}})
}

var request = []controller.Request{{Namespace: public, Name: info}}

func clusterInfo(o sdk.Value) []controller.Request {
	if o.Get("metadata.namespace").String() != public || o.Get("metadata.name").String() != info {
		return nil
	}
	return request
}

func bootstrapToken(o sdk.Value) []controller.Request {
	if o.Get("metadata.namespace").String() != system || o.Get("type").String() != tokenType {
		return nil
	}
	return request
}

func reconcile(c client.Client, now time.Time) (controller.Result, error) {
	m := &corev1.ConfigMap{}
	if err := c.Get(m, public, info); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	var secrets []*corev1.Secret
	if err := c.List(&secrets, client.ListOptions{Namespace: system, Fields: "type=" + tokenType}); err != nil {
		return controller.Result{}, err
	}
	next, ends, changed := signed(m.Data, secrets, now)
	var res controller.Result
	if !ends.IsZero() {
		res.RequeueAfter = ends.Sub(now)
	}
	if !changed {
		return res, nil
	}
	m.Data = next
	err := c.Update(m)
	if client.IsNotFound(err) {
		return controller.Result{}, nil
	}
	return res, err
}

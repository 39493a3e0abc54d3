// Package rootca publishes the cluster's CA certificate as ConfigMap
// kube-root-ca.crt in every namespace, for the pods there to verify the API
// server.
package rootca

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	name = "kube-root-ca.crt"
	key  = "ca.crt"
)

// Config is the plugin's configuration.
type Config struct {
	// CA is the certificate, in PEM.
	CA string `json:"ca"`
}

func init() {
	sdk.Register(sdk.Plugin{Name: "root-ca", New: func(raw []byte) (sdk.Points, error) {
		var c Config
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		if c.CA == "" {
			return nil, errors.New("config.ca: the CA certificate is missing")
		}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/namespaces"},
				{Resource: "v1/configmaps", Map: controller.Func(ours)},
			},
			Implements: []string{}, // it adds to namespaces what another controller brings about
			Reconcile:  publisher(c.CA).reconcile,
		}, nil
	}})
}

// ours requests the namespace of a changed kube-root-ca.crt.
func ours(o sdk.Value) []controller.Request {
	if o.Get("metadata.name").String() != name {
		return nil
	}
	return []controller.Request{{Name: o.Get("metadata.namespace").String()}}
}

type publisher string

func (ca publisher) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	ns := &corev1.Namespace{}
	if err := c.Get(ns, "", req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if ns.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	cm := &corev1.ConfigMap{}
	err := c.Get(cm, req.Name, name)
	switch {
	case client.IsNotFound(err):
		cm = &corev1.ConfigMap{}
		cm.Namespace, cm.Name = req.Name, name
		ca.publish(cm)
		if err = c.Create(cm); client.IsAlreadyExists(err) || client.IsNamespaceTerminating(err) || client.IsNotFound(err) {
			err = nil // somebody was faster, or the namespace goes
		}
	case err == nil && ca.publish(cm):
		err = c.Update(cm)
	}
	return controller.Result{}, err
}

// The annotation by which people learn what the ConfigMap is for.
const (
	describes   = "kubernetes.io/description"
	description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)

// publish makes the ConfigMap hold the certificate, nothing else, and a description; it
// tells whether that changes it.
func (ca publisher) publish(cm *corev1.ConfigMap) bool {
	data := map[string]string{key: string(ca)}
	if maps.Equal(cm.Data, data) && cm.Annotations[describes] != "" {
		return false
	}
	cm.Data = data
	if cm.Annotations = maps.Clone(cm.Annotations); cm.Annotations == nil {
		cm.Annotations = map[string]string{}
	}
	cm.Annotations[describes] = description
	return true
}

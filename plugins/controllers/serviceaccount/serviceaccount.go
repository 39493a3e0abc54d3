// Package serviceaccount keeps a ServiceAccount named default in every
// namespace.
package serviceaccount

import (
	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "default-service-account", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/namespaces"},
				{Resource: "v1/serviceaccounts", Map: controller.InNamespace()},
			},
			Implements: []string{"v1/serviceaccounts"},
			Reconcile:  reconcile,
		}, nil
	}})
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
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
	err := c.Get(&corev1.ServiceAccount{}, req.Name, "default")
	if err == nil || !client.IsNotFound(err) {
		return controller.Result{}, err
	}
	sa := &corev1.ServiceAccount{}
	sa.Namespace, sa.Name = req.Name, "default"
	if err := c.Create(sa); err != nil && !client.IsAlreadyExists(err) && !client.IsNamespaceTerminating(err) && !client.IsNotFound(err) {
		return controller.Result{}, err
	}
	return controller.Result{}, nil
}

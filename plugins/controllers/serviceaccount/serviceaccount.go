// Package serviceaccount keeps a ServiceAccount named default in every
// namespace.
package serviceaccount

import (
	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "serviceaccount", New: func([]byte) (*sdk.Points, error) {
		return &sdk.Points{Controller: &sdk.Controller{
			Watches: []sdk.Watch{
				{Resource: "v1/namespaces"},
				{Resource: "v1/serviceaccounts", Map: sdk.InNamespace()},
			},
			Reconcile: reconcile,
		}}, nil
	}})
}

func reconcile(c sdk.Client, req sdk.Request) (sdk.Result, error) {
	ns := &corev1.Namespace{}
	if err := c.Get(ns, "", req.Name); err != nil {
		if sdk.IsNotFound(err) {
			return sdk.Result{}, nil
		}
		return sdk.Result{}, err
	}
	if ns.DeletionTimestamp != nil {
		return sdk.Result{}, nil
	}
	err := c.Get(&corev1.ServiceAccount{}, req.Name, "default")
	if err == nil || !sdk.IsNotFound(err) {
		return sdk.Result{}, err
	}
	sa := &corev1.ServiceAccount{}
	sa.Namespace, sa.Name = req.Name, "default"
	if err := c.Create(sa); err != nil && !sdk.IsAlreadyExists(err) && !sdk.IsNamespaceTerminating(err) {
		return sdk.Result{}, err
	}
	return sdk.Result{}, nil
}

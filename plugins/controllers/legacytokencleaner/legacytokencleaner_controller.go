// Package legacytokencleaner takes away the tokens without an end that were made for
// service accounts in the days when every account had one, and that nobody has used for a
// year: they are marked as invalid, and deleted after another year. Tokens in Secrets that
// people made are left alone.
//
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner (KEP-2799)
package legacytokencleaner

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// The ConfigMap, in kube-system, that says since when the use of tokens is noted.
const (
	trackingName = "kube-apiserver-legacy-service-account-token-tracking"
	trackingKey  = "since"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "legacy-token-cleaner", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches:    []controller.Watch{{Resource: "v1/secrets", Present: []string{"metadata.annotations[" + accountKey + "]"}}},
			Implements: []string{},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return reconcile(c, q, c.Now().UTC())
			},
		}, nil
	}})
}

// again is when a token is looked at anew of which something else than time decides: who
// refers to it, who mounts it. Upstream looks at all as often.
var again = controller.Result{RequeueAfter: day}

func reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	s := &corev1.Secret{}
	if err := c.Get(s, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			err = nil
		}
		return controller.Result{}, err
	}
	if s.Type != secretType {
		return controller.Result{}, nil
	}
	tracking := &corev1.ConfigMap{}
	if err := c.Get(tracking, "kube-system", trackingName); err != nil {
		if client.IsNotFound(err) {
			return again, nil // the server makes it again
		}
		return controller.Result{}, err
	}
	since, err := trackedSince(tracking.Data[trackingKey])
	if err != nil {
		return controller.Result{}, fmt.Errorf("configmap kube-system/%s: %s: %w", trackingName, trackingKey, err)
	}
	yes, later := old(s, since, now)
	if !yes {
		return controller.Result{RequeueAfter: min(later, day)}, nil
	}
	if used, err := needed(c, s); err != nil || used {
		return again, err
	}
	return again, act(c, s, now)
}

// needed tells that a token was not generated, or is used by a pod.
func needed(c client.Client, s *corev1.Secret) (bool, error) {
	account := &corev1.ServiceAccount{}
	if err := c.Get(account, s.Namespace, s.Annotations[accountKey]); client.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	if !generated(s, account) {
		return true, nil
	}
	var pods []*corev1.Pod
	if err := c.List(&pods, client.ListOptions{Namespace: s.Namespace}); err != nil {
		return false, err
	}
	for _, p := range pods {
		if refers(p, s.Name) {
			return true, nil
		}
	}
	return false, nil
}

func act(c client.Client, s *corev1.Secret, now time.Time) (err error) {
	switch next(s, now) {
	case invalidate:
		label := map[string]string{invalidSince: now.Format(time.DateOnly)}
		err = c.Patch(s, client.Patch{Data: map[string]any{"metadata": map[string]any{"uid": s.UID, "resourceVersion": s.ResourceVersion, "labels": label}}})
	case remove:
		err = c.Delete(s, client.DeleteOptions{Preconditions: &client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion}})
	}
	if client.IsNotFound(err) || client.IsConflict(err) {
		return nil // a change is another request
	}
	return err
}

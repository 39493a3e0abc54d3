package replicas

import (
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// soon asks for the next batch.
const soon = time.Millisecond

// Points are the controller of a kind.
func Points(k Kind) *controller.Points {
	return &controller.Points{
		Watches: []controller.Watch{
			{Resource: k.Resource},
			{Resource: "v1/pods", Map: controller.Owner(k.APIVersion + "/" + k.Name)},
			{Resource: "v1/pods", Map: controller.OrphanLabels()},
		},
		Workers:   2,
		Reconcile: k.reconcile,
	}
}

func (k *Kind) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	if req.Labels != "" {
		return k.adopters(c, req.Namespace, req.Labels.Map())
	}
	s, err := k.Get(c, req.Namespace, req.Name)
	if err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	pods, err := k.claim(c, s)
	if err != nil {
		if errors.Is(err, errStale) {
			err = nil // what made it so has queued the set again
		}
		return controller.Result{}, err
	}
	now := c.Now()
	more := false
	var scaleErr error
	if s.DeletionTimestamp == nil { // else the garbage collector takes it from here
		pods.active, more, scaleErr = k.scale(c, s, pods.active, now)
		if client.IsNamespaceTerminating(scaleErr) {
			scaleErr = nil // nothing can be made there any more, and the set goes too
		}
	}
	status, wait := k.summarize(s, pods, scaleErr, now)
	if err := k.report(c, s, status); err != nil {
		return controller.Result{}, errors.Join(scaleErr, err)
	}
	if more {
		wait = soon
	}
	return controller.Result{RequeueAfter: wait}, scaleErr
}

// adopters names the sets that select a pod without an owner.
func (k *Kind) adopters(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	all, err := k.List(c, client.ListOptions{Namespace: namespace})
	if err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, s := range all {
		if s.DeletionTimestamp == nil && s.Selector.Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: s.Namespace, Name: s.Name})
		}
	}
	return res, nil
}

// report writes the status when it differs.
func (k *Kind) report(c client.Client, s *Set, status Status) error {
	if sameStatus(s.Status, status) {
		return nil
	}
	if err := k.UpdateStatus(c, s, status); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}

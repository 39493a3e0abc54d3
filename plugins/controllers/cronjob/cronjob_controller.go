// Package cronjob makes Jobs at the times that a CronJob names, and keeps as
// many of them as it asks for.
package cronjob

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/pintle-io/pintle/sdk"
	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const kind = "CronJob"

func init() {
	sdk.Register(sdk.Plugin{Name: "cronjob", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "batch/v1/cronjobs"},
				{Resource: "batch/v1/jobs", Map: controller.Owner("batch/v1/CronJob")},
			},
			Workers: 2,
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return reconcile(c, q, c.Now().UTC())
			},
		}, nil
	}})
}

func reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	cj := &batchv1.CronJob{}
	if err := c.Get(cj, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	jobs, gone, err := family(c, cj)
	if err != nil {
		return controller.Result{}, err
	}
	p := decide(cj, jobs, gone, now)
	for _, n := range p.notes {
		c.Event(cj, n)
	}
	acted := act(c, cj, &p)
	if err := report(c, cj, p.status); err != nil {
		return controller.Result{}, errors.Join(acted, err)
	}
	if client.IsNamespaceTerminating(acted) {
		acted = nil // nothing can be made there any more, and the CronJob goes too
	}
	return controller.Result{RequeueAfter: p.wait}, acted
}

// family finds the Jobs of a CronJob, and which of those that it has for active
// do not exist.
func family(c client.Client, cj *batchv1.CronJob) (jobs []*job, gone map[string]bool, err error) {
	if err := c.List(&jobs, client.ListOptions{Namespace: cj.Namespace, Owner: client.OwnedBy(cj.UID)}); err != nil {
		return nil, nil, err
	}
	jobs = slices.DeleteFunc(jobs, func(j *job) bool { return !metav1.IsControlledBy(j, cj) })
	gone = map[string]bool{}
	for _, r := range cj.Status.Active {
		if slices.ContainsFunc(jobs, func(j *job) bool { return j.UID == r.UID }) {
			continue
		}
		// One that somebody took away from the CronJob runs all the same.
		j := &job{}
		switch err := c.Get(j, r.Namespace, r.Name); {
		case client.IsNotFound(err), err == nil && j.UID != r.UID:
			gone[r.UID] = true
		case err != nil:
			return nil, nil, err
		}
	}
	return jobs, gone, nil
}

// act deletes and makes Jobs, and notes in the plan's status what came of it.
func act(c client.Client, cj *batchv1.CronJob, p *plan) error {
	var failed error
	for _, j := range p.forget {
		failed = errors.Join(failed, remove(c, cj, j, j.UID))
	}
	for _, r := range p.replace {
		j := &job{}
		j.Namespace, j.Name = r.Namespace, r.Name
		if err := remove(c, cj, j, r.UID); err != nil {
			return fmt.Errorf("replace job %s: %w", r.Name, errors.Join(failed, err))
		}
		p.inactive(r.UID)
	}
	if p.start == nil {
		return failed
	}
	switch err := c.Create(p.start); {
	case err == nil:
		c.Event(cj, client.Note{Reason: "SuccessfulCreate", Message: "Created job " + p.start.Name})
		p.started(&p.start.ObjectMeta)
	case client.IsAlreadyExists(err): // by us, before we could write it down?
		j := &job{}
		if err := c.Get(j, p.start.Namespace, p.start.Name); err != nil {
			return errors.Join(failed, err)
		}
		if metav1.IsControlledBy(j, cj) {
			p.started(&j.ObjectMeta)
			if j.end() != "" {
				p.inactive(j.UID)
			}
		}
	case client.IsNamespaceTerminating(err):
		return err
	default:
		c.Event(cj, client.Note{Warning: true, Reason: "FailedCreate", Message: "Error creating job: " + err.Error()})
		return errors.Join(failed, err)
	}
	return failed
}

// remove deletes a Job and its pods.
func remove(c client.Client, cj *batchv1.CronJob, j *job, uid string) error {
	err := c.Delete(j, client.DeleteOptions{Propagation: "Background", Preconditions: client.NewUIDPreconditions(uid)})
	if err != nil && !client.IsNotFound(err) {
		c.Event(cj, client.Note{Warning: true, Reason: "FailedDelete", Message: "Deleted job: " + err.Error()})
		return err
	}
	c.Event(cj, client.Note{Reason: "SuccessfulDelete", Message: "Deleted job " + j.Name})
	return nil
}

// report writes the status when it differs.
func report(c client.Client, cj *batchv1.CronJob, status batchv1.CronJobStatus) error {
	if len(status.Active) == 0 {
		status.Active = nil
	}
	if reflect.DeepEqual(cj.Status, status) {
		return nil
	}
	cj.Status = status
	if err := c.UpdateStatus(cj); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}

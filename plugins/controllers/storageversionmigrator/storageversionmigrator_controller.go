// Package storageversionmigrator writes the objects of a resource anew, for whoever creates
// a StorageVersionMigration: so that they are stored in the storage version of today, and
// encrypted by the key of today.
//
// https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/ (KEP-4192)
package storageversionmigrator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	migrationv1 "github.com/pintle-io/pintle/sdk/api/storagemigration/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	// chunk bounds what one call writes.
	chunk = 250
	// patience is how long a resource may be missing after its migration was made: its
	// definition may be on its way.
	patience = time.Minute
	// soon is when to look again for what is missing, or may not be written yet.
	soon = time.Second
)

func init() {
	sdk.Register(sdk.Plugin{Name: "storage-version-migrator", New: func([]byte) (sdk.Points, error) {
		m := &migrator{reached: map[string]place{}}
		return &controller.Points{
			Watches:    []controller.Watch{{Resource: (*migration)(nil).APIResource(), Map: controller.Func(resourceOf), Fields: []string{"spec.resource"}}},
			Implements: []string{(*migration)(nil).APIResource()},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return m.reconcile(c, q, c.Now())
			},
		}, nil
	}})
}

// resourceOf requests the resource that a migration is of, as "plural.group".
func resourceOf(o sdk.Value) []controller.Request {
	r := o.Get("spec.resource")
	return []controller.Request{{Name: r.Get("resource").String() + "." + r.Get("group").String()}}
}

// object is one that is migrated.
type object struct {
	Metadata struct {
		Namespace       string `json:"namespace,omitempty"`
		Name            string `json:"name"`
		UID             string `json:"uid,omitempty"`
		ResourceVersion string `json:"resourceVersion,omitempty"`
	} `json:"metadata"`
	resource string
}

// APIResource implements client.Object.
func (o *object) APIResource() string { return o.resource }

func (o *object) place() place { return place{o.Metadata.Namespace, o.Metadata.Name} }

// migrator remembers how far migrations have come. What it forgets it goes through
// again: an object that is stored as it should be is not written.
type migrator struct {
	reached map[string]place // by uid
}

func (x *migrator) reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	plural, group, _ := strings.Cut(q.Name, ".")
	gr := metav1.GroupResource{Group: group, Resource: plural}
	var every, all []*migration
	if err := c.List(&every, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	for _, m := range every {
		if m.Spec.Resource == gr {
			all = append(all, client.Clone(m))
		}
	}
	p := decide(all)
	for _, m := range p.over {
		delete(x.reached, m.UID)
		if err := finish(c, m, now); err != nil {
			return again(err)
		}
	}
	if p.running == nil && p.next != nil {
		if err := start(c, p.next, now); err != nil {
			return again(err)
		}
		p.running = p.next
	}
	if p.running == nil {
		return controller.Result{}, nil
	}
	return x.run(c, p.running, now)
}

// again is the result of a write that failed: who changed the object meanwhile wakes the
// controller, but for a definition, which it does not watch.
func again(err error) (controller.Result, error) {
	if client.IsConflict(err) || client.IsNotFound(err) {
		return controller.Result{RequeueAfter: soon}, nil
	}
	return controller.Result{}, err
}

// finish takes the mark from a migration that has ended.
func finish(c client.Client, m *migration, now time.Time) error {
	if err := ends(c, m, holds(m, migrationv1.MigrationSucceeded), now); err != nil {
		return err
	}
	completed := condition(migrationv1.MigrationRunning, metav1.ConditionFalse, reasonCompleted, "Migration completed")
	completed.ObservedGeneration = m.Generation
	m.Status.Conditions = set(m.Status.Conditions, completed, now)
	return c.UpdateStatus(m)
}

// start marks a migration as the one that runs.
func start(c client.Client, m *migration, now time.Time) error {
	if err := begins(c, m, now); err != nil {
		return err
	}
	m.Status.Conditions = set(m.Status.Conditions, condition(migrationv1.MigrationRunning, metav1.ConditionTrue, reasonRunning, progress(0, 0, nil)), now)
	return c.UpdateStatus(m)
}

// run brings a migration one step further.
func (x *migrator) run(c client.Client, m *migration, now time.Time) (controller.Result, error) {
	resource := client.InAnyVersion(m.Spec.Resource.Group, m.Spec.Resource.Resource)
	var all []*object
	err := c.List(&all, client.ListOptions{Resource: resource, Fresh: true})
	switch {
	case client.IsNotFound(err) && now.Before(m.CreationTimestamp.Time().Add(patience)):
		return controller.Result{RequeueAfter: soon}, nil
	case client.IsNotFound(err):
		return x.fail(c, m, errors.New("resource does not exist in discovery"), "", now)
	case client.IsUnsupported(err):
		return x.fail(c, m, fmt.Errorf("resource %q does not support discovery operations: [update patch list]", m.Spec.Resource.Resource+"."+m.Spec.Resource.Group), "", now)
	case err != nil:
		return controller.Result{}, err
	}
	if m.Status.ResourceVersion == "" {
		// Objects and migrations are counted by one revision: what was written before the
		// migration was marked is to be written again, and what is written since need not be.
		m.Status.ResourceVersion = m.ResourceVersion
		if err := c.UpdateStatus(m); err != nil {
			return again(err)
		}
	}
	todo, err := left(all, x.reached[m.UID], m.Status.ResourceVersion)
	if err != nil {
		return x.fail(c, m, err, "", now)
	}
	return x.step(c, m, todo, len(all), resource, now)
}

// step writes the first of what is left.
func (x *migrator) step(c client.Client, m *migration, todo []*object, total int, resource string, now time.Time) (controller.Result, error) {
	n := min(len(todo), chunk)
	done, err := x.write(c, m, todo[:n], resource)
	rest := len(todo) - done
	running := condition(migrationv1.MigrationRunning, metav1.ConditionTrue, reasonRunning, progress(rest, total, err))
	switch {
	case err != nil && final(err):
		running.Message = progress(rest, total, nil)
		m.Status.Conditions = set(m.Status.Conditions, running, now)
		return x.fail(c, m, err, fmt.Sprintf("%d/%d not yet migrated. ", rest, total), now)
	case err == nil && rest == 0:
		m.Status.Conditions = set(m.Status.Conditions, running, now)
		m.Status.Conditions = set(m.Status.Conditions, condition(migrationv1.MigrationSucceeded, metav1.ConditionTrue, reasonSucceeded, "Migration completed"), now)
		return again(c.UpdateStatus(m))
	}
	m.Status.Conditions = set(m.Status.Conditions, running, now)
	if update := c.UpdateStatus(m); update != nil {
		return again(update)
	}
	switch {
	case client.IsTooManyRequests(err):
		return controller.Result{RequeueAfter: soon}, nil
	case err != nil:
		return controller.Result{}, err
	}
	return controller.Result{RequeueAfter: time.Millisecond}, nil
}

// write writes objects as they are, and tells how many need not be looked at any more. Of
// what has changed, or is gone, since it was listed, nothing is left to do.
func (x *migrator) write(c client.Client, m *migration, objects []*object, resource string) (done int, err error) {
	ops := make([]client.Op, len(objects))
	for i, o := range objects {
		named := &object{Metadata: o.Metadata, resource: resource}
		data := map[string]any{"metadata": map[string]string{"uid": o.Metadata.UID, "resourceVersion": o.Metadata.ResourceVersion}}
		ops[i] = client.Op{Verb: client.VerbPatch, Object: named, Patch: client.Patch{Data: data}, Brief: true}
	}
	if len(ops) == 0 {
		return 0, nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return 0, err
	}
	for i, err := range errs {
		if err != nil && !client.IsConflict(err) && !client.IsNotFound(err) {
			return i, err
		}
		x.reached[m.UID] = objects[i].place()
	}
	return len(objects), nil
}

// final tells an error that no other try would mend.
func final(err error) bool {
	return client.IsInvalid(err) || client.IsForbidden(err) || client.IsUnsupported(err)
}

// fail ends a migration.
func (x *migrator) fail(c client.Client, m *migration, why error, before string, now time.Time) (controller.Result, error) {
	delete(x.reached, m.UID)
	text := before + "migration encountered unhandled error: " + why.Error()
	m.Status.Conditions = set(m.Status.Conditions, condition(migrationv1.MigrationFailed, metav1.ConditionTrue, reasonFailed, text), now)
	return again(c.UpdateStatus(m))
}

// Package deletion decides what a DELETE does to an object: whether it goes at
// once, or is marked and stays until its grace is over, its finalizers are gone and
// its kind lets go of it; and when an object that is marked may go.
//
// It is pure: it changes the object that it is given, and reads no store and no
// clock. What it decides is upstream's (rest.BeforeDelete, and the finalizers of
// garbage collection). Start reading at [Decide].
package deletion

import (
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Verdict is what a DELETE does.
type Verdict int

const (
	// Gone: nothing holds the object, it is removed.
	Gone Verdict = iota
	// Marked: the object was changed, for its deletion to be finished later. Its
	// changes may come to nothing.
	Marked
	// Pending: the deletion that is under way stands; there is nothing to do.
	Pending
)

// Decide decides about obj, a private copy, and marks it if it is to stay. first
// tells that no deletion was asked for before. o, the caller's too, gets the
// grace period that holds.
func Decide(d *resource.Definition, obj runtime.Object, o *metav1.DeleteOptions, now metav1.Time) (v Verdict, first bool, err error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return Gone, false, err
	}
	first = m.GetDeletionTimestamp() == nil
	graceful, pending := grace(d, obj, m, o, now)
	if pending {
		return Pending, first, nil
	}
	if changed, finalizers := withPropagation(d, obj, m, o); changed {
		m.SetFinalizers(finalizers)
	}
	kept := d.Strategy.Held != nil && d.Strategy.Held(obj)
	switch {
	case !kept && len(m.GetFinalizers()) == 0 && (!graceful || *o.GracePeriodSeconds == 0):
		return Gone, first, nil
	case graceful:
	case kept && first: // a Namespace: its phase says the rest
		m.SetDeletionTimestamp(&now)
	case !kept:
		mark(m, now)
	}
	return Marked, first, nil
}

// Preconditions checks those of a DELETE against the object.
//
// # Errors
//   - Status: Conflict
func Preconditions(d *resource.Definition, m metav1.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	conflict := func(format string, args ...any) error {
		return apierrors.NewConflict(schema.GroupResource{Group: d.Group, Resource: d.Kind}, m.GetName(), fmt.Errorf(format, args...))
	}
	if p.UID != nil && *p.UID != m.GetUID() {
		return conflict("the UID in the precondition (%s) does not match the UID in record (%s). "+
			"The object might have been deleted and then recreated", *p.UID, m.GetUID())
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != m.GetResourceVersion() {
		return conflict("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). "+
			"The object might have been modified", *p.ResourceVersion, m.GetResourceVersion())
	}
	return nil
}

// Finished reports that obj, the next state of old, may go: old was marked for
// deletion, its grace is over and nobody holds obj any more.
func Finished(d *resource.Definition, obj, old runtime.Object) bool {
	m, err := meta.Accessor(obj)
	if err != nil || len(m.GetFinalizers()) > 0 {
		return false
	}
	was, err := meta.Accessor(old)
	if err != nil || was.GetDeletionTimestamp() == nil {
		return false
	}
	if grace := was.GetDeletionGracePeriodSeconds(); grace != nil && *grace != 0 {
		return false
	}
	return d.Strategy.Held == nil || !d.Strategy.Held(obj)
}

// grace decides on graceful deletion and marks m accordingly. graceful: the
// object got its deletion time; o.GracePeriodSeconds is set. pending: it had
// one that stands.
func grace(d *resource.Definition, obj runtime.Object, m metav1.Object, o *metav1.DeleteOptions, now metav1.Time) (graceful, pending bool) {
	if o.GracePeriodSeconds != nil && *o.GracePeriodSeconds < 0 {
		one := int64(1)
		o.GracePeriodSeconds = &one
	}
	if d.Strategy.GracePeriod == nil {
		return false, false
	}
	if m.GetDeletionTimestamp() != nil {
		return shorten(m, o, now)
	}
	seconds, ok := d.Strategy.GracePeriod(obj, o)
	if !ok {
		return false, false
	}
	o.GracePeriodSeconds = &seconds
	at := metav1.NewTime(now.Add(time.Duration(seconds) * time.Second))
	m.SetDeletionTimestamp(&at)
	m.SetDeletionGracePeriodSeconds(&seconds)
	if m.GetGeneration() > 0 {
		m.SetGeneration(m.GetGeneration() + 1)
	}
	return true, false
}

// shorten handles a DELETE of an object that is being deleted: only a shorter
// grace has an effect.
func shorten(m metav1.Object, o *metav1.DeleteOptions, now metav1.Time) (graceful, pending bool) {
	left := m.GetDeletionGracePeriodSeconds()
	if left == nil || *left == 0 {
		return false, false // the deletion was decided and did not get through
	}
	if o.GracePeriodSeconds == nil || *o.GracePeriodSeconds >= *left {
		return false, true
	}
	period := *o.GracePeriodSeconds
	at := metav1.NewTime(m.GetDeletionTimestamp().Add(time.Duration(period-*left) * time.Second))
	if at.Before(&now) {
		at = now
		if period != 0 {
			period = 1 // still graceful: the agent must see it and confirm
		}
	}
	o.GracePeriodSeconds = &period
	m.SetDeletionTimestamp(&at)
	m.SetDeletionGracePeriodSeconds(&period)
	return true, false
}

// mark marks an object that finalizers hold and that knows no grace.
func mark(m metav1.Object, now metav1.Time) {
	if m.GetDeletionTimestamp() == nil && m.GetGeneration() > 0 {
		m.SetGeneration(m.GetGeneration() + 1)
	}
	if at := m.GetDeletionTimestamp(); at == nil || at.After(now.Time) {
		m.SetDeletionTimestamp(&now)
	}
	zero := int64(0)
	m.SetDeletionGracePeriodSeconds(&zero)
}

// withPropagation are the finalizers after the client's wish about
// dependents. An explicit wish comes first, then a finalizer already there,
// then the kind's default.
func withPropagation(d *resource.Definition, obj runtime.Object, m metav1.Object, o *metav1.DeleteOptions) (changed bool, out []string) {
	want := dependents(d, obj, m, o)
	var has []string
	for _, f := range m.GetFinalizers() {
		if f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents {
			has = append(has, f)
			continue
		}
		out = append(out, f)
	}
	if want != "" {
		out = append(out, want)
	}
	unchanged := (want == "" && len(has) == 0) || (len(has) == 1 && has[0] == want)
	return !unchanged, out
}

// dependents is the finalizer that carries out the policy; "" for background.
func dependents(d *resource.Definition, obj runtime.Object, m metav1.Object, o *metav1.DeleteOptions) string {
	if d.Strategy.NotCollected {
		return ""
	}
	if o.OrphanDependents != nil {
		if *o.OrphanDependents {
			return metav1.FinalizerOrphanDependents
		}
		return ""
	}
	if o.PropagationPolicy != nil {
		return finalizerOf(*o.PropagationPolicy)
	}
	for _, f := range m.GetFinalizers() {
		if f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents {
			return f
		}
	}
	if d.Strategy.DefaultPropagation != nil {
		return finalizerOf(d.Strategy.DefaultPropagation(obj))
	}
	return ""
}

func finalizerOf(p metav1.DeletionPropagation) string {
	switch p {
	case metav1.DeletePropagationOrphan:
		return metav1.FinalizerOrphanDependents
	case metav1.DeletePropagationForeground:
		return metav1.FinalizerDeleteDependents
	}
	return ""
}

package conformance

import (
	"context"
	"errors"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var coordinationCases = []Case{
	{Name: "coordination/leases", Stands: "Lease lease API should be available", Run: leases},
	{Name: "coordination/events", Stands: "Events should manage the lifecycle of an event; Events API should ensure that an event can be fetched, patched, deleted, and listed", Run: eventObjects},
}

func leases(ctx context.Context, e *Env) error {
	c := e.Client.CoordinationV1().Leases(e.Namespace)
	holder, seconds, now := "one", int32(30), metav1.NewMicroTime(time.Now().Truncate(time.Microsecond))
	l, err := c.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}}, create)
	if err != nil {
		return err
	}
	errs := []error{same("renewTime to the microsecond", l.Spec.RenewTime.Equal(&now), true)}
	other := "two"
	l.Spec.HolderIdentity = &other
	stale := l.DeepCopy()
	if l, err = c.Update(ctx, l, update); err != nil {
		return errors.Join(append(errs, err)...)
	}
	_, err = c.Update(ctx, stale, update)
	errs = append(errs, conflict("a second holder", err), same("holder", *l.Spec.HolderIdentity, "two"))
	_, err = c.Patch(ctx, "l", types.MergePatchType, []byte(`{"spec":{"leaseDurationSeconds":-1}}`), patch)
	errs = append(errs, invalid("a duration below 0", err), c.DeleteCollection(ctx, remove, list))
	left, err := c.List(ctx, list)
	return errors.Join(append(errs, err, same("leases left", len(left.Items), 0))...)
}

func eventObjects(ctx context.Context, e *Env) error {
	now := metav1.Now()
	core := e.Client.CoreV1().Events(e.Namespace)
	if _, err := core.Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Reason: "Tried", Message: "as core/v1", Type: corev1.EventTypeNormal,
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: e.Namespace, Name: "p"}, FirstTimestamp: now, LastTimestamp: now, Count: 1}, create); err != nil {
		return err
	}
	c := e.Client.EventsV1().Events(e.Namespace)
	if _, err := c.Create(ctx, &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "new"}, Reason: "Tried", Note: "as events.k8s.io/v1", Type: corev1.EventTypeWarning, Action: "Try",
		ReportingController: "example.com/suite", ReportingInstance: "one", EventTime: metav1.NowMicro(), Regarding: corev1.ObjectReference{Kind: "Pod", Namespace: e.Namespace, Name: "q"}}, create); err != nil {
		return err
	}
	seen, err := c.Get(ctx, "old", get)
	errs := []error{err, same("note of a core/v1 event", seen.Note, "as core/v1"), same("regarding of a core/v1 event", seen.Regarding.Name, "p")}
	back, err := core.Get(ctx, "new", get)
	errs = append(errs, err, same("message of an events.k8s.io/v1 event", back.Message, "as events.k8s.io/v1"))
	for selector, want := range map[string]int{"involvedObject.name=p": 1, "type=Warning": 1, "reason=Tried": 2, "involvedObject.kind=Node": 0} {
		l, err := core.List(ctx, metav1.ListOptions{FieldSelector: selector})
		errs = append(errs, err, same("events of "+selector, len(l.Items), want))
	}
	patched, err := core.Patch(ctx, "old", types.MergePatchType, []byte(`{"count":2}`), patch)
	errs = append(errs, err, same("count", patched.Count, 2), core.DeleteCollection(ctx, remove, list))
	left, err := c.List(ctx, list)
	return errors.Join(append(errs, err, same("events left", len(left.Items), 0))...)
}

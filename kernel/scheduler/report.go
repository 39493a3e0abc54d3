package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

var (
	podResource   = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	nodeResource  = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	eventResource = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
)

// report is something to write about a pod besides its binding.
type report struct {
	pod *corev1.Pod
	at  time.Time
	// condition: the pod's PodScheduled condition shall say message. event: an
	// event object shall.
	condition, event bool
	reason           string // "Scheduled" or "FailedScheduling"
	conditionReason  string
	message          string
}

// reporter writes conditions and events in batches, so that they cost the
// bindings little.
type reporter struct {
	reg        registry.Registry
	controller string
	instance   string
	in         <-chan []report
	log        *slog.Logger
}

func (r *reporter) run(ctx context.Context) error {
	for {
		select {
		case batch := <-r.in:
			r.write(ctx, batch)
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *reporter) write(ctx context.Context, batch []report) {
	var items []registry.BatchItem
	var about []*report
	for i := range batch {
		x := &batch[i]
		if x.condition {
			items, about = append(items, conditionItem(x, x.pod)), append(about, x)
		}
		if x.event {
			items, about = append(items, r.eventItem(x)), append(about, x)
		}
	}
	results, err := r.reg.Batch(ctx, items, false)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Warn("write pod conditions and events", "error", err)
		}
		return
	}
	for i := range results {
		if results[i].Err == nil {
			continue
		}
		if items[i].Target.Resource == podResource {
			r.again(ctx, about[i], results[i].Err)
		} else if !apierrors.IsNotFound(results[i].Err) && !apierrors.IsForbidden(results[i].Err) {
			r.log.Debug("write event", "namespace", about[i].pod.Namespace, "name", about[i].pod.Name, "error", results[i].Err)
		}
	}
}

// again writes a condition on the pod's present state after a conflict.
func (r *reporter) again(ctx context.Context, x *report, err error) {
	for range 3 {
		if !apierrors.IsConflict(err) {
			break
		}
		item := conditionItem(x, x.pod)
		obj, getErr := r.reg.Get(ctx, registry.Target{Resource: podResource, Namespace: x.pod.Namespace, Name: x.pod.Name}, metav1.GetOptions{})
		if getErr != nil {
			err = getErr
			break
		}
		now, ok := obj.Obj.(*corev1.Pod)
		if !ok || now.UID != x.pod.UID || now.Spec.NodeName != "" {
			return
		}
		item = conditionItem(x, now)
		if _, err = r.reg.Update(ctx, item.Target, item.Object, item.Options); err == nil {
			return
		}
	}
	if !apierrors.IsNotFound(err) && ctx.Err() == nil {
		level := slog.LevelWarn
		if apierrors.IsConflict(err) {
			level = slog.LevelDebug // it changes all the time; the next attempt says it anew
		}
		r.log.Log(ctx, level, "write pod condition", "namespace", x.pod.Namespace, "name", x.pod.Name, "error", err)
	}
}

func conditionItem(x *report, o *corev1.Pod) registry.BatchItem {
	o = o.DeepCopy()
	setCondition(&o.Status, corev1.PodCondition{
		Type: corev1.PodScheduled, ObservedGeneration: o.Generation, Status: corev1.ConditionFalse,
		Reason: x.conditionReason, Message: x.message, LastTransitionTime: resource.Timestamp(x.at),
	})
	return registry.BatchItem{
		Verb:    "update",
		Target:  registry.Target{Resource: podResource, Namespace: o.Namespace, Name: o.Name, Subresource: "status"},
		Object:  o,
		Options: registry.WriteOptions{FieldManager: "kube-scheduler"},
	}
}

// setCondition replaces a condition; the time of transition stays when the
// status does.
func setCondition(s *corev1.PodStatus, c corev1.PodCondition) {
	for i := range s.Conditions {
		old := &s.Conditions[i]
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*old = c
		return
	}
	s.Conditions = append(s.Conditions, c)
}

func (r *reporter) eventItem(x *report) registry.BatchItem {
	kind, action := corev1.EventTypeNormal, "Binding"
	if x.reason == reasonFailed {
		kind, action = corev1.EventTypeWarning, "Scheduling"
	}
	note := x.message
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	return registry.BatchItem{
		Verb:   "create",
		Target: registry.Target{Resource: eventResource, Namespace: x.pod.Namespace},
		Object: &eventsv1.Event{
			TypeMeta:            metav1.TypeMeta{APIVersion: "events.k8s.io/v1", Kind: "Event"},
			ObjectMeta:          metav1.ObjectMeta{Namespace: x.pod.Namespace, Name: fmt.Sprintf("%s.%x", x.pod.Name, x.at.UnixNano())},
			EventTime:           resource.MicroTimestamp(x.at),
			ReportingController: r.controller,
			ReportingInstance:   r.instance,
			Action:              action,
			Reason:              x.reason,
			Regarding: corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: x.pod.Namespace, Name: x.pod.Name,
				UID: x.pod.UID, ResourceVersion: x.pod.ResourceVersion},
			Note: note,
			Type: kind,
		},
	}
}

// The reasons of events, and the longest note that the API takes.
const (
	reasonScheduled = "Scheduled"
	reasonFailed    = "FailedScheduling"
	maxNote         = 1024
)

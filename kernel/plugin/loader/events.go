package loader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// The reasons of a Plugin's events.
const (
	reasonFault       = "Fault"
	reasonQuarantined = "Quarantined"
	reasonNamespace   = "NamespaceQuarantined"
	reasonNotLoaded   = "FailedToLoad"
	reasonDisabled    = "Disabled"
	reasonAwaits      = "ResourceNotFound"
)

// maxEventText bounds an event's text, in bytes, as upstream has it.
const maxEventText = 1024

var eventResource = corev1.SchemeGroupVersion.WithResource("events")

// eventSeries are the events of Plugins: one object for each plugin and reason,
// whose count grows. The first is written within a second; what comes after it
// is counted and written at most once in every. It is used by one goroutine.
//
// Every server writes its own, whether it leads or not: policies are asked on each.
type eventSeries struct {
	every    time.Duration
	server   string
	registry registry.Registry
	clock    clock.PassiveClock
	log      *slog.Logger
	series   map[seriesKey]*series
}

type seriesKey struct {
	uid    types.UID
	reason string
}

type series struct {
	event   *corev1.Event // as written last, or as it is to be created
	created bool
	pending int32 // not yet written
	message string
	last    time.Time // of what is pending
	written time.Time
}

func newEventSeries(every time.Duration, server string, r registry.Registry, c clock.PassiveClock, log *slog.Logger) *eventSeries {
	return &eventSeries{every: every, server: server, registry: r, clock: c, log: log, series: map[seriesKey]*series{}}
}

// note counts something that an operator should know of.
func (e *eventSeries) note(p *v1alpha1.Plugin, reason, message string) {
	now, key := e.clock.Now(), seriesKey{p.UID, reason}
	s := e.series[key]
	if s == nil {
		s = &series{event: &corev1.Event{
			TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
			ObjectMeta:     metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s.%x", p.Name, now.UnixNano())},
			InvolvedObject: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin", Name: p.Name, UID: p.UID},
			Type:           corev1.EventTypeWarning, Reason: reason, FirstTimestamp: resource.Timestamp(now),
			Source: corev1.EventSource{Component: "plugin-loader", Host: e.server},
		}}
		e.series[key] = s
	}
	s.pending++
	s.message, s.last = clip(message, maxEventText), now
}

// forget drops the series of a plugin that is gone.
func (e *eventSeries) forget(p *v1alpha1.Plugin) {
	for key := range e.series {
		if key.uid == p.UID {
			delete(e.series, key)
		}
	}
}

// write writes what is due. What cannot be written is due again later.
func (e *eventSeries) write(ctx context.Context, now time.Time) {
	for _, s := range e.series {
		if s.pending == 0 || now.Sub(s.written) < e.every {
			continue
		}
		next := s.event.DeepCopy()
		next.Count += s.pending
		next.Message, next.LastTimestamp = s.message, resource.Timestamp(s.last)
		s.written = now
		if err := e.put(ctx, s, next); err != nil {
			if !errors.Is(err, context.Canceled) {
				e.log.Warn("event not recorded", "plugin", next.InvolvedObject.Name, "error", err)
			}
			continue
		}
		s.event, s.created, s.pending = next, true, 0
	}
}

// aboutPlugins marks what the server says of plugins: no policy and no webhook keeps it
// from the operator, one that fails closed its own failure least of all, and none is
// waited for here by the goroutine that loads it.
func aboutPlugins(ctx context.Context) context.Context { return admission.WithOwnObjects(ctx) }

func (e *eventSeries) put(ctx context.Context, s *series, next *corev1.Event) error {
	ctx = aboutPlugins(ctx)
	t := registry.Target{Resource: eventResource, Namespace: next.Namespace, Name: next.Name}
	if s.created {
		_, err := e.registry.Update(ctx, t, next, registry.WriteOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		}
		// It was an hour old and went. The series goes on in another.
		next.Name = fmt.Sprintf("%s.%x", next.InvolvedObject.Name, s.written.UnixNano())
		t.Name = next.Name
	}
	_, err := e.registry.Create(ctx, t, next, registry.WriteOptions{})
	if apierrors.IsAlreadyExists(err) { // the answer to the last try was lost
		_, err = e.registry.Update(ctx, t, next, registry.WriteOptions{})
	}
	return err
}

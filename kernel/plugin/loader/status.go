package loader

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/wire"
)

// noteFault shows a fault in the phase, and a quarantine as an event too.
func (l *Loader) noteFault(ctx context.Context, f fault) {
	e := l.entries[f.name]
	if e == nil || e.running == nil {
		return
	}
	e.faulty = l.Clock.Now()
	l.events.note(e.object, reasonFault, f.Err.Error())
	level := slog.LevelWarn
	if f.Quarantined == plugin.Nobody && e.phase == v1alpha1.Degraded {
		level = slog.LevelDebug // the one that degraded it was told
	}
	l.Log.Log(ctx, level, "plugin fault", "plugin", f.name, "namespace", f.Namespace, "error", f.Err, "quarantined", f.Quarantined != plugin.Nobody)
	until := f.Until.UTC().Format(time.RFC3339)
	switch f.Quarantined {
	case plugin.Everybody:
		whom := ""
		if f.Namespace != "" {
			whom = fmt.Sprintf(", after faults for objects of namespace %s; only namespaces without faults are asked", f.Namespace)
		}
		e.set(v1alpha1.Quarantined, fmt.Sprintf("until %s%s: %v", until, whom, f.Err))
		l.events.note(e.object, reasonQuarantined, e.message)
	case plugin.OneNamespace:
		message := fmt.Sprintf("not asked about objects of namespace %s until %s: %v", f.Namespace, until, f.Err)
		if e.phase != v1alpha1.Quarantined {
			e.set(v1alpha1.Degraded, message)
		}
		l.events.note(e.object, reasonNamespace, message)
	default:
		if e.phase == v1alpha1.Ready || e.phase == v1alpha1.Degraded && len(e.running.Quarantine.Namespaces()) == 0 {
			e.set(v1alpha1.Degraded, wire.Detail(f.Err))
		}
	}
}

// refusal is what a consumer says of a plugin that it took before.
type refusal struct {
	consumer, name string
	err            error // nil: it is in place again
}

// noteRefusal keeps what a consumer says for the status.
func (l *Loader) noteRefusal(ctx context.Context, r refusal) {
	e := l.entries[r.name]
	if e == nil {
		return
	}
	if r.err == nil {
		if e.refused[r.consumer] == "" {
			return
		}
		delete(e.refused, r.consumer)
		l.Log.Info("plugin is in place again", "plugin", r.name, "consumer", r.consumer)
	} else {
		why := clip(wire.Detail(r.err), maxMessage)
		level := slog.LevelWarn
		if e.refused[r.consumer] == why {
			level = slog.LevelDebug // it was told
		}
		l.Log.Log(ctx, level, "a plugin that is loaded is not in place: it is tried again", "plugin", r.name, "consumer", r.consumer, "error", r.err)
		if e.refused == nil {
			e.refused = map[string]string{}
		}
		e.refused[r.consumer] = why
		l.events.note(e.object, reasonNotLoaded, r.consumer+": "+r.err.Error())
	}
	e.dirty = true
	l.writeStatus(ctx, false)
}

// awaited are resources that a plugin's controller watches and nobody has defined.
type awaited struct {
	name      string
	resources []string
}

// keep keeps them for the status: the plugin is Ready, and hears nothing of
// them.
func (a awaited) keep(ctx context.Context, l *Loader) {
	e := l.entries[a.name]
	if e == nil || e.running == nil {
		return
	}
	e.awaits, e.dirty = a.resources, true
	if len(a.resources) > 0 {
		l.events.note(e.object, reasonAwaits, e.awaiting())
		l.Log.Warn("a controller watches what nobody has defined", "plugin", a.name, "resources", a.resources)
	}
	l.writeStatus(ctx, false)
}

// awaiting says what a controller waits for.
func (e *entry) awaiting() string {
	return clip("its controller watches resources that are not defined, and waits for them: "+strings.Join(e.awaits, ", ")+". Are they spelt right?", maxMessage)
}

// keepRefusals forgets what those say who are no consumers of what is running:
// nothing is tried again for them.
func (e *entry) keepRefusals(all []Consumer) {
	for _, c := range all {
		if e.running == nil || !serves(c, e.running) {
			delete(e.refused, c.Name)
		}
	}
}

// shown is the phase with its message: what a consumer refuses is not Ready,
// however it goes elsewhere.
func (e *entry) shown() (v1alpha1.Phase, string) {
	if len(e.refused) == 0 {
		return e.phase, e.message
	}
	var list []string
	for _, consumer := range slices.Sorted(maps.Keys(e.refused)) {
		list = append(list, consumer+": "+e.refused[consumer])
	}
	return v1alpha1.Failed, clip("loaded, but not in place, which is tried again: "+strings.Join(list, "; "), maxMessage)
}

// calm is how long a plugin must go without a fault to be Ready again.
const calm = time.Minute

// recover ends a quarantine that is over, and a degradation by faults that
// have stopped.
func (e *entry) recover(now time.Time) {
	if e.running == nil || e.faulty.IsZero() {
		return
	}
	switch e.phase {
	case v1alpha1.Quarantined:
		if e.running.Quarantine.Until().Before(now) {
			message := "released from quarantine after "
			if out := e.running.Quarantine.Namespaces(); len(out) > 0 {
				message = fmt.Sprintf("not asked for a while about objects of %d namespaces (%.200s) after ", len(out), strings.Join(out, ", "))
			}
			e.set(v1alpha1.Degraded, message+wire.Detail(e.running.Quarantine.LastFault()))
		}
	case v1alpha1.Degraded:
		if now.Sub(e.faulty) > calm && e.retryAt.IsZero() && len(e.running.Quarantine.Namespaces()) == 0 {
			e.set(v1alpha1.Ready, "")
			e.faulty = time.Time{}
		}
	}
}

// writeStatus writes what has changed: phases always, counters when all.
func (l *Loader) writeStatus(ctx context.Context, all bool) {
	if l.WritesStatus != nil && !l.WritesStatus() {
		return
	}
	var items []registry.BatchItem
	var written []*entry
	for _, e := range l.entries {
		if !e.dirty && !all {
			continue
		}
		p := e.object.DeepCopy()
		p.Status = e.status(l.Clock.Now())
		if equality.Semantic.DeepEqual(p.Status, e.object.Status) {
			e.dirty = false
			continue
		}
		p.ResourceVersion = "" // status is this loader's alone
		items = append(items, registry.BatchItem{Verb: "update", Object: p,
			Target: registry.Target{Resource: v1alpha1.Plugins, Name: p.Name, Subresource: "status"}})
		written = append(written, e)
	}
	if len(items) == 0 {
		return
	}
	results, err := l.Registry.Batch(aboutPlugins(ctx), items, false)
	if ctx.Err() != nil {
		return // the server stops: the next start says how it goes
	}
	if err != nil {
		l.Log.Warn("plugin status not written", "error", err)
		return
	}
	for i, r := range results {
		if r.Err != nil && !apierrors.IsNotFound(r.Err) {
			l.Log.Warn("plugin status not written", "plugin", items[i].Target.Name, "error", r.Err)
			continue
		}
		written[i].dirty = false
	}
}

// status is what the loader has to say of a plugin.
func (e *entry) status(now time.Time) v1alpha1.PluginStatus {
	s := *e.object.DeepCopy()
	out := s.Status
	out.ObservedGeneration = e.observed
	out.Phase, out.Message = e.shown()
	out.Calls, out.Errors, out.Faults, out.Instances, out.Memory = 0, 0, 0, 0, nil
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: string(out.Phase), Message: out.Message,
		ObservedGeneration: e.observed, LastTransitionTime: resource.Timestamp(now)}
	if e.running == nil || e.phase == v1alpha1.Quarantined || len(e.refused) > 0 {
		ready.Status = metav1.ConditionFalse
	}
	meta.SetStatusCondition(&out.Conditions, ready)
	if len(e.awaits) == 0 || e.running == nil {
		meta.RemoveStatusCondition(&out.Conditions, v1alpha1.ConditionWatching)
	} else {
		meta.SetStatusCondition(&out.Conditions, metav1.Condition{Type: v1alpha1.ConditionWatching, Status: metav1.ConditionFalse, Reason: reasonAwaits, Message: e.awaiting(),
			ObservedGeneration: e.observed, LastTransitionTime: ready.LastTransitionTime})
	}
	if e.running == nil {
		return out
	}
	m, n := e.running.Manifest, e.running.Stats.Snapshot()
	out.Digest, out.Version, out.Points = e.running.Spec.Digest, m.Version, m.Points.Names()
	out.Match, out.Implements = matchOf(m), shown(m.Implements)
	out.ABI = fmt.Sprintf("%d.%d", m.Major, m.Minor)
	out.Calls, out.Errors, out.Faults = n.Calls, n.Errors, n.Faults
	out.P50, out.P99 = metav1.Duration{Duration: n.P50}, metav1.Duration{Duration: n.P99}
	out.Instances = int32(n.Instances)
	if n.Memory > 0 {
		out.Memory = quantity.NewQuantity(n.Memory, quantity.BinarySI)
	}
	if f := n.LastError; f != nil {
		out.LastError = &v1alpha1.PluginError{Call: f.Call, Message: clip(f.Message, maxErrorText), Fault: f.Fault, Time: resource.Timestamp(f.Time)}
	}
	return out
}

// shown are the texts of a guest that a status has room for.
func shown(list []string) []string {
	if len(list) > maxMatch {
		list = list[:maxMatch]
	}
	var out []string
	for _, s := range list {
		out = append(out, clip(s, 4*maxMatch))
	}
	return out
}

// maxErrorText bounds the text of status.lastError, in bytes.
const maxErrorText = 1024

// clip cuts a text that a guest wrote to n bytes, at a character's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

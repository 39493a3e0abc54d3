package loader

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
)

// ensureBuiltins makes the Plugin resources of what ships with Pintle. Of one
// that exists only the parts that belong to this version are brought up to
// date: digest, host, permissions, and the fields of the config that this
// server sets. Mode, weight, limits and other fields of the config are the
// operator's.
func (l *Loader) ensureBuiltins(ctx context.Context) error {
	for _, b := range l.Builtins {
		if err := l.ensureBuiltin(ctx, b); err != nil {
			return fmt.Errorf("builtin plugin %s: %w", b.Name, err)
		}
	}
	return nil
}

// ships tells whether a plugin of that name ships with Pintle.
func (l *Loader) ships(name string) bool {
	return slices.ContainsFunc(l.Builtins, func(b plugin.Builtin) bool { return b.Name == name })
}

// restore brings back what ships and was deleted: a cluster without its
// scheduler or controllers is no use to anybody.
func (l *Loader) restore(ctx context.Context) {
	if !l.missing {
		return
	}
	if err := l.ensureBuiltins(ctx); err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("a plugin that ships with Pintle was deleted and cannot be made again", "error", err)
		}
		return // the next tick tries again
	}
	l.missing = false
}

// builtinWrites is how many objects a second one of our own may write, since one
// may have the work of all controllers of a large cluster on its shoulders.
const builtinWrites = 10_000

func (l *Loader) ensureBuiltin(ctx context.Context, b plugin.Builtin) error {
	t := registry.Target{Resource: v1alpha1.Plugins, Name: b.Name}
	want := b.Spec
	want.Digest = b.Module.Digest
	if want.Limits.WritesPerSecond == 0 {
		want.Limits.WritesPerSecond = builtinWrites
	}
	got, err := l.Registry.Get(ctx, t, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		p := &v1alpha1.Plugin{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"},
			ObjectMeta: metav1.ObjectMeta{Name: b.Name, Labels: map[string]string{v1alpha1.BuiltinLabel: "true"}}, Spec: want}
		_, err = l.Registry.Create(ctx, t, p, registry.WriteOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil // another server was quicker
		}
		return err
	}
	if err != nil {
		return err
	}
	p, ok := got.Obj.(*v1alpha1.Plugin)
	if !ok || p.Labels[v1alpha1.BuiltinLabel] != "true" {
		return nil // an operator replaced it
	}
	next := p.DeepCopy()
	next.Spec.Digest, next.Spec.Plugin, next.Spec.Permissions = want.Digest, want.Plugin, want.Permissions
	if next.Spec.Limits.WritesPerSecond == 0 {
		next.Spec.Limits.WritesPerSecond = want.Limits.WritesPerSecond
	}
	if want.Host != "" {
		next.Spec.Host = want.Host
	}
	if next.Spec.Config, err = mergeConfig(p.Spec.Config, want.Config); err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(next.Spec, p.Spec) {
		return nil
	}
	_, err = l.Registry.Update(ctx, t, next, registry.WriteOptions{})
	if apierrors.IsConflict(err) {
		return nil // whoever changed it: the watch brings it, the next start looks again
	}
	return err
}

// mergeConfig puts the fields of ours into an operator's config.
func mergeConfig(theirs, ours *runtime.RawExtension) (*runtime.RawExtension, error) {
	if ours == nil || theirs == nil {
		return cmp.Or(theirs, ours), nil
	}
	var all, set map[string]json.RawMessage
	if json.Unmarshal(ours.Raw, &set) != nil || json.Unmarshal(theirs.Raw, &all) != nil || all == nil {
		return ours, nil // not objects: there is nothing to merge
	}
	same := true
	for k, v := range set {
		same = same && bytes.Equal(compact(all[k]), compact(v))
		all[k] = v
	}
	if same {
		return theirs, nil
	}
	raw, err := json.Marshal(all)
	return &runtime.RawExtension{Raw: raw}, err
}

// compact is JSON without spaces, as it is stored.
func compact(v json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return v
	}
	return b.Bytes()
}

package loader

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
)

// shipped is what ships with Pintle: it becomes Plugin resources, which come
// back when they are deleted. It is used by one goroutine, but for has and runs.
type shipped struct {
	registry registry.Registry
	list     []plugin.Builtin
	modules  map[string]plugin.Module // by digest
	log      *slog.Logger
	missing  bool // one was deleted
}

func newShipped(r registry.Registry, list []plugin.Builtin, log *slog.Logger) *shipped {
	s := &shipped{registry: r, list: list, modules: map[string]plugin.Module{}, log: log}
	for _, b := range list {
		if b.Module.Digest != "" {
			s.modules[b.Module.Digest] = b.Module
		}
	}
	return s
}

// has tells whether a module ships with Pintle.
func (s *shipped) has(digest string) bool {
	_, ok := s.modules[digest]
	return ok
}

// runs tells that a Plugin resource runs what this binary brought.
func (s *shipped) runs(p *v1alpha1.Plugin) bool {
	if p.Spec.Host == v1alpha1.HostNative {
		return slices.ContainsFunc(s.list, func(b plugin.Builtin) bool {
			return b.Name == p.Name && b.Spec.Host == v1alpha1.HostNative && b.Spec.Plugin == p.Spec.Plugin
		})
	}
	return s.has(p.Spec.Digest)
}

// deleted takes notice that a Plugin was deleted.
func (s *shipped) deleted(name string) {
	s.missing = s.missing || slices.ContainsFunc(s.list, func(b plugin.Builtin) bool { return b.Name == name })
}

// ensure makes the Plugin resources of what ships with Pintle. Of one that
// exists only the parts that belong to this version are brought up to
// date: digest, host, permissions, and the fields of the config that this
// server sets. Mode, weight, limits and other fields of the config are the
// operator's.
func (s *shipped) ensure(ctx context.Context) error {
	for _, b := range s.list {
		if err := s.ensureOne(ctx, b); err != nil {
			return fmt.Errorf("builtin plugin %s: %w", b.Name, err)
		}
	}
	return nil
}

// restore brings back what ships and was deleted: a cluster without its
// scheduler or controllers is no use to anybody.
func (s *shipped) restore(ctx context.Context) {
	if !s.missing {
		return
	}
	if err := s.ensure(ctx); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("a plugin that ships with Pintle was deleted and cannot be made again", "error", err)
		}
		return // the next tick tries again
	}
	s.missing = false
}

// builtinWrites is how many objects a second one of our own may write, since one
// may have the work of all controllers of a large cluster on its shoulders.
const builtinWrites = 10_000

func (s *shipped) ensureOne(ctx context.Context, b plugin.Builtin) error {
	t := registry.Target{Resource: v1alpha1.Plugins, Name: b.Name}
	want := b.Spec
	want.Digest = b.Module.Digest
	if want.Limits.WritesPerSecond == 0 {
		want.Limits.WritesPerSecond = builtinWrites
	}
	got, err := s.registry.Get(ctx, t, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		p := &v1alpha1.Plugin{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"},
			ObjectMeta: metav1.ObjectMeta{Name: b.Name, Labels: map[string]string{v1alpha1.BuiltinLabel: "true"}}, Spec: want}
		_, err = s.registry.Create(ctx, t, p, registry.WriteOptions{})
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
	_, err = s.registry.Update(ctx, t, next, registry.WriteOptions{})
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

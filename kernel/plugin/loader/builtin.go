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
// back when they are deleted. RATIONALE.md, "What does a plugin that ships have
// that others have not?". It is used by one goroutine, but for has and runs.
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

// renewed is the spec of a Plugin that exists with the parts that belong to this
// version.
func renewed(old, want v1alpha1.PluginSpec) (v1alpha1.PluginSpec, error) {
	next := old
	next.Digest, next.Plugin, next.Permissions = want.Digest, want.Plugin, want.Permissions
	if next.Limits.WritesPerSecond == 0 {
		next.Limits.WritesPerSecond = want.Limits.WritesPerSecond
	}
	if want.Host != "" {
		next.Host = want.Host
	}
	var err error
	next.Config, err = mergeConfig(old.Config, want.Config)
	return next, err
}

// former is the Plugin that an older version made of b under another name; nil
// when there is none, or an operator made it his own.
func (s *shipped) former(ctx context.Context, b plugin.Builtin) (*v1alpha1.Plugin, error) {
	if b.Formerly == "" {
		return nil, nil
	}
	got, err := s.registry.Get(ctx, registry.Target{Resource: v1alpha1.Plugins, Name: b.Formerly}, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p, ok := got.Obj.(*v1alpha1.Plugin); ok && p.Labels[v1alpha1.BuiltinLabel] == "true" {
		return p, nil
	}
	return nil, nil
}

// retire removes what another Plugin has taken the place of.
func (s *shipped) retire(ctx context.Context, former *v1alpha1.Plugin) error {
	if former == nil {
		return nil
	}
	_, err := s.registry.Delete(ctx, registry.Target{Resource: v1alpha1.Plugins, Name: former.Name},
		metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(former.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // another server was quicker
	}
	return err
}

func (s *shipped) ensureOne(ctx context.Context, b plugin.Builtin) error {
	t := registry.Target{Resource: v1alpha1.Plugins, Name: b.Name}
	want := b.Spec
	want.Digest = b.Module.Digest
	if want.Limits.WritesPerSecond == 0 {
		want.Limits.WritesPerSecond = builtinWrites
	}
	former, err := s.former(ctx, b)
	if err != nil {
		return err
	}
	got, err := s.registry.Get(ctx, t, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if former != nil {
			if want, err = renewed(former.Spec, want); err != nil {
				return err
			}
		}
		p := &v1alpha1.Plugin{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"},
			ObjectMeta: metav1.ObjectMeta{Name: b.Name, Labels: map[string]string{v1alpha1.BuiltinLabel: "true"}}, Spec: want}
		_, err = s.registry.Create(ctx, t, p, registry.WriteOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) { // another server was quicker
			return err
		}
		return s.retire(ctx, former)
	}
	if err != nil {
		return err
	}
	if err := s.retire(ctx, former); err != nil {
		return err
	}
	p, ok := got.Obj.(*v1alpha1.Plugin)
	if !ok || p.Labels[v1alpha1.BuiltinLabel] != "true" {
		return nil // an operator replaced it
	}
	next := p.DeepCopy()
	if next.Spec, err = renewed(p.Spec, want); err != nil {
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

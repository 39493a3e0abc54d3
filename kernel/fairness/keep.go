package fairness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/informer/shared"
	"github.com/pintle-io/pintle/kernel/registry"
)

// keeper is upstream's field manager of the objects that every cluster has.
const keeper = "api-priority-and-fairness-config-producer-v1"

// Between two passes of which the first changed something, or failed. Two servers
// that want different objects, as during an upgrade, overwrite each other no faster.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// keep makes what is missing of the objects that every cluster has and brings back
// what must not be otherwise, whenever one changes, until ctx ends.
func (f *Control) keep(ctx context.Context) {
	retry := backoff.New(firstPause, maxPause)
	for first := true; ; {
		changed, err := f.ensure(ctx)
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = retry.Failed(f.c.Log, "the objects of priority and fairness are not kept", err)
		case first && f.complete():
			if !f.digested(ctx) {
				return
			}
			close(f.goesBy)
			first = false
		case first: // what was written comes as changes
		case changed:
			pause = retry.Again()
		default:
			retry.Succeeded(f.c.Log)
		}
		if pause > 0 {
			select {
			case <-f.c.Clock.After(pause):
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			continue
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			return
		}
	}
}

// everyCluster is what every cluster has.
func (f *Control) everyCluster() (levels *kept[*flowcontrolv1.PriorityLevelConfiguration], schemas *kept[*flowcontrolv1.FlowSchema]) {
	return &kept[*flowcontrolv1.PriorityLevelConfiguration]{registry: f.c.Registry, resource: PriorityLevels, objects: f.levels,
			copied: (*flowcontrolv1.PriorityLevelConfiguration).DeepCopy, revise: reviseLevel,
			mandatory: bootstrap.MandatoryPriorityLevelConfigurations, suggested: bootstrap.SuggestedPriorityLevelConfigurations},
		&kept[*flowcontrolv1.FlowSchema]{registry: f.c.Registry, resource: FlowSchemas, objects: f.schemas,
			copied: (*flowcontrolv1.FlowSchema).DeepCopy, revise: reviseSchema,
			mandatory: bootstrap.MandatoryFlowSchemas, suggested: bootstrap.SuggestedFlowSchemas}
}

// complete tells whether the informers have told of all that every cluster has.
func (f *Control) complete() bool {
	levels, schemas := f.everyCluster()
	return levels.complete() && schemas.complete()
}

// digested returns once the library goes by what the informers had told before the
// call; false when ctx ended first. The library says nothing of itself: it is made to
// look three times, one pass after the other. The first may be one that had read the levels
// before, the second has read everything since, and the third begins when that is over.
func (f *Control) digested(ctx context.Context) bool {
	for range 3 {
		select {
		case <-f.looks: // of a pass that may have begun before
		default:
		}
		f.levels.Nudge(bootstrap.MandatoryPriorityLevelConfigurationCatchAll)
		select {
		case <-f.looks:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// ensure is one pass; it reports whether it wrote anything.
func (f *Control) ensure(ctx context.Context) (bool, error) {
	levels, schemas := f.everyCluster()
	// A level before what refers to it, and the other way round in the end.
	err := errors.Join(levels.ensure(ctx), schemas.ensure(ctx), schemas.removeOutdated(ctx), levels.removeOutdated(ctx))
	return levels.wrote || schemas.wrote, err
}

// kept are the objects of one kind that every cluster has.
type kept[T shared.Object] struct {
	registry Registry
	resource schema.GroupVersionResource
	objects  *shared.Objects[T]
	copied   func(T) T
	// revise makes the spec of is that of want; it reports whether that was another.
	revise func(is, want T) bool
	// mandatory ones are as they are; suggested ones belong to the operator once he
	// has changed them.
	mandatory, suggested []T
	wrote                bool
}

func (k *kept[T]) ensure(ctx context.Context) error {
	var errs []error
	for _, want := range k.suggested {
		errs = append(errs, k.one(ctx, want, false))
	}
	for _, want := range k.mandatory {
		errs = append(errs, k.one(ctx, want, true))
	}
	return errors.Join(errs...)
}

// complete tells whether all of them have been told of.
func (k *kept[T]) complete() bool {
	for _, want := range slices.Concat(k.suggested, k.mandatory) {
		if _, ok := k.objects.Get(want.GetName()); !ok {
			return false
		}
	}
	return true
}

// one makes an object, or makes it what it must be. What others change meanwhile is
// told, and looked at again.
func (k *kept[T]) one(ctx context.Context, want T, always bool) error {
	o := registry.WriteOptions{FieldManager: keeper}
	is, ok := k.objects.Get(want.GetName())
	if !ok {
		_, err := k.registry.Create(ctx, registry.Target{Resource: k.resource}, k.copied(want), o)
		return k.done("create", want.GetName(), err)
	}
	auto := always || automatic(is)
	next := k.copied(is)
	annotated := annotate(next, auto)
	if !(auto && k.revise(next, want)) && !annotated {
		return nil
	}
	_, err := k.registry.Update(ctx, registry.Target{Resource: k.resource, Name: is.GetName()}, next, o)
	return k.done("update", is.GetName(), err)
}

// removeOutdated deletes the suggestions of another version that nobody has changed.
func (k *kept[T]) removeOutdated(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, list := range [][]T{k.mandatory, k.suggested} {
		for _, want := range list {
			wanted[want.GetName()] = true
		}
	}
	var errs []error
	for _, is := range k.objects.List() {
		if wanted[is.GetName()] || is.GetDeletionTimestamp() != nil {
			continue
		}
		if auto, err := strconv.ParseBool(is.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey]); err != nil || !auto {
			continue
		}
		rev := is.GetResourceVersion()
		_, err := k.registry.Delete(ctx, registry.Target{Resource: k.resource, Name: is.GetName()}, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &rev}})
		errs = append(errs, k.done("delete", is.GetName(), err))
	}
	return errors.Join(errs...)
}

func (k *kept[T]) done(verb, name string, err error) error {
	switch {
	case err == nil:
		k.wrote = true
		return nil
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil // somebody was faster, and what he did comes as a change
	}
	return fmt.Errorf("%s %s %s: %w", verb, k.resource.Resource, name, err)
}

// automatic tells whether a suggested object still follows the suggestion: it says so,
// or says nothing and was never changed.
func automatic(is metav1.Object) bool {
	if auto, err := strconv.ParseBool(is.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey]); err == nil {
		return auto
	}
	return is.GetGeneration() == 1
}

// annotate has an object say whether it follows the suggestion; it reports whether it
// did not say so.
func annotate(is metav1.Object, auto bool) bool {
	a := is.GetAnnotations()
	if said, err := strconv.ParseBool(a[flowcontrolv1.AutoUpdateAnnotationKey]); err == nil && said == auto {
		return false
	}
	if a == nil {
		a = map[string]string{}
	}
	a[flowcontrolv1.AutoUpdateAnnotationKey] = strconv.FormatBool(auto)
	is.SetAnnotations(a)
	return true
}

func reviseSchema(is, want *flowcontrolv1.FlowSchema) bool {
	if equality.Semantic.DeepEqual(is.Spec, want.Spec) {
		return false
	}
	is.Spec = *want.Spec.DeepCopy()
	return true
}

// reviseLevel leaves an operator what is his to say of the level exempt: how many seats
// it has to lend.
func reviseLevel(is, want *flowcontrolv1.PriorityLevelConfiguration) bool {
	spec := *want.Spec.DeepCopy()
	if want.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt && is.Spec.Exempt != nil && spec.Exempt != nil {
		spec.Exempt.NominalConcurrencyShares, spec.Exempt.LendablePercent = is.Spec.Exempt.NominalConcurrencyShares, is.Spec.Exempt.LendablePercent
	}
	if equality.Semantic.DeepEqual(is.Spec, spec) {
		return false
	}
	is.Spec = spec
	return true
}

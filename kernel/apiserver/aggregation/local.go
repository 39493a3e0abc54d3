package aggregation

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/metrics/pkg/apis/metrics"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// fieldManager is who wrote the objects.
const fieldManager = "pintle"

// managed is upstream's label of the objects that a server keeps: always, or set right
// when it starts.
const (
	managed = "kube-aggregator.kubernetes.io/automanaged"
	always  = "true"
	onStart = "onstart"
)

// keepLocal has an APIService for each group version that this server serves, as
// upstream's autoregistration.
func (a *Aggregator) keepLocal(ctx context.Context, all map[string]*apiregistrationv1.APIService) error {
	if a.c.CatchUp != nil {
		if err := a.c.CatchUp(ctx); err != nil {
			return err
		}
	}
	wanted := a.local()
	for name, want := range wanted {
		if err := a.keep(ctx, want, all[name]); err != nil {
			return fmt.Errorf("APIService %s: %w", name, err)
		}
		a.once[name] = true
	}
	for name, s := range all {
		label := s.Labels[managed]
		if wanted[name] != nil || label != always && (label != onStart || a.once[name]) {
			continue
		}
		opts := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(s.UID))}
		if _, err := a.c.Registry.Delete(ctx, registry.Target{Resource: APIServices, Name: name}, opts); ignored(err) != nil {
			return fmt.Errorf("APIService %s: %w", name, err)
		}
	}
	return nil
}

// keep makes one of them what it should be. One that somebody made himself, or took
// over, is his.
func (a *Aggregator) keep(ctx context.Context, want, is *apiregistrationv1.APIService) error {
	if is == nil {
		_, err := a.c.Registry.Create(ctx, registry.Target{Resource: APIServices}, want, registry.WriteOptions{FieldManager: fieldManager})
		return ignored(err)
	}
	label := is.Labels[managed]
	if label != always && (label != onStart || a.once[want.Name]) || equality.Semantic.DeepEqual(is.Spec, want.Spec) {
		return nil
	}
	next := is.DeepCopy()
	next.Spec = want.Spec
	_, err := a.c.Registry.Update(ctx, registry.Target{Resource: APIServices, Name: want.Name}, next, registry.WriteOptions{FieldManager: fieldManager})
	return ignored(err)
}

// ignored leaves out what only means that somebody else was there first: that is told.
func ignored(err error) error {
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// local are the APIServices of what this server serves, by name.
func (a *Aggregator) local() map[string]*apiregistrationv1.APIService {
	builtIn := map[schema.GroupVersion]bool{}
	versions(a.c.BuiltIn, func(gv schema.GroupVersion) { builtIn[gv] = true })
	out := map[string]*apiregistrationv1.APIService{}
	versions(a.c.Catalog.Snapshot(), func(gv schema.GroupVersion) {
		if gv.Group == apiregistrationv1.GroupName {
			return
		}
		p := priorityOf(gv, builtIn[gv])
		s := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: gv.Version + "." + gv.Group},
			Spec: apiregistrationv1.APIServiceSpec{Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: p.group, VersionPriority: p.version}}
		switch {
		case gv.Group == metrics.GroupName: // whoever brings a better one takes it over
		case builtIn[gv]:
			s.Labels = map[string]string{managed: onStart}
		default:
			s.Labels = map[string]string{managed: always}
		}
		out[s.Name] = s
	})
	return out
}

// versions calls f for each group version of a table.
func versions(t *resource.Table, f func(schema.GroupVersion)) {
	seen := map[schema.GroupVersion]bool{}
	for _, d := range t.Definitions {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			if !seen[gv] {
				seen[gv] = true
				f(gv)
			}
		}
	}
}

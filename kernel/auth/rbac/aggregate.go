package rbac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
)

// aggregate collects the rules of the roles that a role's selectors match, in
// the order of their names, each rule once.
func aggregate(r *rbacv1.ClusterRole, from []*rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	sorted := append([]*rbacv1.ClusterRole(nil), from...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	var out []rbacv1.PolicyRule
	for i := range r.AggregationRule.ClusterRoleSelectors {
		sel, err := metav1.LabelSelectorAsSelector(&r.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, fmt.Errorf("role %s: %w", r.Name, err)
		}
		for _, x := range sorted {
			if x.Name == r.Name || !sel.Matches(labels.Set(x.Labels)) {
				continue
			}
			for _, rule := range x.Rules {
				if !containsRule(out, rule) {
					out = append(out, rule)
				}
			}
		}
	}
	return out, nil
}

func containsRule(list []rbacv1.PolicyRule, r rbacv1.PolicyRule) bool {
	for i := range list {
		if equality.Semantic.DeepEqual(list[i], r) {
			return true
		}
	}
	return false
}

// Aggregator keeps the rules of aggregated ClusterRoles up to date.
type Aggregator struct {
	Registry  registry.Registry
	Informers *informer.Metrics // nil: what is followed is not counted
	Log       *slog.Logger      // nil discards
	Clock     clock.Clock       // nil is the real one
}

var clusterRoleTarget = registry.Target{Resource: rbacv1.SchemeGroupVersion.WithResource("clusterroles")}

// Between two tries to write the rules.
const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = 5 * time.Second
)

// Run follows ClusterRoles until ctx ends.
func (a *Aggregator) Run(ctx context.Context) error {
	log := a.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	now := a.Clock
	if now == nil {
		now = clock.RealClock{}
	}
	changed := make(informer.Signal, 1)
	i := informer.New(informer.Config{Name: "role-aggregation", Registry: a.Registry, Target: clusterRoleTarget, Handler: changed, Metrics: a.Informers, Log: log})
	var following sync.WaitGroup
	following.Go(func() { i.Run(ctx) })
	defer following.Wait()
	retry := backoff.New(firstRetry, maxRetry)
	var again <-chan time.Time // nil: nothing failed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		}
		again = nil
		switch err := a.Sync(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			again = now.After(retry.Failed(log, "cluster roles are not aggregated", err))
		default:
			retry.Succeeded(log)
		}
	}
}

// Sync writes the rules of every aggregated role that are not as they should
// be, once.
func (a *Aggregator) Sync(ctx context.Context) error {
	l, err := a.Registry.List(ctx, clusterRoleTarget, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var every []*rbacv1.ClusterRole
	for _, o := range l.Items {
		if r, ok := o.Obj.(*rbacv1.ClusterRole); ok {
			every = append(every, r)
		}
	}
	var errs []error
	for _, r := range every {
		if r.AggregationRule == nil || r.DeletionTimestamp != nil {
			continue
		}
		rules, err := aggregate(r, every)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if equality.Semantic.DeepEqual(rules, r.Rules) {
			continue
		}
		err = a.write(ctx, r, rules)
		// A conflict or a deletion comes back as an event.
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("role %s: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}

// aggregation is who owns the rules of aggregated roles.
const aggregation = "clusterrole-aggregation-controller"

// applied is the configuration that is applied to a role.
type applied struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name string    `json:"name"`
		UID  types.UID `json:"uid"` // of this one, and none is made
	} `json:"metadata"`
	Rules []rbacv1.PolicyRule `json:"rules,omitempty"`
}

// write makes a role have the rules: it applies them, as upstream's controller does, so
// that who applies the role without rules takes none of them away. Rules that were
// written by an update, as they were in older versions, stay when none are applied; those
// are updated away.
func (a *Aggregator) write(ctx context.Context, r *rbacv1.ClusterRole, rules []rbacv1.PolicyRule) error {
	c := applied{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"}, Rules: rules}
	c.Metadata.Name, c.Metadata.UID = r.Name, r.UID
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	t := clusterRoleTarget
	t.Name = r.Name
	res, err := a.Registry.Patch(ctx, t, types.ApplyPatchType, body, registry.WriteOptions{FieldManager: aggregation, Force: true})
	if err != nil {
		return err
	}
	now, ok := res.Object.Obj.(*rbacv1.ClusterRole)
	if !ok || equality.Semantic.DeepEqual(rules, now.Rules) {
		return nil
	}
	next := now.DeepCopy()
	next.Rules = rules
	_, err = a.Registry.Update(ctx, t, next, registry.WriteOptions{FieldManager: aggregation})
	return err
}

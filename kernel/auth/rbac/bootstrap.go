package rbac

import (
	"context"
	_ "embed" // the policy
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-helpers/auth/rbac/validation"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/registry"
)

//go:embed policy.yaml
var policyYAML []byte

const (
	autoUpdate     = "rbac.authorization.kubernetes.io/autoupdate"
	bootstrapLabel = "kubernetes.io/bootstrapping"
	aggregateLabel = "rbac.authorization.k8s.io/aggregate-to-"
	fieldOwner     = "pintle-rbac"
)

// Policy is a set of roles and bindings.
type Policy struct {
	ClusterRoles        []*rbacv1.ClusterRole
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding
	Roles               []*rbacv1.Role
	RoleBindings        []*rbacv1.RoleBinding
}

type policyFile struct {
	ClusterRoles []policyRole `json:"clusterRoles"`
	Roles        []policyRole `json:"roles"`
}

type policyRole struct {
	Name       string       `json:"name"`
	Namespace  string       `json:"namespace"`
	Aggregated bool         `json:"aggregated"`
	Aggregate  []string     `json:"aggregate"`
	Bind       *[]string    `json:"bind"`
	Rules      []policyRule `json:"rules"`
}

type policyRule struct {
	Verbs     []string `json:"verbs"`
	Groups    []string `json:"groups"`
	Resources []string `json:"resources"`
	Names     []string `json:"names"`
	URLs      []string `json:"urls"`
}

// DefaultPolicy is what every cluster has. Rules of aggregated roles are
// filled in already.
func DefaultPolicy() (*Policy, error) {
	var f policyFile
	if err := yaml.UnmarshalStrict(policyYAML, &f); err != nil {
		return nil, fmt.Errorf("default policy: %w", err)
	}
	p := &Policy{}
	for _, r := range f.ClusterRoles {
		p.ClusterRoles = append(p.ClusterRoles, r.clusterRole())
		if r.Bind != nil {
			subjects, err := r.subjects()
			if err != nil {
				return nil, fmt.Errorf("default policy: %w", err)
			}
			p.ClusterRoleBindings = append(p.ClusterRoleBindings, &rbacv1.ClusterRoleBinding{
				ObjectMeta: policyRole{Name: r.Name}.meta(), RoleRef: r.ref("ClusterRole"), Subjects: subjects})
		}
	}
	for _, r := range f.Roles {
		p.Roles = append(p.Roles, &rbacv1.Role{ObjectMeta: r.meta(), Rules: r.rules()})
		if r.Bind != nil {
			subjects, err := r.subjects()
			if err != nil {
				return nil, fmt.Errorf("default policy: %w", err)
			}
			p.RoleBindings = append(p.RoleBindings, &rbacv1.RoleBinding{
				ObjectMeta: policyRole{Name: r.Name, Namespace: r.Namespace}.meta(), RoleRef: r.ref("Role"), Subjects: subjects})
		}
	}
	// edit collects view, admin collects edit: as many rounds as there are
	// levels settle it.
	for range 3 {
		for _, r := range p.ClusterRoles {
			if r.AggregationRule != nil {
				rules, err := aggregate(r, p.ClusterRoles)
				if err != nil {
					return nil, fmt.Errorf("default policy: %w", err)
				}
				r.Rules = rules
			}
		}
	}
	return p, nil
}

func (r policyRole) meta() metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Name: r.Name, Namespace: r.Namespace,
		Labels:      map[string]string{bootstrapLabel: "rbac-defaults"},
		Annotations: map[string]string{autoUpdate: "true"},
	}
	for _, to := range r.Aggregate {
		m.Labels[aggregateLabel+to] = "true"
	}
	return m
}

func (r policyRole) clusterRole() *rbacv1.ClusterRole {
	out := &rbacv1.ClusterRole{ObjectMeta: r.meta(), Rules: r.rules()}
	if r.Aggregated {
		out.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
			{MatchLabels: map[string]string{aggregateLabel + r.Name: "true"}},
		}}
	}
	return out
}

func (r policyRole) rules() []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, x := range r.Rules {
		var verbs []string
		for _, v := range x.Verbs {
			switch v {
			case "read":
				verbs = append(verbs, "get", "list", "watch")
			case "write":
				verbs = append(verbs, "create", "delete", "deletecollection", "patch", "update")
			default:
				verbs = append(verbs, v)
			}
		}
		out = append(out, rbacv1.PolicyRule{Verbs: verbs, APIGroups: x.Groups, Resources: x.Resources, ResourceNames: x.Names, NonResourceURLs: x.URLs})
	}
	return out
}

func (r policyRole) ref(kind string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: r.Name}
}

// subjects are those to whom the role is bound.
func (r policyRole) subjects() (out []rbacv1.Subject, err error) {
	for _, s := range *r.Bind {
		kind, name, _ := strings.Cut(s, "/")
		sub := rbacv1.Subject{Kind: kind, Name: name, APIGroup: rbacv1.GroupName}
		switch kind {
		case rbacv1.UserKind, rbacv1.GroupKind:
		case rbacv1.ServiceAccountKind:
			sub.APIGroup = ""
			sub.Namespace, sub.Name, _ = strings.Cut(name, "/")
		default:
			return nil, fmt.Errorf("role %s: subject %q", r.Name, s)
		}
		out = append(out, sub)
	}
	return out, nil
}

// Ensure creates what is missing of a policy and extends what lacks rules or
// subjects. Objects whose annotation autoupdate is "false" are left alone, as
// are rules and subjects that people added.
func (p *Policy) Ensure(ctx context.Context, reg registry.Registry) error {
	var work []func() error
	for _, r := range p.ClusterRoles {
		work = append(work, func() error { return ensure(ctx, reg, clusterRoles.Resource, "", r, extendClusterRole) })
	}
	for _, r := range p.Roles {
		work = append(work, func() error { return ensure(ctx, reg, roles.Resource, r.Namespace, r, extendRole) })
	}
	for _, b := range p.ClusterRoleBindings {
		work = append(work, func() error { return ensure(ctx, reg, clusterRoleBindings.Resource, "", b, extendClusterBinding) })
	}
	for _, b := range p.RoleBindings {
		work = append(work, func() error { return ensure(ctx, reg, roleBindings.Resource, b.Namespace, b, extendBinding) })
	}
	return together(work)
}

// ensuring is how many objects are written at the same time: a new cluster waits
// for the disk a few times, and not for each of two hundred objects.
const ensuring = 32

// together does the work, in any order, and returns all errors.
func together(work []func() error) error {
	errs := make([]error, len(work))
	places := make(chan struct{}, ensuring)
	var group sync.WaitGroup
	for i, f := range work {
		places <- struct{}{}
		group.Go(func() {
			errs[i] = f()
			<-places
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// object is one of the rbac types.
type object[T any] interface {
	*T
	metav1.Object
	runtime.Object
}

func extendClusterRole(have, want *rbacv1.ClusterRole) bool {
	changed := extendLabels(have, want)
	if want.AggregationRule != nil {
		if have.AggregationRule == nil {
			have.AggregationRule, changed = want.AggregationRule, true
		}
		return changed // its rules are the aggregation's
	}
	return extendRules(&have.Rules, want.Rules) || changed
}

func extendRole(have, want *rbacv1.Role) bool {
	changed := extendLabels(have, want)
	return extendRules(&have.Rules, want.Rules) || changed
}

func extendClusterBinding(have, want *rbacv1.ClusterRoleBinding) bool {
	changed := extendLabels(have, want)
	return have.RoleRef == want.RoleRef && extendSubjects(&have.Subjects, want.Subjects) || changed
}

func extendBinding(have, want *rbacv1.RoleBinding) bool {
	changed := extendLabels(have, want)
	return have.RoleRef == want.RoleRef && extendSubjects(&have.Subjects, want.Subjects) || changed
}

// extendSubjects is for a binding of the role that is wanted: one of another role
// was made on purpose, and cannot be changed.
func extendSubjects(have *[]rbacv1.Subject, want []rbacv1.Subject) (changed bool) {
	for _, s := range want {
		if !slices.Contains(*have, s) {
			*have, changed = append(*have, s), true
		}
	}
	return changed
}

func extendRules(have *[]rbacv1.PolicyRule, want []rbacv1.PolicyRule) bool {
	ok, missing := validation.Covers(*have, want)
	if ok {
		return false
	}
	*have = append(*have, missing...)
	return true
}

func extendLabels(have, want metav1.Object) bool {
	labels, changed := have.GetLabels(), false
	for k, v := range want.GetLabels() {
		if _, ok := labels[k]; ok {
			continue
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[k], changed = v, true
	}
	have.SetLabels(labels)
	return changed
}

func ensure[T any, P object[T]](ctx context.Context, reg registry.Registry, res, namespace string, want P, extend func(have, want P) bool) error {
	t := registry.Target{Resource: rbacv1.SchemeGroupVersion.WithResource(res), Namespace: namespace, Name: want.GetName()}
	opts := registry.WriteOptions{FieldManager: fieldOwner}
	// Another server may do the same at the same time.
	for range 5 {
		got, err := reg.Get(ctx, t, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			ct := t
			ct.Name = ""
			if _, err = reg.Create(ctx, ct, want.DeepCopyObject(), opts); apierrors.IsAlreadyExists(err) {
				continue
			}
			return wrap(err, res, want.GetName())
		}
		if err != nil {
			return wrap(err, res, want.GetName())
		}
		have, ok := got.Obj.DeepCopyObject().(P)
		if !ok {
			return fmt.Errorf("%s %s is a %T", res, want.GetName(), got.Obj)
		}
		if have.GetAnnotations()[autoUpdate] == "false" || !extend(have, want) {
			return nil
		}
		if _, err = reg.Update(ctx, t, have, opts); !apierrors.IsConflict(err) {
			return wrap(err, res, want.GetName())
		}
	}
	return fmt.Errorf("%s %s: others keep changing it", res, want.GetName())
}

func wrap(err error, res, name string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", res, name, err)
}

// Package author decides who may make and change a Plugin: whoever says what
// code runs with which permissions could do by it all that the plugin may, and
// as a process on the server's machine more than that. It is an admission rule,
// keeps nothing and is safe for concurrent use.
package author

import (
	"context"
	"errors"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// VerbUseProcessHost is the verb on plugins of those who may run code as a
// process beside the server.
const VerbUseProcessHost = "use-process-host"

// Granter tells whether a user may give rules away by writing an object of a
// resource: because he holds them, or may escalate there. Its error is the
// answer. rbac.Escalation is one.
type Granter interface {
	MayGrant(ctx context.Context, u user.Info, gr schema.GroupResource, namespace, name string, rules []rbacv1.PolicyRule) error
}

// Rule refuses a Plugin whose author does not hold the permissions that it asks
// for, as a role is refused whose author does not hold its rules, and one of the
// process host by those who may not use that. It must fail closed.
type Rule struct {
	granter Granter
	z       authorizer.UnconditionalAuthorizer
}

var errNobody = errors.New("no user on the request")

// New makes the rule. z answers whether the author may use the process host.
func New(g Granter, z authorizer.UnconditionalAuthorizer) *Rule { return &Rule{g, z} }

// Validate implements admission.Validator.
func (r *Rule) Validate(ctx context.Context, a *admission.Attributes) error {
	gr := v1alpha1.Plugins.GroupResource()
	if a.Resource.GroupResource() != gr {
		return nil
	}
	if a.User == nil {
		return apierrors.NewForbidden(gr, a.Name, errNobody)
	}
	if slices.Contains(a.User.GetGroups(), user.SystemPrivilegedGroup) {
		return nil
	}
	p, ok := a.Object.(*v1alpha1.Plugin)
	if !ok {
		return nil
	}
	if old, ok := a.Old.(*v1alpha1.Plugin); ok && sameCode(&old.Spec, &p.Spec) {
		return nil
	}
	if err := r.granter.MayGrant(ctx, a.User, gr, "", p.Name, p.Spec.Permissions); err != nil {
		return err
	}
	return r.host(ctx, a.User, p)
}

// sameCode tells that a change leaves alone what runs and what it may do. Who
// brings other code or another configuration to somebody's permissions takes
// them over.
func sameCode(a, b *v1alpha1.PluginSpec) bool {
	return a.Host == b.Host && a.Digest == b.Digest && a.Plugin == b.Plugin &&
		equality.Semantic.DeepEqual(a.Config, b.Config) && equality.Semantic.DeepEqual(a.Permissions, b.Permissions)
}

func (r *Rule) host(ctx context.Context, u user.Info, p *v1alpha1.Plugin) error {
	if p.Spec.Host != v1alpha1.HostProcess {
		return nil
	}
	gvr := v1alpha1.Plugins
	d, _, err := r.z.Authorize(ctx, authorizer.AttributesRecord{User: u, Verb: VerbUseProcessHost, Name: p.Name,
		APIGroup: gvr.Group, APIVersion: gvr.Version, Resource: gvr.Resource, ResourceRequest: true})
	if d == authorizer.DecisionAllow {
		return nil
	}
	why := fmt.Errorf("spec.host: user %q may not run code as a process on the server's machine: that takes the verb %q on plugins.%s; the host wasm takes none",
		u.GetName(), VerbUseProcessHost, gvr.Group)
	return apierrors.NewForbidden(gvr.GroupResource(), p.Name, errors.Join(why, err))
}

var _ admission.Validator = (*Rule)(nil)

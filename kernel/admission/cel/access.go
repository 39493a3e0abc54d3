package cel

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
)

// Access is the rule that whoever writes a policy or a binding may read the
// parameters that it names: by what a policy says of requests he would learn them.
// Its answers are upstream's.
type Access struct {
	Kinds      *dynamic.Kinds
	Objects    *dynamic.Objects
	Authorizer authorizer.UnconditionalAuthorizer
}

// Rule is the rule with what it is asked about.
func (x *Access) Rule() admission.Rule {
	return admission.Rule{Validate: x, Match: admission.Match{
		Operations: []admission.Operation{admission.Create, admission.Update}, Groups: []string{dynamic.Group},
		Resources: []string{validatingPolicies.Resource, validatingBindings.Resource, mutatingPolicies.Resource, mutatingBindings.Resource},
	}}
}

// Validate implements admission.Validator.
func (x *Access) Validate(ctx context.Context, a *admission.Attributes) error {
	var path string
	var err error
	switch a.Resource.Resource {
	case validatingPolicies.Resource, mutatingPolicies.Resource:
		path, err = "paramKind", x.kind(ctx, a.User, kindOf(a.Object), kindOf(a.Old))
	default:
		path, err = "paramRef", x.ref(ctx, a, refOf(a.Object), refOf(a.Old))
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return apierrors.NewInvalid(a.Kind.GroupKind(), a.Name, field.ErrorList{field.Forbidden(field.NewPath("spec", path), err.Error())})
}

// kindOf is the kind of parameters that a policy names.
func kindOf(obj runtime.Object) *admissionv1.ParamKind {
	switch p := obj.(type) {
	case *admissionv1.ValidatingAdmissionPolicy:
		return p.Spec.ParamKind
	case *admissionv1.MutatingAdmissionPolicy:
		return p.Spec.ParamKind
	}
	return nil
}

// reference is what a binding names: a policy, and parameters of its kind.
type reference struct {
	policy schema.GroupVersionResource
	name   string
	param  *admissionv1.ParamRef
}

func refOf(obj runtime.Object) reference {
	switch b := obj.(type) {
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		return reference{validatingPolicies, b.Spec.PolicyName, b.Spec.ParamRef}
	case *admissionv1.MutatingAdmissionPolicyBinding:
		return reference{mutatingPolicies, b.Spec.PolicyName, b.Spec.ParamRef}
	}
	return reference{}
}

// wide is what has to be allowed when it is not known which resource is read.
func wide(u user.Info, verb string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: u, Verb: verb, ResourceRequest: true, APIGroup: "*", APIVersion: "*", Resource: "*"}
}

// kind checks that u may get all objects of a kind, unless the policy named it before.
func (x *Access) kind(ctx context.Context, u user.Info, kind, old *admissionv1.ParamKind) error {
	if kind == nil || equality.Semantic.DeepEqual(kind, old) || mayEscalate(u) {
		return nil
	}
	q := wide(u, "get")
	q.Name, q.Namespace = "*", "*"
	x.narrow(&q, kind)
	switch ok, err := x.allowed(ctx, q); {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf(`user %v must have "get" permission on all objects of the referenced paramKind (kind=%s, apiVersion=%s)`, u, kind.Kind, kind.APIVersion)
	}
	return nil
}

// narrow makes a question one about the resource of a kind, as far as that is known.
func (x *Access) narrow(q *authorizer.AttributesRecord, kind *admissionv1.ParamKind) (parsed, served bool) {
	gv, resource, parsed, served := (&params{kinds: x.Kinds}).resource(kind)
	if parsed {
		q.APIGroup, q.APIVersion = gv.Group, gv.Version
	}
	if served {
		q.Resource = resource
	}
	return parsed, served
}

// ref checks that the user may read what a binding refers to, unless it did before.
func (x *Access) ref(ctx context.Context, a *admission.Attributes, ref, old reference) error {
	if ref.param == nil || ref.name == old.name && equality.Semantic.DeepEqual(ref.param, old.param) || mayEscalate(a.User) {
		return nil
	}
	q := wide(a.User, "get")
	if q.Name, q.Namespace = ref.param.Name, ref.param.Namespace; q.Name == "" {
		q.Verb = "list"
	}
	unknown := "" // why it is not known what is read
	policy, err := x.Objects.Get(ctx, ref.policy, "", ref.name)
	if err != nil {
		unknown = "unable to get policy " + ref.name
	} else if kind := kindOf(policy); kind != nil {
		switch parsed, served := x.narrow(&q, kind); {
		case !parsed:
			unknown = fmt.Sprintf("unable to parse paramKind %v", kind)
		case !served:
			unknown = fmt.Sprintf("unable to resolve paramKind %v", kind)
		}
	}
	switch ok, err := x.allowed(ctx, q); {
	case err != nil:
		return fmt.Errorf("failed to authorize request: %w", err)
	case ok:
		return nil
	case unknown != "":
		return fmt.Errorf(`%s to determine minimum required permissions and user %v does not have "%v" permission for all groups, versions and resources`, unknown, a.User, q.Verb)
	}
	return fmt.Errorf(`user %v does not have "%v" permission on the object referenced by paramRef`, a.User, q.Verb)
}

var errNobody = errors.New("cannot identify user to authorize read access to parameters")

func (x *Access) allowed(ctx context.Context, q authorizer.AttributesRecord) (bool, error) {
	if q.User == nil {
		return false, errNobody
	}
	d, _, err := x.Authorizer.Authorize(ctx, q)
	return err == nil && d == authorizer.DecisionAllow, err
}

// mayEscalate: whoever may do everything is not asked.
func mayEscalate(u user.Info) bool {
	if u == nil {
		return false
	}
	for _, g := range u.GetGroups() {
		if g == user.SystemPrivilegedGroup {
			return true
		}
	}
	return false
}

var _ admission.Validator = (*Access)(nil)

package impersonation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// mode is a way to act as another.
type mode struct {
	name    string // "" is the first form
	applies func(wanted *user.DefaultInfo, by user.Info) bool
	// ofServiceAccount: the user is a service account on the node that it wants to be,
	// whichever that is.
	ofServiceAccount bool
}

// modes are asked in this order, the narrowest first.
var modes = []*mode{
	{name: "associated-node", ofServiceAccount: true, applies: func(wanted *user.DefaultInfo, by user.Info) bool {
		node, ok := nodeName(wanted.Name)
		_, _, err := serviceaccount.SplitUsername(by.GetName())
		at := by.GetExtra()[serviceaccount.NodeNameKey]
		return ok && nameOnly(wanted) && err == nil && len(at) == 1 && at[0] == node
	}},
	{name: "arbitrary-node", applies: func(wanted *user.DefaultInfo, _ user.Info) bool {
		_, ok := nodeName(wanted.Name)
		return ok && nameOnly(wanted)
	}},
	{name: "serviceaccount", applies: func(wanted *user.DefaultInfo, _ user.Info) bool {
		_, _, err := serviceaccount.SplitUsername(wanted.Name)
		return err == nil && nameOnly(wanted)
	}},
	{name: "user-info", applies: func(wanted *user.DefaultInfo, _ user.Info) bool {
		_, node := nodeName(wanted.Name)
		_, _, err := serviceaccount.SplitUsername(wanted.Name)
		return !node && err != nil
	}},
	{applies: func(*user.DefaultInfo, user.Info) bool { return true }},
}

func (m *mode) constrained() bool { return m.name != "" }

func (m *mode) verb() string {
	if !m.constrained() {
		return "impersonate"
	}
	return "impersonate:" + m.name
}

// nodeName is the node that a user is the agent of, by his name alone.
func nodeName(name string) (string, bool) {
	node, ok := strings.CutPrefix(name, "system:node:")
	return node, ok && len(validation.NameIsDNSSubdomain(node, false)) == 0
}

func nameOnly(u *user.DefaultInfo) bool {
	return u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0
}

// onVerb asks whether the request may be sent as somebody of a kind.
type onVerb struct {
	authorizer.Attributes
	mode string
}

func (a onVerb) GetVerb() string { return "impersonate-on:" + a.mode + ":" + a.Attributes.GetVerb() }

// onItsNode is what authorizers see of a service account that wants to be its own node:
// that it is one, which has been checked, and not which, so that the answer is the same
// on all nodes.
type onItsNode struct{ authorizer.Attributes }

func (a onItsNode) GetUser() user.Info { return anyNode{a.Attributes.GetUser()} }

type anyNode struct{ user.Info }

func (u anyNode) GetExtra() map[string][]string {
	return map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.Info.GetExtra()))}
}

// ask returns nil or Forbidden.
func ask(ctx context.Context, z authorizer.UnconditionalAuthorizer, a authorizer.Attributes) error {
	d, reason, err := z.Authorize(ctx, a)
	switch {
	case d == authorizer.DecisionAllow:
		return nil
	case apierrors.IsForbidden(err):
		return err
	case err != nil && reason != "":
		reason = err.Error() + ": " + reason
	case err != nil:
		reason = err.Error()
	}
	return responsewriters.ForbiddenStatusError(a, reason)
}

// validateExtra is stricter than the first form is.
func validateExtra(extra map[string][]string) error {
	for key, vs := range extra {
		switch {
		case key == "":
			return errors.New("impersonating the empty string key in extra is not allowed")
		case key != strings.ToLower(key):
			return fmt.Errorf("impersonating a non-lowercase key in extra is not allowed: %q", key)
		case len(vs) == 0:
			return errors.New("impersonating empty values in extra is not allowed")
		case slices.Contains(vs, ""):
			return errors.New("impersonating the empty string value in extra is not allowed")
		}
		if err := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra", "key"), key).ToAggregate(); err != nil {
			return fmt.Errorf("impersonating an invalid key in extra is not allowed: %w", err)
		}
	}
	return nil
}

// values counts keys and values, whichever are more.
func values(extra map[string][]string) int {
	n := 0
	for _, vs := range extra {
		n += len(vs)
	}
	return max(n, len(extra))
}

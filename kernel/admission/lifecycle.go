package admission

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// LifecycleName is the name under which the namespace rule stands in a chain;
// its order is before every other rule.
const (
	LifecycleName  = "NamespaceLifecycle"
	LifecycleOrder = OrderLifecycle
)

// immortalNamespaces cannot be deleted.
var immortalNamespaces = []string{"default", "kube-system", "kube-public"}

// NamespaceState answers whether a namespace exists and whether it is being
// deleted. It must see every write that finished before the call.
type NamespaceState func(ctx context.Context, name string) (exists, terminating bool, err error)

// NewLifecycle is the one rule that every cluster has: objects are created
// only in namespaces that exist and are not being deleted, and some namespaces
// cannot be deleted. Its answers are upstream's.
func NewLifecycle(state NamespaceState) Rule {
	return Rule{Mutate: lifecycle{state}, ReadOnly: true, Match: Match{Operations: []Operation{Create, Delete}}}
}

type lifecycle struct{ state NamespaceState }

// localReviews answer about a namespace that may not exist: to refuse them
// would tell which namespaces do.
var localReviews = schema.GroupResource{Group: "authorization.k8s.io", Resource: "localsubjectaccessreviews"}

func (l lifecycle) Mutate(ctx context.Context, a *Attributes) error {
	gr := a.Resource.GroupResource()
	if gr == (schema.GroupResource{Resource: "namespaces"}) {
		return immortal(a, gr)
	}
	if a.Operation != Create || a.Namespace == "" || gr == localReviews {
		return nil
	}
	exists, terminating, err := l.state(ctx, a.Namespace)
	switch {
	case err != nil:
		return apierrors.NewInternalError(err)
	case !exists:
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, a.Namespace)
	case terminating:
		return beingTerminated(a, gr)
	}
	return nil
}

func immortal(a *Attributes, gr schema.GroupResource) error {
	if a.Operation != Delete || a.Subresource != "" {
		return nil
	}
	for _, name := range immortalNamespaces {
		if a.Name == name {
			return apierrors.NewForbidden(gr, a.Name, fmt.Errorf("this namespace may not be deleted"))
		}
	}
	return nil
}

// namespaceTerminating is corev1.NamespaceTerminatingCause, spelled here
// because the kernel knows no kinds.
const namespaceTerminating metav1.CauseType = "NamespaceTerminating"

func beingTerminated(a *Attributes, gr schema.GroupResource) error {
	err := apierrors.NewForbidden(gr, nameOf(a),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.Namespace))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    namespaceTerminating,
		Message: fmt.Sprintf("namespace %s is being terminated", a.Namespace),
		Field:   "metadata.namespace",
	})
	return err
}

// nameOf is the name that a refusal shows for an object that may not have
// one yet.
func nameOf(a *Attributes) string {
	if a.Name != "" {
		return a.Name
	}
	if a.Object != nil {
		if o, err := meta.Accessor(a.Object); err == nil {
			if o.GetName() != "" {
				return o.GetName()
			}
			if o.GetGenerateName() != "" {
				return o.GetGenerateName()
			}
		}
	}
	return "Unknown"
}

package registry

import (
	"context"
	"errors"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
)

var errOptionsChanged = errors.New("an admission policy changes the options of a connect request, which cannot be done")

// AdmitConnect asks the admission rules about u's connect request to the
// subresource of t, whose options they see. Nothing is stored. Nobody is refused,
// as by the verbs.
func (c *Core) AdmitConnect(ctx context.Context, u user.Info, t Target, options runtime.Object) error {
	if u == nil || u.GetName() == "" {
		return refuse(t)
	}
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return err
	}
	r, err := caller{c, u}.newRequest(verbCreate, k, t, WriteOptions{})
	if err != nil || r.pass.Empty() {
		return err
	}
	a := r.attributes(admission.Connect, options.DeepCopyObject(), nil)
	if err := r.pass.Mutate(ctx, a); err != nil {
		return err
	}
	if a.Mutated() && !apiequality.Semantic.DeepEqual(options, a.Object) {
		return apierrors.NewInternalError(errOptionsChanged)
	}
	return r.pass.Validate(ctx, a)
}

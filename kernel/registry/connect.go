package registry

import (
	"context"
	"errors"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/admission"
)

var errOptionsChanged = errors.New("an admission policy changes the options of a connect request, which cannot be done")

// AdmitConnect asks the admission rules about a connect request to the
// subresource of t, whose options they see. Nothing is stored.
func (c *Core) AdmitConnect(ctx context.Context, t Target, options runtime.Object) error {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return err
	}
	r, err := c.newRequest(verbCreate, k, t, WriteOptions{})
	if err != nil || r.pass.Empty() {
		return err
	}
	a := r.attributes(ctx, admission.Connect, options.DeepCopyObject(), nil)
	if err := r.pass.Mutate(ctx, a); err != nil {
		return err
	}
	if a.Mutated() && !apiequality.Semantic.DeepEqual(options, a.Object) {
		return apierrors.NewInternalError(errOptionsChanged)
	}
	return r.pass.Validate(ctx, a)
}

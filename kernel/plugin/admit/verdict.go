package admit

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/audit"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/sdk/wire"
)

// verdict is all that a policy says of a request.
type verdict struct {
	wire.Verdict
	wire.Findings
}

// tell passes on what the client and the audit log are to know, whatever is decided.
func (v *verdict) tell(ctx context.Context, a *admission.Attributes, plugin string) {
	for _, w := range v.Warnings {
		a.Warn(w)
	}
	for i := 0; i+1 < len(v.Annotations); i += 2 {
		audit.AddAuditAnnotation(ctx, annotation(plugin, v.Annotations[i]), v.Annotations[i+1])
	}
}

// annotation is the key of what a plugin notes for the audit log. What the server
// itself says there, of who asked, why he may and what became of it, is not for plugins
// to say.
func annotation(plugin, key string) string {
	domain, name, whole := strings.Cut(key, "/")
	switch {
	case !whole:
		name = key
	case domain != "k8s.io" && !strings.HasSuffix(domain, ".k8s.io"):
		return key
	}
	return plugin + ".plugins.pintle.dev/" + name
}

// faults are the refused fields.
func (v *verdict) faults() (list field.ErrorList) {
	for _, f := range v.Invalid {
		list = append(list, &field.Error{Type: field.ErrorTypeInvalid, Field: f.Field, BadValue: f.Value, Detail: f.Detail})
	}
	return list
}

// why is the refusal in a line.
func (v *verdict) why() string {
	if len(v.Invalid) > 0 {
		return v.faults().ToAggregate().Error()
	}
	return v.Message
}

// refusal is the error that the chain answers with.
func (v *verdict) refusal(a *admission.Attributes) error {
	if len(v.Invalid) > 0 {
		return apierrors.NewInvalid(a.Kind.GroupKind(), a.Name, v.faults())
	}
	d := &admission.Denial{Message: v.Message}
	if v.Forbidden {
		d.Reason = metav1.StatusReasonForbidden
	}
	return d
}

package admission

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErrFailed marks an error of a rule as a failure to judge rather than a
// refusal: a plugin that trapped, a module that is not loaded. Wrap it; the
// rule's failure policy decides.
var ErrFailed = errors.New("admission rule failed")

// Denial refuses a request with more than a message. A rule may return any
// error; a plain one is a Denial with reason Forbidden.
type Denial struct {
	Message string
	// Reason, if empty, answers 403 and names the rule that refused.
	// StatusReasonForbidden answers as the API itself does, without the rule's
	// name; StatusReasonInvalid answers 422 with the causes.
	Reason metav1.StatusReason
	Causes []metav1.StatusCause
}

func (d *Denial) Error() string { return d.Message }

// Denyf refuses a request.
func Denyf(format string, args ...any) error {
	return &Denial{Message: fmt.Sprintf(format, args...)}
}

// status words a rule's refusal as the client sees it. A Status error passes
// unchanged: a built-in rule words its own answer.
func status(rule string, a *Attributes, err error) error {
	var se apierrors.APIStatus
	if errors.As(err, &se) {
		return err
	}
	d := &Denial{Message: err.Error()}
	errors.As(err, &d)
	if d.Reason == metav1.StatusReasonForbidden {
		return apierrors.NewForbidden(a.Resource.GroupResource(), nameOf(a), errors.New(d.Message))
	}
	code, reason := int32(http.StatusForbidden), metav1.StatusReasonForbidden
	if d.Reason == metav1.StatusReasonInvalid {
		code, reason = http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    code,
		Reason:  reason,
		Message: fmt.Sprintf("admission policy %q denied the request: %s", rule, d.Message),
		Details: &metav1.StatusDetails{
			Name: a.Name, Group: a.Resource.Group, Kind: a.Resource.Resource, Causes: d.Causes,
		},
	}}
}

// failed words a failure under the policy Fail.
func failed(rule string, err error) error {
	return apierrors.NewInternalError(fmt.Errorf("failed calling admission policy %q: %w", rule, err))
}

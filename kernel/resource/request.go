package resource

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// MaxRequestBytes bounds the body that DecodeRequest takes; it is upstream's
// limit.
const MaxRequestBytes = 3 << 20

// DecodeRequest reads a request's body in a media type (JSON, YAML, Protobuf;
// "" is JSON). defaultGVK stands in for what the body does not name, and says
// in errors what was expected. The object is of the body's version, with that
// version's defaults.
//
// With strict, strictErrs are the complaints about unknown and duplicate
// fields ([StrictError] joins them into upstream's text); obj is valid beside
// them, so that the caller may warn instead of failing. Protobuf has none.
//
// # Errors
// All are apierrors Status errors: BadRequest, RequestEntityTooLarge,
// UnsupportedMediaType, and NotFound when defaultGVK went from the catalog.
func (c *Codec) DecodeRequest(body []byte, mediaType string, defaultGVK *schema.GroupVersionKind, strict bool) (obj runtime.Object, gvk *schema.GroupVersionKind, strictErrs []error, err error) {
	if len(body) > MaxRequestBytes {
		return nil, nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxRequestBytes))
	}
	if err := CheckQuantities(c.scheme, body, mediaType, defaultGVK); err != nil {
		return nil, nil, nil, apierrors.NewBadRequest(err.Error())
	}
	switch mediaType {
	case JSON, "":
		obj, gvk, err = pick(strict, c.jsonStrict, c.json).Decode(body, defaultGVK, nil)
	case YAML:
		obj, gvk, err = pick(strict, c.yamlStrict, c.yaml).Decode(body, defaultGVK, nil)
	case Protobuf:
		obj, gvk, err = c.decodeProto(body, defaultGVK)
	default:
		return nil, nil, nil, unsupportedMediaType()
	}
	if s, ok := runtime.AsStrictDecodingError(err); ok && obj != nil {
		strictErrs, err = s.Errors(), nil
	}
	if runtime.IsNotRegisteredError(err) && gvk != nil && defaultGVK != nil && *gvk == *defaultGVK {
		return nil, gvk, nil, notServed(*gvk)
	}
	if err != nil {
		return nil, gvk, nil, decodeError(err, gvk, defaultGVK, body)
	}
	obj.GetObjectKind().SetGroupVersionKind(*gvk)
	unknown, err := complete(c.types(obj), obj, false)
	if err != nil {
		return nil, gvk, nil, decodeError(err, gvk, defaultGVK, body)
	}
	if strict {
		strictErrs = append(strictErrs, unknown...)
	}
	return obj, gvk, strictErrs, nil
}

// StrictWarnings are the complaints of a request that asked to be warned, one
// text for each line of those that come from YAML: a warning header holds no
// line break.
func StrictWarnings(errs []error) []string {
	var out []string
	for _, err := range errs {
		text := err.Error()
		lines, ok := strings.CutPrefix(strings.TrimPrefix(text, "error converting YAML to JSON: "), "yaml: unmarshal errors:\n")
		if !ok {
			out = append(out, text)
			continue
		}
		for line := range strings.Lines(lines) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// StrictError is the error of a request that asked for strict field
// validation; nil when there is nothing to complain about.
func StrictError(errs []error, gvk schema.GroupVersionKind) error {
	if len(errs) == 0 {
		return nil
	}
	return decodeError(runtime.NewStrictDecodingError(errs), &gvk, &gvk, nil)
}

// Foreign says in upstream's words why obj, which a body brought as got, is no object
// of the kind want; nil when it can be converted into one, as events can whose group
// is another. obj, the caller's, may be changed.
//
// # Errors
//   - BadRequest, of apierrors
func (c *Codec) Foreign(obj runtime.Object, got, want schema.GroupVersionKind) error {
	if got.GroupKind() == want.GroupKind() {
		return nil
	}
	if _, ok := obj.(runtime.Unstructured); ok { // one that upstream's scheme does not have
		return decodeError(runtime.NewNotRegisteredErrForKind(c.scheme.Name(), got), &got, &want, nil)
	}
	to := want.GroupKind().WithVersion(runtime.APIVersionInternal) // the type that upstream reads bodies into
	if !c.scheme.Recognizes(to) {
		to = want
	}
	into, err := c.scheme.New(to)
	if err == nil {
		err = c.scheme.Convert(obj, into, nil)
	}
	if err != nil {
		return decodeError(err, &got, &want, nil)
	}
	return nil
}

func (c *Codec) decodeProto(body []byte, defaultGVK *schema.GroupVersionKind) (runtime.Object, *schema.GroupVersionKind, error) {
	kind, raw, err := openEnvelope(body)
	if err != nil {
		return nil, nil, err
	}
	if defaultGVK != nil {
		if kind.Kind == "" {
			kind.Kind = defaultGVK.Kind
		}
		if kind.Version == "" {
			kind.Group, kind.Version = defaultGVK.Group, defaultGVK.Version
		}
	}
	obj, err := c.unmarshalProto(kind, raw)
	return obj, &kind, err
}

func pick[T any](cond bool, yes, no T) T {
	if cond {
		return yes
	}
	return no
}

// decodeError words a failure as upstream does.
func decodeError(err error, gvk, want *schema.GroupVersionKind, body []byte) error {
	expected := ""
	if want != nil {
		expected = want.Kind
	}
	if gvk != nil && gvk.Kind != "" {
		if expected == "" {
			expected = gvk.Kind
		}
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", gvk.Kind, gvk.Version, expected, err))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", expected, err, summary(body)))
}

// summary shows the beginning of a body: hex for protobuf, text otherwise.
func summary(body []byte) string {
	const n = 30
	switch {
	case len(body) == 0:
		return "<empty>"
	case body[0] == '{' && len(body) > n:
		return string(body[:n]) + " ..."
	case body[0] == '{':
		return string(body)
	case len(body) > n:
		return fmt.Sprintf("%x ...", body[:n])
	}
	return fmt.Sprintf("%x", body)
}

func unsupportedMediaType() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure,
		Code:   http.StatusUnsupportedMediaType,
		Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " +
			strings.Join([]string{JSON, YAML, Protobuf}, ", "),
	}}
}

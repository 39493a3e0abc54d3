package handlers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

func (s *Handlers) create(c *endpoint.Request) error {
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	var o metav1.CreateOptions
	if err := decodeQuery(c.R.URL.Query(), &o); err != nil {
		return err
	}
	if err := invalidOptions("CreateOptions", metavalidation.ValidateCreateOptions(&o)); err != nil {
		return err
	}
	obj, err := s.decodeBody(c, o.FieldValidation)
	if err != nil {
		return err
	}
	if err := setNamespace(obj, c.Target.Namespace); err != nil {
		return err
	}
	s.record(c, obj)
	res, err := c.As(s.Registry).Create(c.R.Context(), c.Target, obj, registry.WriteOptions{
		DryRun:          len(o.DryRun) > 0,
		FieldManager:    fieldManager(o.FieldManager, c.R),
		FieldValidation: directive(o.FieldValidation),
	})
	if err != nil {
		return err
	}
	return s.writeResult(c, http.StatusCreated, a, res)
}

func (s *Handlers) update(c *endpoint.Request) error {
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	var o metav1.UpdateOptions
	if err := decodeQuery(c.R.URL.Query(), &o); err != nil {
		return err
	}
	if err := invalidOptions("UpdateOptions", metavalidation.ValidateUpdateOptions(&o)); err != nil {
		return err
	}
	obj, err := s.decodeBody(c, o.FieldValidation)
	if err != nil {
		return err
	}
	if err := setNamespace(obj, c.Target.Namespace); err != nil {
		return err
	}
	if err := checkName(obj, c.Target); err != nil {
		return err
	}
	s.record(c, obj)
	res, err := c.As(s.Registry).Update(c.R.Context(), c.Target, obj, registry.WriteOptions{
		DryRun:          len(o.DryRun) > 0,
		FieldManager:    fieldManager(o.FieldManager, c.R),
		FieldValidation: directive(o.FieldValidation),
		MayCreate:       s.mayCreate(c),
	})
	if err != nil {
		return err
	}
	return s.writeResult(c, http.StatusOK, a, res)
}

// mayCreate asks for the right to create when a PUT or an apply would.
func (s *Handlers) mayCreate(c *endpoint.Request) func(context.Context, registry.Target) error {
	return func(ctx context.Context, _ registry.Target) error {
		attrs := endpoint.Attributes(c.R)
		attrs.Verb = "create"
		return s.Authorize(ctx, attrs)
	}
}

func (s *Handlers) patch(c *endpoint.Request) error {
	media, err := patchMedia(c)
	if err != nil {
		return err
	}
	if c.Target.Name == "" { // collections of custom resources have such a path
		return apierrors.NewBadRequest("name must be provided")
	}
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	data := body.Of(c.R)
	var o metav1.PatchOptions
	if err := decodeQuery(c.R.URL.Query(), &o); err != nil {
		return err
	}
	pt := types.PatchType(media)
	if err := invalidOptions("PatchOptions", metavalidation.ValidatePatchOptions(&o, pt)); err != nil {
		return err
	}
	audit.From(c.R.Context()).Patch(data, pt)
	res, err := c.As(s.Registry).Patch(c.R.Context(), c.Target, pt, data, registry.WriteOptions{
		DryRun:          len(o.DryRun) > 0,
		FieldManager:    fieldManager(o.FieldManager, c.R),
		FieldValidation: directive(o.FieldValidation),
		Force:           o.Force != nil && *o.Force,
		MayCreate:       s.mayCreate(c),
	})
	if err != nil {
		return err
	}
	return s.writeResult(c, http.StatusOK, a, res)
}

// patchMedia is the media type of a patch. Upstream's router refuses what is none
// of the kind, before built-in kinds.
func patchMedia(c *endpoint.Request) (string, error) {
	offered := endpoint.PatchTypesOf(c.Def)
	if c.Def.Types == nil {
		if err := negotiation.RouteBody(c.R, offered); err != nil {
			return "", err
		}
	}
	media, _, _ := strings.Cut(c.R.Header.Get("Content-Type"), ";")
	if media = strings.TrimSpace(media); !slices.Contains(offered, media) {
		return "", negotiation.UnsupportedMediaType(offered)
	}
	return media, nil
}

// record shows the audit log the object that a request brings.
func (s *Handlers) record(c *endpoint.Request, obj runtime.Object) {
	if q := audit.From(c.R.Context()); q != nil {
		s.recordObject(q, c, obj)
	}
}

func (s *Handlers) recordObject(q *audit.Request, c *endpoint.Request, obj runtime.Object) {
	q.Object(obj, c.Target.Resource, c.Target.Subresource, func(obj runtime.Object) ([]byte, error) {
		return s.Render.Codec.Encode(obj, c.GVK.GroupVersion(), negotiation.JSON)
	})
}

// writeResult answers a write.
func (s *Handlers) writeResult(c *endpoint.Request, code int, a negotiation.Accepted, res *registry.Result) error {
	for _, text := range res.Warnings {
		warning.AddWarning(c.R.Context(), "", text)
	}
	if res.Created {
		code = http.StatusCreated
	}
	switch {
	case res.Answer != nil:
		answer := res.Answer
		if st, ok := answer.(*metav1.Status); ok && st.Code == 0 && code == http.StatusCreated {
			told := *st
			told.Code = int32(code)
			answer = &told
		}
		return s.Render.WriteAnswer(c, code, a, answer)
	case res.Object != nil && (c.Sub == nil || c.Sub.Style != resource.StyleAction):
		return s.Render.WriteObject(c, code, a, res.Object)
	}
	return s.Render.WriteAnswer(c, code, a, &metav1.Status{Status: metav1.StatusSuccess, Code: int32(code)})
}

// decodeBody reads the object of a create or update.
func (s *Handlers) decodeBody(c *endpoint.Request, validation string) (runtime.Object, error) {
	media, err := negotiation.BodyMedia(c.R, s.Render.Offer(c))
	if err != nil {
		return nil, err
	}
	data := body.Of(c.R)
	gvk := c.GVK
	mode := directive(validation)
	obj, got, strict, err := s.Codec.DecodeRequest(data, media, &gvk, mode != metav1.FieldValidationIgnore)
	if err != nil {
		return nil, err
	}
	if got == nil {
		got = &c.GVK
	}
	if mode == metav1.FieldValidationStrict {
		if err := resource.StrictError(strict, *got); err != nil {
			return nil, err
		}
	}
	if c.Sub != nil && slices.Contains(c.Sub.Accepts, *got) {
		if obj, err = s.Codec.ConvertContext(c.R.Context(), obj, c.GVK.GroupVersion()); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		got = &c.GVK
	}
	if c.Def.Types == nil {
		if err := s.Codec.Foreign(obj, *got, c.GVK); err != nil {
			return nil, err
		}
	}
	switch {
	case got.GroupVersion() != c.GVK.GroupVersion():
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)",
			got.GroupVersion(), c.GVK.GroupVersion()))
	case got.Kind != c.GVK.Kind:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: converting (%s.%s) to (%s.%s): unknown conversion",
			got.Kind, got.Version, c.GVK.Kind, got.Version, got.Kind, c.GVK.Version, c.GVK.Kind))
	}
	for _, text := range resource.StrictWarnings(strict) {
		warning.AddWarning(c.R.Context(), "", text)
	}
	return obj, nil
}

func directive(validation string) string {
	if validation == "" {
		return metav1.FieldValidationWarn
	}
	return validation
}

// setNamespace gives an object the namespace of the request, or complains.
func setNamespace(obj runtime.Object, namespace string) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil // a kind without metadata
	}
	switch got := m.GetNamespace(); {
	case got == namespace:
	case got == "":
		m.SetNamespace(namespace)
	case namespace == "":
		m.SetNamespace("")
	default:
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

func noNameMismatch(obj runtime.Object, name string) error {
	m, err := meta.Accessor(obj)
	if err != nil || name == "" || m.GetName() == "" || m.GetName() == name {
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", m.GetName(), name))
}

// checkName holds an update's object against the path.
func checkName(obj runtime.Object, t registry.Target) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: %v", t.Name, err))
	}
	if m.GetName() == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: name must be provided", t.Name))
	}
	if err := noNameMismatch(obj, t.Name); err != nil {
		return err
	}
	if ns := m.GetNamespace(); t.Namespace != "" && ns != "" && ns != t.Namespace {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", ns, t.Namespace))
	}
	return nil
}

package apiserver

import (
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

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

func (s *Server) create(c *call) error {
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	var o metav1.CreateOptions
	if err := decodeQuery(c.r.URL.Query(), &o); err != nil {
		return err
	}
	if err := invalidOptions("CreateOptions", metavalidation.ValidateCreateOptions(&o)); err != nil {
		return err
	}
	obj, err := s.decodeBody(c, o.FieldValidation)
	if err != nil {
		return err
	}
	if err := setNamespace(obj, c.target.Namespace); err != nil {
		return err
	}
	res, err := s.Registry.Create(c.r.Context(), c.target, obj, registry.WriteOptions{
		DryRun:          len(o.DryRun) > 0,
		FieldManager:    fieldManager(o.FieldManager, c.r),
		FieldValidation: directive(o.FieldValidation),
	})
	if err != nil {
		return err
	}
	return s.writeResult(c, http.StatusCreated, a, res)
}

func (s *Server) update(c *call) error {
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	var o metav1.UpdateOptions
	if err := decodeQuery(c.r.URL.Query(), &o); err != nil {
		return err
	}
	if err := invalidOptions("UpdateOptions", metavalidation.ValidateUpdateOptions(&o)); err != nil {
		return err
	}
	obj, err := s.decodeBody(c, o.FieldValidation)
	if err != nil {
		return err
	}
	if err := setNamespace(obj, c.target.Namespace); err != nil {
		return err
	}
	if err := checkName(obj, c.target); err != nil {
		return err
	}
	if c.sub == nil && c.def.Strategy.AllowCreateOnUpdate {
		if err := s.authorizeCreate(c); err != nil {
			return err
		}
	}
	res, err := s.Registry.Update(c.r.Context(), c.target, obj, registry.WriteOptions{
		DryRun:          len(o.DryRun) > 0,
		FieldManager:    fieldManager(o.FieldManager, c.r),
		FieldValidation: directive(o.FieldValidation),
	})
	if err != nil {
		return err
	}
	return s.writeResult(c, http.StatusOK, a, res)
}

// authorizeCreate asks for the right to create when a PUT or an apply would.
func (s *Server) authorizeCreate(c *call) error {
	_, err := s.Registry.Get(c.r.Context(), c.target, metav1.GetOptions{ResourceVersion: "0"})
	if !apierrors.IsNotFound(err) {
		return nil // it exists, or the write itself will say what is wrong
	}
	attrs := attributes(c.r)
	attrs.Verb = "create"
	return s.authorize(c.r.Context(), attrs)
}

var patchTypes = []string{
	string(types.JSONPatchType), string(types.MergePatchType),
	string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType),
}

func (s *Server) patch(c *call) error {
	media, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	media = strings.TrimSpace(media)
	if !slices.Contains(patchTypes, media) {
		return unsupportedMediaType(patchTypes)
	}
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	data := readBody(c.r)
	var o metav1.PatchOptions
	if err := decodeQuery(c.r.URL.Query(), &o); err != nil {
		return err
	}
	pt := types.PatchType(media)
	if err := invalidOptions("PatchOptions", metavalidation.ValidatePatchOptions(&o, pt)); err != nil {
		return err
	}
	if pt == types.ApplyYAMLPatchType {
		if err := s.authorizeCreate(c); err != nil {
			return err
		}
	}
	res, err := s.Registry.Patch(c.r.Context(), c.target, pt, data, registry.WriteOptions{
		DryRun:          len(o.DryRun) > 0,
		FieldManager:    fieldManager(o.FieldManager, c.r),
		FieldValidation: directive(o.FieldValidation),
		Force:           o.Force != nil && *o.Force,
	})
	if err != nil {
		return err
	}
	return s.writeResult(c, http.StatusOK, a, res)
}

// writeResult answers a write.
func (s *Server) writeResult(c *call, code int, a accept, res *registry.Result) error {
	for _, text := range res.Warnings {
		warning.AddWarning(c.r.Context(), "", text)
	}
	if res.Created {
		code = http.StatusCreated
	}
	switch {
	case res.Answer != nil:
		return s.writeAnswer(c, code, a, res.Answer)
	case res.Object != nil && (c.sub == nil || c.sub.Style != resource.StyleAction):
		return s.writeObject(c, code, a, res.Object)
	}
	return s.writeAnswer(c, code, a, &metav1.Status{Status: metav1.StatusSuccess, Code: int32(code)})
}

// decodeBody reads the object of a create or update.
func (s *Server) decodeBody(c *call, validation string) (runtime.Object, error) {
	media, err := bodyMedia(c.r, s.offer(c).media)
	if err != nil {
		return nil, err
	}
	data := readBody(c.r)
	gvk := c.gvk
	mode := directive(validation)
	obj, got, strict, err := s.Codec.DecodeRequest(data, media, &gvk, mode != metav1.FieldValidationIgnore)
	if err != nil {
		return nil, err
	}
	if got == nil {
		got = &c.gvk
	}
	if mode == metav1.FieldValidationStrict {
		if err := resource.StrictError(strict, *got); err != nil {
			return nil, err
		}
	}
	if c.sub != nil && slices.Contains(c.sub.Accepts, *got) {
		if obj, err = s.Codec.Convert(obj, c.gvk.GroupVersion()); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		got = &c.gvk
	}
	switch {
	case got.GroupVersion() != c.gvk.GroupVersion():
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)",
			got.GroupVersion(), c.gvk.GroupVersion()))
	case got.Kind != c.gvk.Kind:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: converting (%s.%s) to (%s.%s): unknown conversion",
			got.Kind, got.Version, c.gvk.Kind, got.Version, got.Kind, c.gvk.Version, c.gvk.Kind))
	}
	for _, text := range resource.StrictWarnings(strict) {
		warning.AddWarning(c.r.Context(), "", text)
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

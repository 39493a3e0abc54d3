package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metascheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metainternalvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/audit"
)

// metaVersion is the version in which query parameters are read.
var metaVersion = metav1.SchemeGroupVersion

func decodeQuery(values url.Values, into runtime.Object) error {
	if err := metascheme.ParameterCodec.DecodeParameters(values, metaVersion, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

func invalidOptions(kind string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

// listOptions reads the query of a list, watch or deletecollection. A name in
// the path (the old /watch/ paths) becomes a field selector. The registry
// brings the labels of fields to the hub's, once: what events.k8s.io calls
// regarding.kind is not a label there any more afterwards.
func listOptions(c *endpoint.Request) (metav1.ListOptions, error) {
	var in metainternal.ListOptions
	var out metav1.ListOptions
	if err := decodeQuery(c.R.URL.Query(), &in); err != nil {
		return out, err
	}
	metainternal.SetListOptionsDefaults(&in, true)
	if err := invalidOptions("ListOptions", metainternalvalidation.ValidateListOptions(&in, true)); err != nil {
		return out, err
	}
	if name := c.Target.Name; name != "" {
		if in.FieldSelector == nil || in.FieldSelector.Empty() {
			in.FieldSelector = fields.OneTermEqualSelector("metadata.name", name)
		} else if got, ok := in.FieldSelector.RequiresExactMatch("metadata.name"); !ok || got != name {
			return out, apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
		}
	}
	if err := metainternal.Convert_internalversion_ListOptions_To_v1_ListOptions(&in, &out, nil); err != nil {
		return out, apierrors.NewBadRequest(err.Error())
	}
	return out, nil
}

// deleteOptions come in the body or, when that is empty, in the query.
func deleteOptions(c *endpoint.Request) (metav1.DeleteOptions, error) {
	var o metav1.DeleteOptions
	data := body.Of(c.R)
	var err error
	if len(data) == 0 {
		err = decodeQuery(c.R.URL.Query(), &o)
	} else {
		if err = decodeDeleteOptions(c.R, data, &o); err == nil {
			recordOptions(c, o)
		}
	}
	if err != nil {
		return o, err
	}
	o.IgnoreStoreReadErrorWithClusterBreakingPotential = nil
	err = invalidOptions("DeleteOptions", metavalidation.ValidateDeleteOptions(&o))
	o.TypeMeta = metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}
	return o, err
}

// recordOptions shows the audit log the options that a body brought.
func recordOptions(c *endpoint.Request, o metav1.DeleteOptions) {
	q := audit.From(c.R.Context())
	if q == nil {
		return
	}
	if o.Kind == "" {
		o.TypeMeta = metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: metav1.SchemeGroupVersion.String()}
	}
	q.Object(&o, c.Target.Resource, c.Target.Subresource, func(obj runtime.Object) ([]byte, error) { return json.Marshal(obj) })
}

// decodeDeleteOptions takes options of any group's version: they are all the
// same type. Upstream's own codec for them says what a body lacks.
func decodeDeleteOptions(r *http.Request, data []byte, o *metav1.DeleteOptions) error {
	media, err := negotiation.BodyMedia(r, negotiation.Offer{Media: negotiation.MediaTypes})
	if err != nil {
		return err
	}
	info, ok := runtime.SerializerInfoForMediaType(metascheme.Codecs.SupportedMediaTypes(), media)
	if !ok {
		return negotiation.UnsupportedMediaType(negotiation.MediaTypes)
	}
	gvk := metaVersion.WithKind("DeleteOptions")
	obj, _, err := metascheme.Codecs.DecoderToVersion(info.Serializer, metaVersion).Decode(data, &gvk, o)
	switch {
	case err != nil:
		return apierrors.NewBadRequest(err.Error())
	case obj != runtime.Object(o):
		return apierrors.NewBadRequest("decoded object cannot be converted to DeleteOptions")
	}
	return nil
}

// fieldManager is the manager asked for, or what the client calls itself.
func fieldManager(asked string, r *http.Request) string {
	if asked != "" {
		return asked
	}
	name, _, _ := strings.Cut(r.UserAgent(), "/")
	var buf bytes.Buffer
	for _, c := range name {
		if !unicode.IsPrint(c) {
			continue
		}
		if buf.Len()+utf8.RuneLen(c) > metavalidation.FieldManagerMaxLength {
			break
		}
		buf.WriteRune(c)
	}
	return buf.String()
}

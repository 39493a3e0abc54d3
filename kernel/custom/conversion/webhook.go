// Package conversion brings custom objects to another version by the webhook that
// their definition names.
//
// It is upstream's contract (ConversionReview of apiextensions.k8s.io/v1 or
// v1beta1): a webhook changes what it likes but kind, name, namespace and uid; of the
// metadata only labels and annotations are taken from it. What it answers is
// checked here. How a webhook is reached is the business of whoever makes the
// [Clients].
package conversion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"
)

// Clients reach webhooks.
type Clients interface {
	HookClient(c webhookutil.ClientConfig) (*rest.RESTClient, error)
}

// Webhook converts the objects of one definition. It is immutable and safe for
// concurrent use.
type Webhook struct {
	clients Clients
	config  webhookutil.ClientConfig
	v1      bool // the form of reviews; else v1beta1
}

var errNoForm = errors.New("the conversion webhook takes no form of reviews that this server knows: v1, v1beta1")

// New makes the Webhook that a definition names, nil when its versions differ in
// nothing but their name.
//
// # Errors
// The definition names a webhook that cannot be called, which validation lets pass
// or refuses.
func New(crd *apiextensionsv1.CustomResourceDefinition, clients Clients) (*Webhook, error) {
	c := crd.Spec.Conversion
	if c == nil || c.Strategy != apiextensionsv1.WebhookConverter {
		return nil, nil
	}
	if c.Webhook == nil || c.Webhook.ClientConfig == nil {
		return nil, errors.New("the definition names no conversion webhook")
	}
	w := &Webhook{clients: clients, config: configOf(crd.Name, c.Webhook.ClientConfig)}
	for _, v := range c.Webhook.ConversionReviewVersions {
		if v == apiextensionsv1.SchemeGroupVersion.Version || v == v1beta1.SchemeGroupVersion.Version {
			w.v1 = v == apiextensionsv1.SchemeGroupVersion.Version
			return w, nil
		}
	}
	return nil, errNoForm
}

func configOf(name string, c *apiextensionsv1.WebhookClientConfig) webhookutil.ClientConfig {
	out := webhookutil.ClientConfig{Name: "conversion_webhook_for_" + name}
	if len(bytes.TrimSpace(c.CABundle)) > 0 {
		out.CABundle = c.CABundle
	}
	if c.URL != nil {
		out.URL = *c.URL
	}
	if s := c.Service; s != nil {
		out.Service = &webhookutil.ClientConfigService{Name: s.Name, Namespace: s.Namespace, Port: 443}
		if s.Port != nil {
			out.Service.Port = *s.Port
		}
		if s.Path != nil {
			out.Service.Path = *s.Path
		}
	}
	return out
}

// longest ends a call, as that of an admission webhook.
const longest = 30 * time.Second

// Convert gives objects of one definition in another version, in their order. in is not
// changed, and the result shares nothing with it. What does not fit into one review is
// asked in several.
//
// # Errors
//   - the webhook cannot be reached, refuses, or answers something else; no object is
//     converted then
func (w *Webhook) Convert(ctx context.Context, in []*unstructured.Unstructured, to schema.GroupVersion) ([]*unstructured.Unstructured, error) {
	out := make([]*unstructured.Unstructured, 0, len(in))
	for rest := in; len(rest) > 0; rest = in[len(out):] {
		batch, err := fitting(rest)
		var part []*unstructured.Unstructured
		if err == nil {
			part, err = w.batch(ctx, rest[:len(batch)], batch, to)
		}
		if err != nil {
			return nil, fmt.Errorf("conversion webhook for %s failed: %w", rest[0].GroupVersionKind(), err)
		}
		out = append(out, part...)
	}
	return out, nil
}

// MaxReview bounds the objects of a review, in bytes, but for a single one. A webhook is
// given all objects of a list at once, as upstream does, but has not to hold any number.
const MaxReview = 8 << 20

// fitting are the first objects, at least one, that fit into a review.
func fitting(in []*unstructured.Unstructured) (out []runtime.RawExtension, err error) {
	size := 0
	for _, u := range in {
		raw, err := u.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if size += len(raw); size > MaxReview && len(out) > 0 {
			return out, nil
		}
		out = append(out, runtime.RawExtension{Raw: bytes.TrimRight(raw, "\n")})
	}
	return out, nil
}

// batch converts what one review holds.
func (w *Webhook) batch(ctx context.Context, in []*unstructured.Unstructured, raw []runtime.RawExtension, to schema.GroupVersion) ([]*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	answer, err := w.ask(ctx, raw, to)
	if err != nil {
		return nil, err
	}
	if len(answer) != len(in) {
		return nil, fmt.Errorf("it returned %d objects, expected %d", len(answer), len(in))
	}
	out := make([]*unstructured.Unstructured, len(in))
	for i := range answer {
		u, err := unstructuredOf(answer[i])
		if err == nil {
			err = check(in[i], u, to)
		}
		if err != nil {
			return nil, fmt.Errorf("%w (object %d of %d)", err, i+1, len(in))
		}
		out[i] = u
	}
	return out, nil
}

// ask calls the webhook.
func (w *Webhook) ask(ctx context.Context, objects []runtime.RawExtension, to schema.GroupVersion) ([]runtime.RawExtension, error) {
	client, err := w.clients.HookClient(w.config)
	if err != nil {
		return nil, err
	}
	uid := uuid.NewUUID()
	if w.v1 {
		review := &apiextensionsv1.ConversionReview{Request: &apiextensionsv1.ConversionRequest{UID: uid, DesiredAPIVersion: to.String(), Objects: objects}}
		var answer apiextensionsv1.ConversionReview
		if err := client.Post().Body(review).Do(ctx).Into(&answer); err != nil {
			return nil, err
		}
		if answer.Response == nil {
			return nil, errNoResponse
		}
		if err := v1Form(&answer, uid); err != nil {
			return nil, err
		}
		return answer.Response.ConvertedObjects, succeeded(answer.Response.Result)
	}
	review := &v1beta1.ConversionReview{Request: &v1beta1.ConversionRequest{UID: uid, DesiredAPIVersion: to.String(), Objects: objects}}
	var answer v1beta1.ConversionReview
	if err := client.Post().Body(review).Do(ctx).Into(&answer); err != nil {
		return nil, err
	}
	if answer.Response == nil {
		return nil, errNoResponse
	}
	return answer.Response.ConvertedObjects, succeeded(answer.Response.Result)
}

var errNoResponse = errors.New("no response provided")

// v1Form checks that an answer is one, and for the question that was asked.
func v1Form(answer *apiextensionsv1.ConversionReview, uid types.UID) error {
	if want := apiextensionsv1.SchemeGroupVersion.WithKind("ConversionReview"); answer.GroupVersionKind() != want {
		return fmt.Errorf("expected webhook response of %v, got %v", want, answer.GroupVersionKind())
	}
	if got := answer.Response.UID; got != uid {
		return fmt.Errorf("expected response.uid=%q, got %q", uid, got)
	}
	return nil
}

func succeeded(s metav1.Status) error {
	switch {
	case s.Status == metav1.StatusSuccess:
		return nil
	case s.Message != "":
		return errors.New(s.Message)
	}
	return fmt.Errorf("response.result.status was '%s', not 'Success'", s.Status)
}

func unstructuredOf(x runtime.RawExtension) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(x.Raw); err != nil {
		return nil, fmt.Errorf("it returned an invalid object: %w", err)
	}
	return u, nil
}

// check refuses an answer that is another object, and gives it in's metadata but
// for labels and annotations.
func check(in, out *unstructured.Unstructured, to schema.GroupVersion) error {
	for _, x := range []struct{ what, want, got string }{
		{"groupVersion", to.String(), out.GetAPIVersion()}, {"kind", in.GetKind(), out.GetKind()}, {"name", in.GetName(), out.GetName()},
		{"namespace", in.GetNamespace(), out.GetNamespace()}, {"UID", string(in.GetUID()), string(out.GetUID())},
	} {
		if x.want != x.got {
			return fmt.Errorf("it returned an invalid object: %s must be %q, not %q", x.what, x.want, x.got)
		}
	}
	theirs, ok := out.Object["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("it returned an invalid object: metadata is of type %T", out.Object["metadata"])
	}
	ours, _ := in.Object["metadata"].(map[string]any)
	meta := runtime.DeepCopyJSON(ours)
	if meta == nil {
		meta = map[string]any{}
	}
	for _, name := range []string{"labels", "annotations"} {
		delete(meta, name)
		if v, ok := theirs[name]; ok && v != nil {
			if _, ok := v.(map[string]any); !ok {
				return fmt.Errorf("it returned an invalid object: metadata.%s is of type %T", name, v)
			}
			meta[name] = v
		}
	}
	out.Object["metadata"] = meta
	for _, err := range validateTexts(out) {
		return err
	}
	return nil
}

// validateTexts checks that labels and annotations are texts.
func validateTexts(out *unstructured.Unstructured) (errs []error) {
	for _, name := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(out.Object, "metadata", name); err != nil {
			errs = append(errs, fmt.Errorf("it returned an invalid object: %w", err))
		}
	}
	return errs
}

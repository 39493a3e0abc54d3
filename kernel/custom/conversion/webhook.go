package conversion

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// webhook is the one that a definition names.
type webhook struct {
	clients Clients
	config  webhookutil.ClientConfig
	v1      bool // the form of reviews; else v1beta1
}

var errNoForm = errors.New("the conversion webhook takes no form of reviews that this server knows: v1, v1beta1")

// newWebhook is nil when the definition names none.
func newWebhook(crd *apiextensionsv1.CustomResourceDefinition, clients Clients) (*webhook, error) {
	c := crd.Spec.Conversion
	if c == nil || c.Strategy != apiextensionsv1.WebhookConverter {
		return nil, nil
	}
	if c.Webhook == nil || c.Webhook.ClientConfig == nil {
		return nil, errors.New("the definition names no conversion webhook")
	}
	w := &webhook{clients: clients, config: configOf(crd.Name, c.Webhook.ClientConfig)}
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

// ask calls the webhook.
func (w *webhook) ask(ctx context.Context, objects []runtime.RawExtension, to schema.GroupVersion) ([]runtime.RawExtension, error) {
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

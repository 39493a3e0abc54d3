package kernel

import (
	"context"
	"errors"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/cel"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/admission/webhook"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/custom/conversion"
)

// dynamicAdmission are the admission rules that come from objects other than
// Plugins.
type dynamicAdmission struct {
	policies *cel.Policies
	webhooks *webhook.Webhooks
	admits   chan struct{} // closed when requests are admitted by all rules there are
}

// makeDynamicAdmission joins the chain with policies in CEL and webhooks.
func makeDynamicAdmission(k *Kernel) error {
	kinds := &dynamic.Kinds{Catalog: k.catalog, Codec: k.codec}
	objects := &dynamic.Objects{Reader: k.core.Reader(), Getter: k.core.As(auth.APIServer)}
	access := cel.Access{Kinds: kinds, Objects: objects, Authorizer: k.auth.Authorizer}
	k.chain.Set("policy-parameters", admission.OrderServer, access.Rule())
	own := k.access.As(auth.APIServer)
	k.dynamic = dynamicAdmission{admits: make(chan struct{}), policies: cel.New(cel.Config{
		Chain: k.chain, Kinds: kinds, Objects: objects, Registry: own, Authorizer: k.auth.Authorizer, Informers: k.informers, Log: k.c.Log,
	})}
	var err error
	k.dynamic.webhooks, err = webhook.New(webhook.Config{
		Chain: k.chain, Kinds: kinds, Objects: objects, Registry: own, Authorizer: k.auth.Authorizer, Dial: k.c.Dial, Informers: k.informers, Log: k.c.Log,
	})
	k.chain.Hold(k.dynamic.admits, "the policies are being read")
	return err
}

// conversionClients reach the webhooks that convert custom objects.
func conversionClients(k *Kernel) (conversion.Clients, error) {
	objects := &dynamic.Objects{Reader: k.core.Reader(), Getter: k.core.As(auth.APIServer)}
	return webhook.Clients(objects, k.c.Dial, k.c.Log, []schema.GroupVersion{apiextensionsv1.SchemeGroupVersion, v1beta1.SchemeGroupVersion}, apiextensionsv1.AddToScheme, v1beta1.AddToScheme)
}

// admit lets requests pass, once the rules are there that plugins and objects make.
func (d *dynamicAdmission) admit(ctx context.Context, plugins <-chan struct{}) {
	if all(ctx, plugins, d.policies.Synced(), d.webhooks.Synced()) {
		close(d.admits)
	}
}

// check is a health check.
func (d *dynamicAdmission) check() error {
	select {
	case <-d.admits:
		return nil
	default:
		return errors.New("policies and webhooks are being read")
	}
}

// all waits for all of these; it reports false when ctx ended first.
func all(ctx context.Context, ready ...<-chan struct{}) bool {
	for _, c := range ready {
		select {
		case <-c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

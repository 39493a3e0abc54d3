package authz

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// The authorizers that there are. Upstream's ABAC is not among them: what its file
// says, roles say.
const (
	ModeNode        = "Node"
	ModeRBAC        = "RBAC"
	ModeWebhook     = "Webhook"
	ModeAlwaysAllow = "AlwaysAllow"
	ModeAlwaysDeny  = "AlwaysDeny"
)

// Modes are all of them.
var Modes = []string{ModeAlwaysAllow, ModeAlwaysDeny, ModeNode, ModeRBAC, ModeWebhook}

// Options say who decides. The fields are upstream's flags.
type Options struct {
	ConfigFile string   // --authorization-config, an AuthorizationConfiguration
	Modes      []string // --authorization-mode
	Webhook    Webhook
}

// Webhook is that of --authorization-mode (--authorization-webhook-*).
type Webhook struct {
	ConfigFile      string // a kubeconfig
	Version         string // of the SubjectAccessReviews: v1 or v1beta1
	AuthorizedTTL   time.Duration
	UnauthorizedTTL time.Duration
}

// DefaultOptions are upstream's, but for the modes: those are what its installers
// choose.
func DefaultOptions() Options {
	return Options{Modes: []string{ModeNode, ModeRBAC},
		Webhook: Webhook{Version: "v1beta1", AuthorizedTTL: 5 * time.Minute, UnauthorizedTTL: 30 * time.Second}}
}

// Validate reports every fault that can be told without a file, by flag.
func (o *Options) Validate() error {
	d := DefaultOptions()
	if o.ConfigFile != "" {
		if !slices.Equal(o.Modes, d.Modes) || !reflect.DeepEqual(o.Webhook, d.Webhook) {
			return errors.New("--authorization-config excludes --authorization-mode and --authorization-webhook-*: say in the file what they say")
		}
		return nil
	}
	var errs []error
	if len(o.Modes) == 0 {
		errs = append(errs, fmt.Errorf("--authorization-mode: want some of %s", strings.Join(Modes, ", ")))
	}
	for i, m := range o.Modes {
		switch {
		case m == "ABAC":
			errs = append(errs, errors.New("--authorization-mode ABAC: this server does not have it; say what its policy file says by roles (RBAC)"))
		case !slices.Contains(Modes, m):
			errs = append(errs, fmt.Errorf("--authorization-mode %q: want some of %s", m, strings.Join(Modes, ", ")))
		case slices.Contains(o.Modes[:i], m):
			errs = append(errs, fmt.Errorf("--authorization-mode: %s is there twice", m))
		}
	}
	return errors.Join(append(errs, o.validateWebhook())...)
}

func (o *Options) validateWebhook() error {
	w, asked := &o.Webhook, slices.Contains(o.Modes, ModeWebhook)
	switch {
	case asked && w.ConfigFile == "":
		return errors.New("--authorization-mode Webhook: --authorization-webhook-config-file must name its kubeconfig")
	case !asked && w.ConfigFile != "":
		return errors.New("--authorization-webhook-config-file: nobody asks that webhook; add Webhook to --authorization-mode")
	case !asked:
		return nil
	}
	var errs []error
	if w.Version != "v1" && w.Version != "v1beta1" {
		errs = append(errs, fmt.Errorf("--authorization-webhook-version %q: want v1 or v1beta1", w.Version))
	}
	if w.AuthorizedTTL < 0 || w.UnauthorizedTTL < 0 {
		errs = append(errs, errors.New("--authorization-webhook-cache-authorized-ttl and --authorization-webhook-cache-unauthorized-ttl: want 0 or more"))
	}
	return errors.Join(errs...)
}

// configuration is what the flags say as the file would.
func (o *Options) configuration() *apiserver.AuthorizationConfiguration {
	c := &apiserver.AuthorizationConfiguration{}
	for _, m := range o.Modes {
		z := apiserver.AuthorizerConfiguration{Type: apiserver.AuthorizerType(m), Name: strings.ToLower(m)}
		if m == ModeWebhook {
			z.Name = "default"
			z.Webhook = &apiserver.WebhookConfiguration{
				AuthorizedTTL: metav1.Duration{Duration: o.Webhook.AuthorizedTTL}, CacheAuthorizedRequests: o.Webhook.AuthorizedTTL != 0,
				UnauthorizedTTL: metav1.Duration{Duration: o.Webhook.UnauthorizedTTL}, CacheUnauthorizedRequests: o.Webhook.UnauthorizedTTL != 0,
				Timeout: metav1.Duration{Duration: 30 * time.Second}, FailurePolicy: apiserver.FailurePolicyNoOpinion,
				SubjectAccessReviewVersion: o.Webhook.Version,
				ConnectionInfo:             apiserver.WebhookConnectionInfo{Type: apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &o.Webhook.ConfigFile},
			}
		}
		c.Authorizers = append(c.Authorizers, z)
	}
	return c
}

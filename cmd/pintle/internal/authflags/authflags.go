// Package authflags are the flags of authentication and authorization, named as
// upstream's.
package authflags

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/auth/authz"
)

// Add adds the flags.
func Add(fl *pflag.FlagSet, n *authn.Options, z *authz.Options) {
	paths.Var(fl, &n.ConfigFile, "authentication-config", n.ConfigFile, "file with the apiserver.config.k8s.io/v1 AuthenticationConfiguration: issuers of JSON web tokens, and what is served without credentials; followed while the server runs")
	fl.Var(optionalBool{&n.Anonymous}, "anonymous-auth", "serve requests without credentials as system:anonymous (default true)")
	fl.Lookup("anonymous-auth").NoOptDefVal = "true"
	fl.StringSliceVar(&n.APIAudiences, "api-audiences", n.APIAudiences, "audiences of this API server: tokens are good for it that name one of them (default: the issuer of service account tokens)")
	paths.Var(fl, &n.TokenFile, "token-auth-file", n.TokenFile, "CSV file of tokens: token, user, uid, \"group1,group2\"")
	addOIDC(fl, &n.OIDC)
	w := &n.Webhook
	paths.Var(fl, &w.ConfigFile, "authentication-token-webhook-config-file", w.ConfigFile, "kubeconfig of a service that knows tokens")
	fl.StringVar(&w.Version, "authentication-token-webhook-version", w.Version, "version of the TokenReviews that it is sent: v1 or v1beta1")
	fl.DurationVar(&w.CacheTTL, "authentication-token-webhook-cache-ttl", w.CacheTTL, "how long its answers are kept")
	addHeader(fl, &n.Header)
	addAuthorization(fl, z)
}

func addOIDC(fl *pflag.FlagSet, o *authn.OIDC) {
	fl.StringVar(&o.IssuerURL, "oidc-issuer-url", o.IssuerURL, "https URL of an OpenID Connect issuer whose tokens are taken (more than one: --authentication-config)")
	fl.StringVar(&o.ClientID, "oidc-client-id", o.ClientID, "audience that its tokens must have")
	paths.Var(fl, &o.CAFile, "oidc-ca-file", o.CAFile, "authorities of the issuer's certificate (default: the system's)")
	fl.StringVar(&o.UsernameClaim, "oidc-username-claim", o.UsernameClaim, "claim that is the user's name")
	fl.StringVar(&o.UsernamePrefix, "oidc-username-prefix", o.UsernamePrefix, "put before the name; - is nothing (default: the issuer's URL and #, unless the claim is email)")
	fl.StringVar(&o.GroupsClaim, "oidc-groups-claim", o.GroupsClaim, "claim with the user's groups")
	fl.StringVar(&o.GroupsPrefix, "oidc-groups-prefix", o.GroupsPrefix, "put before each group")
	fl.StringSliceVar(&o.SigningAlgs, "oidc-signing-algs", o.SigningAlgs, "algorithms that tokens may be signed with")
	fl.StringToStringVar(&o.RequiredClaims, "oidc-required-claim", o.RequiredClaims, "key=value that tokens must have (repeatable)")
}

func addHeader(fl *pflag.FlagSet, h *authn.RequestHeader) {
	paths.Var(fl, &h.ClientCAFile, "requestheader-client-ca-file", h.ClientCAFile, "authorities of a front proxy's certificate, which names users in headers")
	fl.StringSliceVar(&h.AllowedNames, "requestheader-allowed-names", h.AllowedNames, "common names of its certificate (default: any)")
	fl.StringSliceVar(&h.UsernameHeaders, "requestheader-username-headers", h.UsernameHeaders, "headers with the user's name, such as X-Remote-User")
	fl.StringSliceVar(&h.UIDHeaders, "requestheader-uid-headers", h.UIDHeaders, "headers with the user's UID, such as X-Remote-Uid")
	fl.StringSliceVar(&h.GroupHeaders, "requestheader-group-headers", h.GroupHeaders, "headers with the user's groups, such as X-Remote-Group")
	fl.StringSliceVar(&h.ExtraHeaderPrefixes, "requestheader-extra-headers-prefix", h.ExtraHeaderPrefixes, "how headers with what is more of the user begin, such as X-Remote-Extra-")
}

func addAuthorization(fl *pflag.FlagSet, z *authz.Options) {
	paths.Var(fl, &z.ConfigFile, "authorization-config", z.ConfigFile, "file with the apiserver.config.k8s.io/v1 AuthorizationConfiguration, instead of --authorization-mode and --authorization-webhook-*; followed while the server runs")
	fl.StringSliceVar(&z.Modes, "authorization-mode", z.Modes, "who decides what a user may do, in this order: "+strings.Join(authz.Modes, ", "))
	w := &z.Webhook
	paths.Var(fl, &w.ConfigFile, "authorization-webhook-config-file", w.ConfigFile, "kubeconfig of the service that --authorization-mode Webhook asks")
	fl.StringVar(&w.Version, "authorization-webhook-version", w.Version, "version of the SubjectAccessReviews that it is sent: v1 or v1beta1")
	fl.DurationVar(&w.AuthorizedTTL, "authorization-webhook-cache-authorized-ttl", w.AuthorizedTTL, "how long it is remembered that it allowed a request")
	fl.DurationVar(&w.UnauthorizedTTL, "authorization-webhook-cache-unauthorized-ttl", w.UnauthorizedTTL, "how long it is remembered that it did not")
}

// optionalBool is a flag that may not be given.
type optionalBool struct{ to **bool }

func (b optionalBool) String() string {
	if b.to == nil || *b.to == nil {
		return ""
	}
	return strconv.FormatBool(**b.to)
}

func (b optionalBool) Set(s string) error {
	v, err := strconv.ParseBool(s)
	if err == nil {
		*b.to = &v
	}
	return err
}

func (optionalBool) Type() string { return "bool" }

var _ pflag.Value = optionalBool{}

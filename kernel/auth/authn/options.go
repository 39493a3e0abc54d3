package authn

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Options say who is known. The fields are upstream's flags.
type Options struct {
	ConfigFile   string   // --authentication-config, an AuthenticationConfiguration
	Anonymous    *bool    // --anonymous-auth; nil: it was not given, which is true
	APIAudiences []string // --api-audiences
	TokenFile    string   // --token-auth-file
	OIDC         OIDC
	Webhook      Webhook
	Header       RequestHeader
}

// OIDC is one issuer of JSON web tokens, as flags name it (--oidc-*).
type OIDC struct {
	IssuerURL      string
	ClientID       string
	CAFile         string // "": the system's authorities
	UsernameClaim  string
	UsernamePrefix string // "": the issuer and #, unless the claim is email; "-": none
	GroupsClaim    string // "": no groups
	GroupsPrefix   string
	SigningAlgs    []string
	RequiredClaims map[string]string
}

// Webhook is a service that knows tokens (--authentication-token-webhook-*).
type Webhook struct {
	ConfigFile string // a kubeconfig; "": there is none
	Version    string // of the TokenReviews: v1 or v1beta1
	CacheTTL   time.Duration
}

// RequestHeader is a proxy that has authenticated its clients (--requestheader-*).
type RequestHeader struct {
	ClientCAFile        string // "": there is none
	AllowedNames        []string
	UsernameHeaders     []string
	UIDHeaders          []string
	GroupHeaders        []string
	ExtraHeaderPrefixes []string
}

// DefaultOptions are upstream's: nobody is known beside whom every cluster knows.
func DefaultOptions() Options {
	return Options{
		OIDC:    OIDC{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}},
		Webhook: Webhook{Version: "v1beta1", CacheTTL: 2 * time.Minute},
	}
}

// Validate reports every fault that can be told without a file, by flag.
func (o *Options) Validate() error {
	var errs []error
	oidc := !reflect.DeepEqual(o.OIDC, DefaultOptions().OIDC)
	switch {
	case oidc && o.ConfigFile != "":
		errs = append(errs, errors.New("--authentication-config and the --oidc-* flags exclude each other: move the issuer into the file's jwt"))
	case oidc && (o.OIDC.IssuerURL == "" || o.OIDC.ClientID == ""):
		errs = append(errs, errors.New("--oidc-issuer-url and --oidc-client-id must both be given when any --oidc-* flag is"))
	}
	if w := &o.Webhook; w.ConfigFile != "" {
		if w.Version != "v1" && w.Version != "v1beta1" {
			errs = append(errs, fmt.Errorf("--authentication-token-webhook-version %q: want v1 or v1beta1", w.Version))
		}
		if w.CacheTTL < 0 {
			errs = append(errs, fmt.Errorf("--authentication-token-webhook-cache-ttl %s: want 0 or more", w.CacheTTL))
		}
	}
	for i, a := range o.APIAudiences {
		if a == "" {
			errs = append(errs, fmt.Errorf("--api-audiences: the %d. is empty", i+1))
		}
	}
	return errors.Join(append(errs, o.Header.validate())...)
}

func (h *RequestHeader) validate() error {
	var errs []error
	for flag, values := range map[string][]string{
		"username-headers": h.UsernameHeaders, "uid-headers": h.UIDHeaders, "group-headers": h.GroupHeaders,
		"extra-headers-prefix": h.ExtraHeaderPrefixes, "allowed-names": h.AllowedNames,
	} {
		for _, v := range values {
			if strings.TrimSpace(v) == "" {
				errs = append(errs, fmt.Errorf("--requestheader-%s: a value is empty", flag))
			}
		}
		if len(values) > 0 && h.ClientCAFile == "" {
			errs = append(errs, fmt.Errorf("--requestheader-%s has no effect without --requestheader-client-ca-file: name the authority of the proxy's certificate", flag))
		}
	}
	if h.ClientCAFile != "" && len(h.UsernameHeaders) == 0 {
		errs = append(errs, errors.New("--requestheader-client-ca-file: --requestheader-username-headers must say where the proxy names the user, such as X-Remote-User"))
	}
	return errors.Join(errs...)
}

package authn

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"github.com/pintle-io/pintle/kernel/auth/configfile"
)

// settings are a configuration that is right, and where it comes from.
type settings struct {
	config *apiserver.AuthenticationConfiguration
	data   []byte // of the file; nil: flags
	algs   []string
}

// load reads the configuration that the options name.
func (a *Authentication) load() (settings, error) {
	o := &a.cfg.Options
	var s settings
	switch {
	case o.ConfigFile != "":
		data, err := configfile.Read(o.ConfigFile)
		if err != nil {
			return s, fmt.Errorf("--authentication-config: %w", err)
		}
		s = settings{data: data, algs: oidc.AllValidSigningAlgorithms()}
		if s.config, err = decode(data); err == nil {
			err = a.validate(s.config)
		}
		if err != nil {
			return s, fmt.Errorf("--authentication-config %s: %w", o.ConfigFile, err)
		}
	case o.OIDC.IssuerURL != "":
		jwt, err := o.OIDC.jwt()
		if err != nil {
			return s, err
		}
		s = settings{algs: o.OIDC.SigningAlgs, config: &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{jwt}}}
		for _, alg := range s.algs {
			if !slices.Contains(oidc.AllValidSigningAlgorithms(), alg) {
				return s, fmt.Errorf("--oidc-signing-algs %q: want some of %v", alg, oidc.AllValidSigningAlgorithms())
			}
		}
		if err := a.validate(s.config); err != nil {
			return s, fmt.Errorf("--oidc-issuer-url and the other --oidc-* flags: %w", err)
		}
	default:
		s.config = &apiserver.AuthenticationConfiguration{}
	}
	switch {
	case s.config.Anonymous != nil && o.Anonymous != nil:
		return s, field.Forbidden(field.NewPath("anonymous"), "--anonymous-auth cannot be given when the authentication configuration file has this field")
	case s.config.Anonymous != nil:
		a.anonymous = *s.config.Anonymous
	default:
		a.anonymous.Enabled = o.Anonymous == nil || *o.Anonymous
	}
	return s, nil
}

// decode reads an AuthenticationConfiguration. An unknown field is an error.
func decode(data []byte) (*apiserver.AuthenticationConfiguration, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	o, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(), data)
	if err != nil {
		return nil, err
	}
	c, ok := o.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return nil, fmt.Errorf("it is a %T, want an AuthenticationConfiguration of apiserver.config.k8s.io/v1", o)
	}
	return c, nil
}

// validate adds to upstream's rules what is not done here.
func (a *Authentication) validate(c *apiserver.AuthenticationConfiguration) error {
	errs := validation.ValidateAuthenticationConfiguration(a.celCompiler(), c, a.cfg.Issuers)
	for i := range c.JWT {
		if c.JWT[i].Issuer.EgressSelectorType != "" {
			errs = append(errs, field.Forbidden(field.NewPath("jwt").Index(i).Child("issuer", "egressSelectorType"), "this server has no egress selector; leave the field out"))
		}
	}
	return errs.ToAggregate()
}

// celCompiler is made when a configuration is there: it is expensive.
func (a *Authentication) celCompiler() authenticationcel.Compiler {
	a.compileOnce.Do(func() { a.compiler = authenticationcel.NewDefaultCompiler() })
	return a.compiler
}

// jwt is what the flags say as the file would.
func (o *OIDC) jwt() (apiserver.JWTAuthenticator, error) {
	prefix := o.UsernamePrefix
	switch {
	case prefix == "-":
		prefix = ""
	case prefix == "" && o.UsernameClaim != "email":
		prefix = o.IssuerURL + "#"
	}
	j := apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: o.IssuerURL, Audiences: []string{o.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Prefix: &prefix, Claim: o.UsernameClaim}},
	}
	if o.GroupsClaim != "" {
		j.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Prefix: &o.GroupsPrefix, Claim: o.GroupsClaim}
	}
	for claim, value := range o.RequiredClaims {
		if claim == "" {
			return j, errors.New("--oidc-required-claim: want key=value")
		}
		j.ClaimValidationRules = append(j.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: claim, RequiredValue: value})
	}
	if o.CAFile == "" {
		return j, nil
	}
	ca, err := os.ReadFile(o.CAFile)
	if err != nil {
		return j, fmt.Errorf("--oidc-ca-file: %w", err)
	}
	j.Issuer.CertificateAuthority = string(ca)
	return j, nil
}

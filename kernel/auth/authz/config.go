package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
)

// decode reads and checks an AuthorizationConfiguration. An unknown field is an error.
// Beside webhooks it must have the authorizers in needed, which is what a server that
// runs has: nobody takes away by a file what stands between a user and the cluster.
func (c *Chain) decode(data []byte, needed []apiserver.AuthorizerType) (*apiserver.AuthorizationConfiguration, error) {
	conf, err := load.LoadFromData(data)
	if err != nil {
		return nil, err
	}
	path := field.NewPath("authorizers")
	errs := validation.ValidateAuthorizationConfiguration(c.celCompiler(), nil, conf, sets.New(Modes...), sets.New(ModeWebhook))
	types := map[apiserver.AuthorizerType]bool{}
	for i, z := range conf.Authorizers {
		types[z.Type] = true
		if want := strings.ToLower(string(z.Type)); z.Type != apiserver.TypeWebhook && slices.Contains(Modes, string(z.Type)) && z.Name != want {
			errs = append(errs, field.Invalid(path.Index(i).Child("name"), z.Name, fmt.Sprintf("the name of the authorizer %s is %s", z.Type, want)))
		}
		if w := z.Webhook; w != nil && w.ConnectionInfo.Type == apiserver.AuthorizationWebhookConnectionInfoTypeInCluster {
			errs = append(errs, field.NotSupported(path.Index(i).Child("webhook", "connectionInfo", "type"), w.ConnectionInfo.Type, []string{apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile}))
		}
	}
	for _, t := range needed {
		if !types[t] {
			errs = append(errs, field.Required(path, fmt.Sprintf("the authorizer %s may not go while the server runs: restart the server to change that", t)))
		}
	}
	for t := range types {
		if needed != nil && t != apiserver.TypeWebhook && !slices.Contains(needed, t) {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("the authorizer %s may not come while the server runs: restart the server to change that", t)))
		}
	}
	return conf, errs.ToAggregate()
}

// celCompiler is made when there are conditions: it is expensive.
func (c *Chain) celCompiler() authorizationcel.Compiler {
	c.compileOnce.Do(func() { c.compiler = authorizationcel.NewDefaultCompiler() })
	return c.compiler
}

var errNone = errors.New("no authorizer is configured")

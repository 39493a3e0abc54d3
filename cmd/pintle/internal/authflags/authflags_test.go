package authflags_test

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/pintle-io/pintle/cmd/pintle/internal/authflags"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/auth/authz"
)

func TestGiven(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"--other"}, ""},
		{[]string{"--other", "--anonymous-auth=false"}, "anonymous-auth"},
		{[]string{"--authorization-mode=RBAC"}, "authorization-mode"},
		{[]string{"--oidc-issuer-url=https://x"}, "oidc-issuer-url"},
	} {
		fl := pflag.NewFlagSet("up", pflag.ContinueOnError)
		fl.Bool("other", false, "")
		authflags.Add(fl, &authn.Options{}, &authz.Options{})
		if err := fl.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		if got := authflags.Given(fl); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.args, got, tc.want)
		}
	}
}

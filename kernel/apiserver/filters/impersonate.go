package filters

import (
	"net/http"

	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/auth/impersonation"
)

// withImpersonation lets a user act as another where the authorizer allows it.
func (s *Chain) withImpersonation(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted, err := impersonation.Wanted(r.Header)
		if err != nil {
			s.Response.Fail(w, r, err)
			return
		}
		if wanted == nil {
			next.ServeHTTP(w, r)
			return
		}
		as, err := impersonation.Check(r.Context(), s.Authorization.Authorizer, wanted, endpoint.Attributes(r))
		if err != nil {
			s.Response.Fail(w, r, err)
			return
		}
		audit.From(r.Context()).Impersonates(as.User, as.Constraint)
		actor, _ := request.UserFrom(r.Context())
		s.Response.Log.Debug("impersonation", "actor", actor.GetName(), "as", as.User.Name, "constraint", as.Constraint)
		next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), as.User)))
	})
}

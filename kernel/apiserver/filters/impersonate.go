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
			s.refuseImpersonation(w, r, err)
			return
		}
		if wanted == nil {
			next.ServeHTTP(w, r)
			return
		}
		as, err := impersonation.Check(r.Context(), s.Authorization.Authorizer, wanted, endpoint.Attributes(r))
		if err != nil {
			s.refuseImpersonation(w, r, err)
			return
		}
		audit.From(r.Context()).Impersonates(as.User, as.Constraint)
		actor, _ := request.UserFrom(r.Context())
		s.Response.Log.Debug("impersonation", "actor", actor.GetName(), "as", as.User.Name, "constraint", as.Constraint)
		next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), as.User)))
	})
}

// refuseImpersonation answers with an error that quotes what the client sent, as
// upstream's responsewriters.RespondWithError.
func (s *Chain) refuseImpersonation(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.Response.Fail(w, r, err)
}

package filters

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/audit"
)

// withImpersonation lets a user act as another where the authorizer allows the
// verb "impersonate" on each part of that identity.
// https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
func (s *Chain) withImpersonation(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted, asks, err := impersonated(r.Header)
		if err != nil {
			s.Response.Fail(w, r, apierrors.NewBadRequest(err.Error()))
			return
		}
		if wanted == nil {
			next.ServeHTTP(w, r)
			return
		}
		actor, _ := request.UserFrom(r.Context())
		for _, a := range asks {
			a.User, a.Verb, a.ResourceRequest = actor, "impersonate", true
			if err := s.Authorization.Check(r.Context(), a); err != nil {
				s.Response.Fail(w, r, err)
				return
			}
		}
		for k := range r.Header {
			if strings.HasPrefix(k, "Impersonate-") {
				delete(r.Header, k)
			}
		}
		audit.From(r.Context()).Impersonates(wanted)
		s.Response.Log.Debug("impersonation", "actor", actor.GetName(), "as", wanted.GetName())
		next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), wanted)))
	})
}

// impersonated reads the identity that the headers ask for and what must be
// allowed for it; nil when they ask for none.
func impersonated(h http.Header) (*user.DefaultInfo, []authorizer.AttributesRecord, error) {
	name := h.Get(authenticationv1.ImpersonateUserHeader)
	uid := h.Get(authenticationv1.ImpersonateUIDHeader)
	groups := h.Values(authenticationv1.ImpersonateGroupHeader)
	extra := impersonatedExtra(h)
	if name == "" {
		if uid != "" || len(groups) > 0 || len(extra) > 0 {
			return nil, nil, errors.New("impersonation of groups, uid or extra without impersonating a user")
		}
		return nil, nil, nil
	}
	u := &user.DefaultInfo{Name: name, UID: uid, Groups: slices.Clone(groups), Extra: extra}
	var asks []authorizer.AttributesRecord
	if ns, sa, err := serviceaccount.SplitUsername(name); err == nil {
		asks = append(asks, authorizer.AttributesRecord{Resource: "serviceaccounts", Namespace: ns, Name: sa, APIVersion: "v1"})
		if len(groups) == 0 {
			u.Groups = serviceaccount.MakeGroupNames(ns)
		}
	} else {
		asks = append(asks, authorizer.AttributesRecord{Resource: "users", Name: name, APIVersion: "v1"})
	}
	for _, g := range groups {
		asks = append(asks, authorizer.AttributesRecord{Resource: "groups", Name: g, APIVersion: "v1"})
	}
	const group = "authentication.k8s.io"
	for k, vs := range extra {
		for _, v := range vs {
			asks = append(asks, authorizer.AttributesRecord{APIGroup: group, APIVersion: "v1", Resource: "userextras", Subresource: k, Name: v})
		}
	}
	if uid != "" {
		asks = append(asks, authorizer.AttributesRecord{APIGroup: group, APIVersion: "v1", Resource: "uids", Name: uid})
	}
	switch {
	case name == user.Anonymous:
		if !slices.Contains(u.Groups, user.AllUnauthenticated) {
			u.Groups = append(u.Groups, user.AllUnauthenticated)
		}
	case !slices.Contains(u.Groups, user.AllAuthenticated):
		u.Groups = append(u.Groups, user.AllAuthenticated)
	}
	return u, asks, nil
}

func impersonatedExtra(h http.Header) map[string][]string {
	var extra map[string][]string
	for k, vs := range h {
		rest, ok := strings.CutPrefix(k, authenticationv1.ImpersonateUserExtraHeaderPrefix)
		if !ok {
			continue
		}
		if extra == nil {
			extra = map[string][]string{}
		}
		key := strings.ToLower(rest)
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		extra[key] = append(extra[key], vs...)
	}
	return extra
}

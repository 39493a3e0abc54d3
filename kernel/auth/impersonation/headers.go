package impersonation

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Wanted takes from the headers of a request whom its user wants to act as; nil when
// he wants to be nobody else. The headers are gone then: nobody behind may take them
// for a wish that is still open.
//
// # Errors
//   - BadRequest: groups, a uid or extra without a user
func Wanted(h http.Header) (*user.DefaultInfo, error) {
	u := &user.DefaultInfo{
		Name: h.Get(authenticationv1.ImpersonateUserHeader), UID: h.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: slices.Clone(h.Values(authenticationv1.ImpersonateGroupHeader)), Extra: extra(h),
	}
	if u.Name == "" {
		if u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0 {
			return nil, nil
		}
		return nil, apierrors.NewBadRequest(fmt.Sprintf("requested %#v without impersonating a user name", u))
	}
	for k := range h {
		if strings.HasPrefix(k, "Impersonate-") {
			delete(h, k)
		}
	}
	return u, nil
}

func extra(h http.Header) map[string][]string {
	var out map[string][]string
	for k, vs := range h {
		rest, ok := strings.CutPrefix(k, authenticationv1.ImpersonateUserExtraHeaderPrefix)
		if !ok {
			continue
		}
		key := strings.ToLower(rest)
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		if out == nil {
			out = map[string][]string{}
		}
		out[key] = append(out[key], vs...)
	}
	return out
}

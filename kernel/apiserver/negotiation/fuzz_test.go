package negotiation

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
		"application/vnd.kubernetes.protobuf;stream=watch", "text/html;q=0.9,*/*;q=0.8", ";;;=,,", "application/json;q=x;as"} {
		f.Add(s)
	}
	o := Objects(true, true)
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept"] = []string{header}
		a, err := Negotiate(r, o)
		if err != nil {
			var st apierrors.APIStatus
			if !errors.As(err, &st) || st.Status().Code != http.StatusNotAcceptable {
				t.Errorf("error %v is no 406", err)
			}
			return
		}
		if !slices.Contains(MediaTypes, a.Media) {
			t.Errorf("accepted %q", a.Media)
		}
		if !a.As.Empty() && !metaTransform(a.As, a.Media) {
			t.Errorf("accepted a transformation into %s as %s", a.As, a.Media)
		}
	})
}

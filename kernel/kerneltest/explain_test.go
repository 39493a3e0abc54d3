package kerneltest_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// Whoever leads answers why a pod is where it is; a server that does not says
// whom to ask, and what is not asked about a pod is refused.
func TestExplain(t *testing.T) {
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table})
	for query, want := range map[string][]int{
		"":                           {http.StatusBadRequest},
		"?namespace=default&name=no": {http.StatusNotFound, http.StatusServiceUnavailable}, // it may not lead yet
	} {
		resp, err := s.HTTP().Get(s.URL + "/explain/pods" + query)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := resp.StatusCode; got != want[0] && got != want[len(want)-1] {
			t.Errorf("%q is answered with %d, want one of %d", query, got, want)
		}
	}
}

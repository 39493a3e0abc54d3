package resource_test

import (
	"testing"

	"github.com/pintle-io/pintle/sdk/api/resource"
)

// The sums are those of Kubernetes' own quantities; the form is that of the first.
func TestAdd(t *testing.T) {
	for _, c := range []struct{ a, b, want resource.Quantity }{
		{"", "", "0"},
		{"0", "1Gi", "1Gi"},
		{"1Gi", "0", "1Gi"},
		{"100m", "200m", "300m"},
		{"500m", "500m", "1"},
		{"1", "1500m", "2500m"},
		{"1Gi", "1Gi", "2Gi"},
		{"1Gi", "512Mi", "1536Mi"},
		{"1Mi", "1", "1048577"},
		{"1", "1Mi", "1048577"},
		{"512", "1Ki", "1536"},
		{"1k", "1Ki", "2024"},
		{"999k", "1k", "1M"},
		{"1Ki", "100m", "1024100m"}, // nothing is lost
		{"100Mi", "-99Mi", "1Mi"},
		{"1Ki", "-1000", "24"},
		{"1", "-1", "0"},
		{"1e3", "1e3", "2e3"},
		{"1e3", "999e3", "1e6"},
		{"1n", "1u", "1001n"},
		{"x", "2", "2"},
	} {
		if got := c.a.Add(c.b); got != c.want {
			t.Errorf("%s + %s = %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

func TestSub(t *testing.T) {
	for _, c := range []struct{ a, b, want resource.Quantity }{
		{"1", "300m", "700m"},
		{"2Gi", "1Gi", "1Gi"},
		{"", "1Gi", "-1Gi"},
		{"1", "1", "0"},
		{"1", "-1", "2"},
		{"1", "x", "1"},
	} {
		if got := c.a.Sub(c.b); got != c.want {
			t.Errorf("%s - %s = %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

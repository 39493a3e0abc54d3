package resource_test

import (
	"testing"

	"github.com/pintle-io/pintle/kernel/resource"
)

func TestOwner(t *testing.T) {
	table := &resource.Table{Definitions: []*resource.Definition{
		{Group: "", Versions: []string{"v1"}, StorageVersion: "v1", Kind: "Secret", Resource: "secrets", Namespaced: true, KeyPrefix: "/registry/secrets"},
		{Group: "", Versions: []string{"v1"}, StorageVersion: "v1", Kind: "Service", Resource: "services", Namespaced: true, KeyPrefix: "/registry/services/specs"},
		{Group: "x.io", Versions: []string{"v1"}, StorageVersion: "v1", Kind: "A", Resource: "as", KeyPrefix: "/registry/x.io/as"},
	}}
	snapshot := resource.NewCatalog(table).Snapshot()
	for key, want := range map[string]string{
		"/registry/secrets/default/a":          "secrets",
		"/registry/services/specs/default/web": "services",
		"/registry/x.io/as/one":                "as.x.io",
		"/registry/gone.io/things/ns/one":      "things.gone.io",
		"/registry/masterleases/10.0.0.1":      "",
		"/registry/services/other":             "",
		"/registry/gone.io/things":             "",
		"/pintle/keys/identity":                "",
		"":                                     "",
	} {
		got, ok := snapshot.Owner(key)
		if ok != (want != "") || got.String() != want {
			t.Errorf("%s: %v %v, want %q", key, got, ok, want)
		}
	}
}

package endpoint

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/deprecation"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Deprecated are the warnings that every request for a kind gets, by the kind
// that the path is about: those that the API's own release notes on types
// (prerelease-lifecycle-gen) call deprecated at the level that is served.
type Deprecated map[schema.GroupVersionKind]Deprecation

// Deprecation is what is said of one kind.
type Deprecation struct {
	Warning string
	Removed string // the release without it, "1.25"; empty if none is named
}

// NewDeprecated finds the deprecated kinds of a table at a version of
// Kubernetes.
func NewDeprecated(t *resource.Table, v version.Info) (Deprecated, error) {
	major, minor, err := deprecation.MajorMinor(v)
	if err != nil {
		return nil, fmt.Errorf("version %s.%s: %w", v.Major, v.Minor, err)
	}
	out := Deprecated{}
	for _, d := range t.Definitions {
		if d.Types != nil {
			continue // its Deprecations say it
		}
		for _, served := range d.Versions {
			gvk := schema.GroupVersionKind{Group: d.Group, Version: served, Kind: d.Kind}
			obj, err := t.Scheme.New(gvk)
			if err != nil {
				return nil, err
			}
			obj.GetObjectKind().SetGroupVersionKind(gvk)
			if deprecation.IsDeprecated(obj, major, minor) {
				out[gvk] = Deprecation{Warning: deprecation.WarningMessage(obj), Removed: deprecation.RemovedRelease(obj)}
			}
		}
	}
	return out, nil
}

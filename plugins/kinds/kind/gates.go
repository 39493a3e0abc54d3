package kind

import (
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
)

// Enabled says whether a feature gate of Kubernetes is on.
func Enabled(f featuregate.Feature) bool { return utilfeature.DefaultFeatureGate.Enabled(f) }

// Gates tells declarative validation which of the features it names are on.
func Gates(fs ...featuregate.Feature) map[string]bool {
	out := make(map[string]bool, len(fs))
	for _, f := range fs {
		out[string(f)] = Enabled(f)
	}
	return out
}

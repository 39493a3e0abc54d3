package resources

import (
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
)

func enabled(f featuregate.Feature) bool { return utilfeature.DefaultFeatureGate.Enabled(f) }

// gates tells declarative validation which of the features it names are on.
func gates(fs ...featuregate.Feature) map[string]bool {
	out := make(map[string]bool, len(fs))
	for _, f := range fs {
		out[string(f)] = enabled(f)
	}
	return out
}

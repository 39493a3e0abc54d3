package podspec

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ExtendedResource reports whether a resource is somebody's own, such as
// example.com/dongle.
func ExtendedResource(name corev1.ResourceName) bool {
	s := string(name)
	return strings.Contains(s, "/") && !strings.Contains(s, corev1.ResourceDefaultNamespacePrefix) &&
		!strings.HasPrefix(s, corev1.DefaultResourceRequestsPrefix)
}

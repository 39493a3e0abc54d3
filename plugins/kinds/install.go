package kinds

// The install packages register types, defaults, conversions and declared
// validation of their groups with legacyscheme. The packages of the groups
// import theirs; these groups have types but no kinds that are served.
import (
	_ "k8s.io/kubernetes/pkg/apis/admission/install"
	_ "k8s.io/kubernetes/pkg/apis/extensions/install"
)

package aggregation

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/metrics"
)

// priority says where a group version stands in discovery.
type priority struct{ group, version int32 }

// ofDefined is that of custom kinds.
var ofDefined = priority{1000, 100}

// groupPriorities are upstream's of the groups that are built in.
var groupPriorities = map[string]int32{
	"":                             18000,
	"apps":                         17800,
	"events.k8s.io":                17750,
	"authentication.k8s.io":        17700,
	"authorization.k8s.io":         17600,
	"autoscaling":                  17500,
	"batch":                        17400,
	"certificates.k8s.io":          17300,
	"networking.k8s.io":            17200,
	"policy":                       17100,
	"rbac.authorization.k8s.io":    17000,
	"storage.k8s.io":               16800,
	"apiextensions.k8s.io":         16700,
	"admissionregistration.k8s.io": 16700,
	"scheduling.k8s.io":            16600,
	"coordination.k8s.io":          16500,
	"node.k8s.io":                  16300,
	"discovery.k8s.io":             16200,
	"resource.k8s.io":              16200,
	"flowcontrol.apiserver.k8s.io": 16100,
	"storagemigration.k8s.io":      15800,
	metrics.GroupName:              100, // metrics-server's
}

// versionPriorities are those of versions that are not 15.
var versionPriorities = map[schema.GroupVersion]int32{
	{Group: "", Version: "v1"}:                             1,
	{Group: "autoscaling", Version: "v2"}:                  30,
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1"}: 21,
	{Group: "resource.k8s.io", Version: "v1"}:              21,
	{Group: metrics.GroupName, Version: "v1beta1"}:         100,
}

// priorityOf is that of a group version of this server. A built-in group that
// upstream does not have stands behind those that it has.
func priorityOf(gv schema.GroupVersion, builtIn bool) priority {
	if !builtIn {
		return ofDefined
	}
	p := priority{groupPriorities[gv.Group], versionPriorities[gv]}
	if p.group == 0 {
		p.group = 15000
	}
	if p.version == 0 {
		p.version = 15
	}
	return p
}

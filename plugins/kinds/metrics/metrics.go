// Package metrics defines the kinds of the API group metrics.k8s.io: what nodes and
// pods use at the moment. They are made when they are read, by kernel/usage.
package metrics

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/install"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Install adds the types of the group to a scheme. It must be called once.
func Install(s *runtime.Scheme) { install.Install(s) }

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{usage("NodeMetrics", "nodes", true), usage("PodMetrics", "pods", false)}
}

func usage(name, plural string, cluster bool) *resource.Definition {
	d := kind.Virtual(kind.Names{Group: metrics.GroupName, Kind: name, Resource: plural, Singular: plural[:len(plural)-1], Cluster: cluster, Versions: []string{"v1beta1"}})
	d.ListKind, d.Verbs = name+"List", []string{"get", "list"}
	return d
}

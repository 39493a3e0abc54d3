// Package informer holds what a node follows of the API: one list and one watch
// of each resource, for all parts of the node (agent, balancer, routes, DNS).
// The parts share the decoded objects, so nobody may change one; what no part
// reads is dropped before it is kept. The client's transport paces watches that
// find no server (backoff.Watches), the informers what is left.
//
// RATIONALE.md: "Why is there one set of informers on a node?"
//
// ConfigMaps and Secrets are not here: a node may read those of its pods only,
// each by a watch of its own (node/source).
//
// Begin with New; everything may be called concurrently.
package informer

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// A Set is the informers of one node. A part adds its handlers and indexes
// before or after Run has begun: a handler is told of everything that is there.
type Set struct {
	factory    informers.SharedInformerFactory
	pods       cache.SharedIndexInformer
	services   cache.SharedIndexInformer
	slices     cache.SharedIndexInformer
	namespaces cache.SharedIndexInformer
	nodes      cache.SharedIndexInformer
}

// New returns the informers of the node of this name, empty until Run.
func New(client kubernetes.Interface, node string) *Set {
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trimFor(node)))
	return &Set{
		factory: f,
		pods: f.InformerFor(&corev1.Pod{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
			return coreinformers.NewFilteredPodInformer(c, metav1.NamespaceAll, resync, cache.Indexers{}, func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
			})
		}),
		services:   f.Core().V1().Services().Informer(),
		slices:     f.Discovery().V1().EndpointSlices().Informer(),
		namespaces: f.Core().V1().Namespaces().Informer(),
		nodes:      f.Core().V1().Nodes().Informer(),
	}
}

// Run follows the API until ctx ends, and returns after its goroutines did.
func (s *Set) Run(ctx context.Context) error {
	s.factory.StartWithContext(ctx)
	<-ctx.Done()
	s.factory.Shutdown()
	return ctx.Err()
}

// Pods are those bound to this node, whole but for their managed fields.
func (s *Set) Pods() cache.SharedIndexInformer { return s.pods }

// Services are all of the cluster, with the labels that proxies and DNS read.
func (s *Set) Services() cache.SharedIndexInformer { return s.services }

// EndpointSlices are all of the cluster, trimmed as Services are.
func (s *Set) EndpointSlices() cache.SharedIndexInformer { return s.slices }

// Namespaces are all of the cluster, by name and UID only.
func (s *Set) Namespaces() cache.SharedIndexInformer { return s.namespaces }

// Nodes are all of the cluster: this one whole, the others as far as it takes to
// reach their pods (pod ranges, addresses).
func (s *Set) Nodes() cache.SharedIndexInformer { return s.nodes }

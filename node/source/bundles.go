package source

import (
	"context"
	"errors"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// errNotSynced is in upstream's words.
var errNotSynced = errors.New("ClusterTrustBundle informer has not yet synced")

// bySigner is the index of bundles by their signer.
const bySigner = "signer"

// bundles follows the ClusterTrustBundles of the cluster, all by one watch,
// while a pod of the node refers to one: a pod may choose them by labels, and
// no watch says that of several pods.
type bundles struct {
	client  kubernetes.Interface
	changed func(types.UID)

	mu        sync.Mutex
	ctx       context.Context           // of run; guarded by mu
	held      map[types.UID]*bundleRefs // guarded by mu
	following *following                // nil while no pod needs one; guarded by mu
	group     sync.WaitGroup
}

// bundleRefs is what a pod refers to.
type bundleRefs struct{ names, signers map[string]bool }

// following is one life of the watch.
type following struct {
	cancel   context.CancelFunc
	objects  cache.Indexer // of *certificatesv1.ClusterTrustBundle
	synced   chan struct{} // closed once objects are known
	bypassed bool          // somebody could not wait for them; guarded by bundles.mu
}

func newBundles(client kubernetes.Interface, changed func(types.UID)) *bundles {
	return &bundles{client: client, changed: changed, held: map[types.UID]*bundleRefs{}}
}

// bundleReferences lists what a pod refers to; nil when that is nothing.
func bundleReferences(pod *corev1.Pod) *bundleRefs {
	r := &bundleRefs{map[string]bool{}, map[string]bool{}}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			switch b := s.ClusterTrustBundle; {
			case b == nil:
			case b.Name != nil:
				r.names[*b.Name] = true
			case b.SignerName != nil:
				r.signers[*b.SignerName] = true
			}
		}
	}
	if len(r.names)+len(r.signers) == 0 {
		return nil
	}
	return r
}

func (b *bundles) hold(pod *corev1.Pod) {
	refs := bundleReferences(pod)
	if refs == nil {
		b.release(pod.UID)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[pod.UID] = refs
	b.follow()
}

func (b *bundles) release(pod types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, pod)
	if len(b.held) == 0 && b.following != nil {
		b.following.cancel()
		b.following = nil
	}
}

// run lets bundles be followed until ctx ends.
func (b *bundles) run(ctx context.Context) {
	b.mu.Lock()
	b.ctx = ctx
	b.follow()
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	b.mu.Unlock() //nolint:staticcheck // an empty section: nothing is followed anew after it
	b.group.Wait()
}

// follow begins the watch if a pod needs it; called with mu held.
func (b *bundles) follow() {
	if len(b.held) == 0 || b.following != nil || b.ctx == nil || b.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(b.ctx)
	f := &following{cancel: cancel, synced: make(chan struct{}), objects: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{
		bySigner: func(obj any) ([]string, error) { return []string{signer(obj)}, nil }})}
	b.following = f
	c := b.client.CertificatesV1().ClusterTrustBundles()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, o)
		},
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, b.client), &certificatesv1.ClusterTrustBundle{},
		&bundleSink{b, f}, cache.ReflectorOptions{Name: "clustertrustbundles"})
	b.group.Go(func() { r.RunWithContext(ctx) })
}

func signer(obj any) string {
	if b, ok := obj.(*certificatesv1.ClusterTrustBundle); ok {
		return b.Spec.SignerName
	}
	return ""
}

// known returns the bundles, waiting for the first answer.
func (b *bundles) known() (cache.Indexer, error) {
	b.mu.Lock()
	f := b.following
	b.mu.Unlock()
	if f == nil {
		return nil, errNotSynced
	}
	t := time.NewTimer(syncWait)
	defer t.Stop()
	select {
	case <-f.synced:
	case <-t.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-f.synced:
		return f.objects, nil
	default:
		f.bypassed = true
		return nil, errNotSynced
	}
}

// Bundle returns the ClusterTrustBundle of this name, nil when there is none.
// It is not to be changed.
//
// # Errors
//
// While no pod is held that refers to one, and before the API has answered.
func (s *Store) Bundle(name string) (*certificatesv1.ClusterTrustBundle, error) {
	objects, err := s.bundles.known()
	if err != nil {
		return nil, err
	}
	obj, ok, err := objects.GetByKey(name)
	if err != nil || !ok {
		return nil, err
	}
	b, _ := obj.(*certificatesv1.ClusterTrustBundle)
	return b, nil
}

// BundlesOf returns the ClusterTrustBundles of a signer, in no order. They are
// not to be changed. It fails as Bundle does.
func (s *Store) BundlesOf(signerName string) ([]*certificatesv1.ClusterTrustBundle, error) {
	objects, err := s.bundles.known()
	if err != nil {
		return nil, err
	}
	list, err := objects.ByIndex(bySigner, signerName)
	if err != nil {
		return nil, err
	}
	out := make([]*certificatesv1.ClusterTrustBundle, 0, len(list))
	for _, obj := range list {
		if b, ok := obj.(*certificatesv1.ClusterTrustBundle); ok {
			out = append(out, b)
		}
	}
	return out, nil
}

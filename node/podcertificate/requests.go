package podcertificate

import (
	"context"
	"sync"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	certificatesinformers "k8s.io/client-go/informers/certificates/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// requests follows the PodCertificateRequests of this node, which are all that
// a node may read, from start to stop; and again.
type requests struct {
	client kubernetes.Interface
	node   string
	told   func(pod types.UID) // of each change

	mu      sync.Mutex
	objects cache.Store        // nil while nothing is followed; guarded by mu
	cancel  context.CancelFunc // guarded by mu
	group   sync.WaitGroup
}

// start follows them until ctx ends, if nobody does.
func (r *requests) start(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects != nil {
		return
	}
	i := certificatesinformers.NewFilteredPodCertificateRequestInformer(r.client, metav1.NamespaceAll, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", r.node).String()
	})
	tell := func(obj any) {
		if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = t.Obj
		}
		if o, ok := obj.(*certificatesv1.PodCertificateRequest); ok {
			r.told(o.Spec.PodUID)
		}
	}
	_ = i.SetTransform(trim) // fails only after the informer has begun, as the next does only after its end
	_, _ = i.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(_, obj any) { tell(obj) }, DeleteFunc: tell})
	ctx, cancel := context.WithCancel(ctx)
	r.objects, r.cancel = i.GetStore(), cancel
	r.group.Go(func() { i.RunWithContext(ctx) })
}

// stop ends following.
func (r *requests) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects != nil {
		r.cancel()
		r.objects = nil
	}
}

// get returns a request, nil when it is not known. It is not to be changed.
func (r *requests) get(namespace, name string) *certificatesv1.PodCertificateRequest {
	r.mu.Lock()
	objects := r.objects
	r.mu.Unlock()
	if objects == nil {
		return nil
	}
	obj, _, _ := objects.GetByKey(namespace + "/" + name) // the store has no errors of its own
	o, _ := obj.(*certificatesv1.PodCertificateRequest)
	return o
}

// trim drops what no part of this node reads.
func trim(obj any) (any, error) {
	o, ok := obj.(*certificatesv1.PodCertificateRequest)
	if !ok {
		return obj, nil
	}
	return &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion},
		Spec:       certificatesv1.PodCertificateRequestSpec{PodUID: o.Spec.PodUID}, Status: o.Status}, nil
}

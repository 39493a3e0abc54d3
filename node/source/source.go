// Package source follows the ConfigMaps and Secrets that the pods of a node
// refer to, each by a watch of its own: a node may read no others. An object
// is followed while a pod holds it. ClusterTrustBundles, which nobody keeps
// secret, are followed all together while a pod holds any (bundles.go).
package source

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// kind is what an entry is.
type kind string

const (
	configMap kind = "configmap"
	secret    kind = "secret"
)

type key struct {
	kind            kind
	namespace, name string
}

// Store holds the objects. It may be used concurrently.
type Store struct {
	client  kubernetes.Interface
	changed func(types.UID)
	log     *slog.Logger
	bundles *bundles

	mu      sync.Mutex
	ctx     context.Context            // of Run; guarded by mu
	entries map[key]*entry             // guarded by mu
	held    map[types.UID]map[key]bool // guarded by mu
	seen    map[types.UID]int64        // generation that held is of; guarded by mu
	group   sync.WaitGroup
}

// entry is one object that is followed.
type entry struct {
	cancel context.CancelFunc
	pods   map[types.UID]bool
	synced chan struct{} // closed once obj is known
	obj    runtime.Object
	// bypassed: somebody could not wait for obj, and has read another state, or
	// nothing.
	bypassed bool
}

// New makes a store that calls changed with the UID of every pod that holds an
// object that changed. log may be nil.
func New(client kubernetes.Interface, changed func(types.UID), log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{client: client, changed: changed, log: log, bundles: newBundles(client, changed), entries: map[key]*entry{},
		held: map[types.UID]map[key]bool{}, seen: map[types.UID]int64{}}
}

// Run lets the store follow objects until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for k, e := range s.entries {
		s.follow(k, e)
	}
	s.mu.Unlock()
	s.bundles.run(ctx)
	s.mu.Lock()
	s.mu.Unlock() //nolint:staticcheck // an empty section: nothing is followed anew after it
	s.group.Wait()
	return nil
}

// Hold follows what a pod refers to, and of its objects no others.
func (s *Store) Hold(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.seen[pod.UID]; ok && g == pod.Generation {
		return
	}
	want := references(pod)
	for k := range s.held[pod.UID] {
		if !want[k] {
			s.release(k, pod.UID)
		}
	}
	for k := range want {
		e := s.entries[k]
		if e == nil {
			e = &entry{pods: map[types.UID]bool{}, synced: make(chan struct{})}
			s.entries[k] = e
			if s.ctx != nil && s.ctx.Err() == nil {
				s.follow(k, e)
			}
		}
		e.pods[pod.UID] = true
	}
	s.held[pod.UID], s.seen[pod.UID] = want, pod.Generation
	s.bundles.hold(pod)
}

// Release ends following for a pod.
func (s *Store) Release(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.held[pod] {
		s.release(k, pod)
	}
	delete(s.held, pod)
	delete(s.seen, pod)
	s.bundles.release(pod)
}

// release is called with mu held.
func (s *Store) release(k key, pod types.UID) {
	e := s.entries[k]
	if e == nil {
		return
	}
	if delete(e.pods, pod); len(e.pods) > 0 {
		return
	}
	delete(s.entries, k)
	if e.cancel != nil {
		e.cancel()
	}
}

// references lists what a pod refers to.
func references(pod *corev1.Pod) map[key]bool {
	out := map[key]bool{}
	add := func(kd kind, name string) {
		if name != "" {
			out[key{kd, pod.Namespace, name}] = true
		}
	}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			add(configMap, v.ConfigMap.Name)
		case v.Secret != nil:
			add(secret, v.Secret.SecretName)
		case v.Projected != nil:
			for _, p := range v.Projected.Sources {
				if p.ConfigMap != nil {
					add(configMap, p.ConfigMap.Name)
				}
				if p.Secret != nil {
					add(secret, p.Secret.Name)
				}
			}
		}
	}
	containers := append(append([]corev1.Container(nil), pod.Spec.InitContainers...), pod.Spec.Containers...)
	for _, e := range pod.Spec.EphemeralContainers {
		containers = append(containers, corev1.Container(e.EphemeralContainerCommon))
	}
	for _, c := range containers {
		for _, f := range c.EnvFrom {
			if f.ConfigMapRef != nil {
				add(configMap, f.ConfigMapRef.Name)
			}
			if f.SecretRef != nil {
				add(secret, f.SecretRef.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				add(configMap, e.ValueFrom.ConfigMapKeyRef.Name)
			}
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				add(secret, e.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for _, s := range pod.Spec.ImagePullSecrets {
		add(secret, s.Name)
	}
	return out
}

// syncWait is how long a reader waits for an object that is being fetched
// before it fetches it itself.
const syncWait = 3 * time.Second

// ConfigMap returns a ConfigMap, nil when there is none. It is not to be
// changed.
func (s *Store) ConfigMap(namespace, name string) (*corev1.ConfigMap, error) {
	if obj, ok := s.get(key{configMap, namespace, name}); ok {
		m, _ := obj.(*corev1.ConfigMap)
		return m, nil
	}
	ctx, cancel := context.WithTimeout(s.context(), syncWait)
	defer cancel()
	m, err := s.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configmap %s/%s: %w", namespace, name, err)
	}
	return m, nil
}

// Secret returns a Secret, nil when there is none. It is not to be changed.
func (s *Store) Secret(namespace, name string) (*corev1.Secret, error) {
	if obj, ok := s.get(key{secret, namespace, name}); ok {
		m, _ := obj.(*corev1.Secret)
		return m, nil
	}
	ctx, cancel := context.WithTimeout(s.context(), syncWait)
	defer cancel()
	m, err := s.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return m, nil
}

func (s *Store) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		return context.Background()
	}
	return s.ctx
}

// get returns a followed object, waiting for its first answer; false when it
// is not followed or does not come.
func (s *Store) get(k key) (runtime.Object, bool) {
	s.mu.Lock()
	e := s.entries[k]
	s.mu.Unlock()
	if e == nil {
		return nil, false
	}
	t := time.NewTimer(syncWait)
	defer t.Stop()
	select {
	case <-e.synced:
	case <-t.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-e.synced:
		return e.obj, true
	default:
		e.bypassed = true
		return nil, false
	}
}

// follow watches an object; called with mu held.
func (s *Store) follow(k key, e *entry) {
	ctx, cancel := context.WithCancel(s.ctx)
	e.cancel = cancel
	selector := fields.OneTermEqualSelector("metadata.name", k.name).String()
	lw := &cache.ListWatch{}
	var expect runtime.Object
	if k.kind == configMap {
		c := s.client.CoreV1().ConfigMaps(k.namespace)
		lw.ListWithContextFunc = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return c.List(ctx, o)
		}
		lw.WatchFuncWithContext = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return c.Watch(ctx, o)
		}
		expect = &corev1.ConfigMap{}
	} else {
		c := s.client.CoreV1().Secrets(k.namespace)
		lw.ListWithContextFunc = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return c.List(ctx, o)
		}
		lw.WatchFuncWithContext = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return c.Watch(ctx, o)
		}
		expect = &corev1.Secret{}
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, s.client), expect, &sink{s, k, e},
		cache.ReflectorOptions{Name: string(k.kind) + " " + k.namespace + "/" + k.name})
	s.group.Add(1)
	go func() {
		defer s.group.Done()
		r.RunWithContext(ctx)
	}()
}

package localpath

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Keeper follows the volumes of this node. Fields without a remark are required.
type Keeper struct {
	Client kubernetes.Interface
	Node   string // the node's name
	Root   string // as in Driver
	// Mounted tells whether a pod on this node still has the volume of a claim.
	Mounted func(namespace, claim string) bool
	Log     *slog.Logger
}

// Run removes what is to be removed, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(k.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = labels.SelectorFromSet(labels.Set{NodeLabel: k.Node}).String()
	}))
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, time.Minute)
	queue := workqueue.NewTypedRateLimitingQueue[string](limits)
	follow := factory.Core().V1().PersistentVolumes()
	changed := func(obj any) {
		if v, ok := obj.(*corev1.PersistentVolume); ok && v.DeletionTimestamp != nil {
			queue.Add(v.Name)
		}
	}
	_, err := follow.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: changed, UpdateFunc: func(_, obj any) { changed(obj) }})
	if err != nil {
		return fmt.Errorf("follow volumes: %w", err)
	}
	factory.StartWithContext(ctx)
	stop := context.AfterFunc(ctx, queue.ShutDown)
	defer stop()
	for {
		name, ended := queue.Get()
		if ended {
			factory.Shutdown()
			return nil
		}
		v, err := follow.Lister().Get(name)
		if err == nil {
			err = k.release(ctx, v)
		}
		queue.Done(name)
		if err == nil || apierrors.IsNotFound(err) {
			queue.Forget(name)
			continue
		}
		k.Log.Info("a local volume is not removed yet", "volume", name, "error", err)
		queue.AddRateLimited(name)
	}
}

// release removes the data of a volume that is being deleted, and lets it go.
func (k *Keeper) release(ctx context.Context, v *corev1.PersistentVolume) error {
	if !doomed(v) {
		return nil
	}
	if r := v.Spec.ClaimRef; r != nil && k.Mounted(r.Namespace, r.Name) {
		return fmt.Errorf("a pod on this node has it: claim %s/%s", r.Namespace, r.Name)
	}
	at, err := directory(k.Root, v)
	if err != nil {
		return err
	}
	for _, path := range []string{at + ".new", at} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	rest := slices.DeleteFunc(slices.Clone(v.Finalizers), func(f string) bool { return f == Finalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": v.UID, "resourceVersion": v.ResourceVersion, "finalizers": rest}})
	if err != nil {
		return err
	}
	_, err = k.Client.CoreV1().PersistentVolumes().Patch(ctx, v.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// doomed tells that the data of a volume is to be removed: the volume is being
// deleted, its policy is to delete, and no claim has it any more.
func doomed(v *corev1.PersistentVolume) bool {
	return v.DeletionTimestamp != nil && v.Annotations[provisionedBy] == Provisioner && slices.Contains(v.Finalizers, Finalizer) &&
		v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && v.Status.Phase != corev1.VolumeBound
}

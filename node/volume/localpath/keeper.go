package localpath

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

	"github.com/pintle-io/pintle/node/mount"
)

// Keeper follows the volumes of this node. Fields without a remark are required.
type Keeper struct {
	Client kubernetes.Interface
	Node   string // the node's name
	Root   string // as in Driver
	// Mounted tells whether a pod on this node still has the volume, whichever claim
	// it is of by now. It is asked from the beginning of Run.
	Mounted func(v *corev1.PersistentVolume) (bool, error)
	Log     *slog.Logger
}

// Run removes what is to be removed, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(k.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = labels.SelectorFromSet(labels.Set{NodeLabel: k.Node}).String()
	}))
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 5*time.Second)
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
			err = k.look(ctx, v)
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

// look removes a volume's data if the API itself still says that they are to go: what
// was seen of the volume may be older than its binding, or than the volume of now.
func (k *Keeper) look(ctx context.Context, seen *corev1.PersistentVolume) error {
	if !doomed(seen) {
		return nil
	}
	// A list by its label is what a node may ask for; without a resourceVersion it is new.
	list, err := k.Client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(labels.Set{NodeLabel: k.Node}).String(), FieldSelector: "metadata.name=" + seen.Name})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if v := &list.Items[i]; v.Name == seen.Name && v.UID == seen.UID && v.Labels[NodeLabel] == k.Node {
			return k.release(ctx, v)
		}
	}
	return nil // the watch will tell of it
}

// release removes the data of a volume that is being deleted, and lets it go.
func (k *Keeper) release(ctx context.Context, v *corev1.PersistentVolume) error {
	if !doomed(v) {
		return nil
	}
	if mounted, err := k.Mounted(v); err != nil || mounted {
		return cmp.Or(err, errors.New("a pod on this node has it"))
	}
	at, err := directory(k.Root, v)
	if err != nil {
		return err
	}
	for _, path := range []string{half(at), at} {
		if err := remove(path); err != nil {
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

// remove removes a directory, and nothing of what a container has mounted in it
// (Bidirectional): that is somebody's data, and not the volume's.
func remove(dir string) error {
	if err := mount.DetachBelow(dir); err != nil {
		return err
	}
	if left, err := mount.Below(dir); err != nil || len(left) > 0 {
		return cmp.Or(err, fmt.Errorf("%v still mounted", left))
	}
	return os.RemoveAll(dir)
}

// doomed tells that the data of a volume is to be removed: the volume is being
// deleted, its policy is to delete, and no claim has it any more.
func doomed(v *corev1.PersistentVolume) bool {
	return v.DeletionTimestamp != nil && v.Annotations[provisionedBy] == Provisioner && slices.Contains(v.Finalizers, Finalizer) &&
		v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && v.Status.Phase != corev1.VolumeBound
}

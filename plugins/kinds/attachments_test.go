package kinds_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const csiDriver = "d.example.com"

// attacher acts on VolumeAttachments as the external-attacher of a driver does, until
// the test ends: a finalizer, then what fail says of the node, or that it is attached;
// one that is deleted loses the finalizer.
func (g stateful) attacher(t testing.TB, fail func(node string) string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	api := g.StorageV1().VolumeAttachments()
	w, err := api.Watch(ctx, metav1.ListOptions{})
	g.must(t, err)
	patch := func(name, body string, sub ...string) {
		if _, err := api.Patch(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{}, sub...); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			t.Error(err)
		}
	}
	go func() {
		defer close(done)
		defer w.Stop()
		for e := range w.ResultChan() {
			a, ok := e.Object.(*storagev1.VolumeAttachment)
			switch {
			case !ok || e.Type == "DELETED" || a.Spec.Attacher != csiDriver:
			case a.DeletionTimestamp != nil && len(a.Finalizers) > 0:
				patch(a.Name, `{"metadata":{"finalizers":null}}`)
			case a.DeletionTimestamp == nil && len(a.Finalizers) == 0:
				patch(a.Name, `{"metadata":{"finalizers":["external-attacher/d"]}}`)
			case a.DeletionTimestamp == nil && !a.Status.Attached && a.Status.AttachError == nil:
				if m := fail(a.Spec.NodeName); m != "" {
					patch(a.Name, fmt.Sprintf(`{"status":{"attachError":{"time":"2026-01-02T03:04:05Z","message":%q}}}`, m), "status")
					continue
				}
				patch(a.Name, `{"status":{"attached":true,"attachError":null}}`, "status")
			}
		}
	}()
}

// attachedTo waits until a volume is attached to these nodes and no others, and each of
// them has been told.
func (g stateful) attachedTo(t testing.TB, handle string, nodes ...string) {
	t.Helper()
	name := corev1.UniqueVolumeName("kubernetes.io/csi/" + csiDriver + "^" + handle)
	g.eventually(t, fmt.Sprintf("%s is attached to %v", handle, nodes), func() string {
		all, err := g.StorageV1().VolumeAttachments().List(t.Context(), metav1.ListOptions{})
		g.must(t, err)
		var has []string
		for _, a := range all.Items {
			if a.Status.Attached {
				has = append(has, a.Spec.NodeName)
			}
		}
		list, err := g.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		g.must(t, err)
		var told []string
		for _, n := range list.Items {
			if slices.ContainsFunc(n.Status.VolumesAttached, func(v corev1.AttachedVolume) bool { return v.Name == name }) {
				told = append(told, n.Name)
			}
		}
		if slices.Sort(has); !slices.Equal(has, nodes) || !slices.Equal(told, nodes) || len(all.Items) != len(nodes) {
			return fmt.Sprintf("attached to %v, told %v, %d attachments", has, told, len(all.Items))
		}
		return ""
	})
}

func (g stateful) podWith(t testing.TB, name, node, claim string) {
	t.Helper()
	_, err := g.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}},
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}}}, metav1.CreateOptions{})
	g.must(t, err)
}

func (g stateful) removePod(t testing.TB, name string) {
	t.Helper()
	g.must(t, g.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
}

// TestAttachDetach: a volume of a driver follows its pods from node to node, and what
// happens to it is told in their events, and in the status of the nodes.
func TestAttachDetach(t *testing.T) {
	g := newShipping(t, "persistent-volume-binder", "attachdetach")
	ctx, nodes := t.Context(), g.CoreV1().Nodes()
	g.attacher(t, func(node string) string {
		if node == "c" {
			return "no room on c"
		}
		return ""
	})
	v := aHostPath("pv", "1Gi", corev1.PersistentVolumeReclaimRetain)
	v.Spec.HostPath, v.Spec.CSI = nil, &corev1.CSIPersistentVolumeSource{Driver: csiDriver, VolumeHandle: "h"}
	_, err := g.CoreV1().PersistentVolumes().Create(ctx, v, metav1.CreateOptions{})
	g.must(t, err)
	none := ""
	_, err = g.CoreV1().PersistentVolumeClaims("default").Create(ctx, aClaim("data", "1Gi", &none), metav1.CreateOptions{})
	g.must(t, err)
	g.claim(t, "data", corev1.ClaimBound)
	for _, n := range []string{"a", "b", "c"} {
		_, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}, metav1.CreateOptions{})
		g.must(t, err)
	}
	manage := func(n string) {
		_, err := nodes.Patch(ctx, n, types.MergePatchType, []byte(`{"metadata":{"annotations":{"volumes.kubernetes.io/controller-managed-attach-detach":"true"}}}`), metav1.PatchOptions{})
		g.must(t, err)
	}
	manage("b")
	manage("c")
	g.podWith(t, "one", "a", "data")
	manage("a") // after its pod
	g.attachedTo(t, "h", "a")
	g.told(t, "one", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume "pv" `)

	g.podWith(t, "two", "b", "data")
	g.told(t, "two", "FailedAttachVolume", `Waiting for detach for volume "pv" Volume is already used by pod(s) one`)
	inUse := func(n, list string) {
		_, err := nodes.Patch(ctx, n, types.MergePatchType, []byte(`{"status":{"volumesInUse":`+list+`}}`), metav1.PatchOptions{}, "status")
		g.must(t, err)
	}
	inUse("a", `["kubernetes.io/csi/d.example.com^h"]`)
	g.removePod(t, "one")
	g.attachedTo(t, "h", "a") // the node uses it
	inUse("a", "null")
	g.attachedTo(t, "h", "b")

	g.removePod(t, "two")
	g.attachedTo(t, "h")
	g.podWith(t, "three", "c", "data")
	g.told(t, "three", "FailedAttachVolume", `AttachVolume.Attach failed for volume "pv" : no room on c`)
	g.removePod(t, "three")
	g.attachedTo(t, "h")
	g.noFault(t, "attachdetach")
}

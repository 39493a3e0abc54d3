package kinds_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// newStorage is a control plane with what acts on volumes, with the accounts and the
// permissions that it ships with.
func newStorage(t testing.TB) stateful {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if !slices.Contains([]string{"persistent-volume-binder", "local-path", "ephemeral-volume", "volume-expand", "pv-protection", "pvc-protection", "storage-protection", "claim-resize", "default-storage-class"}, p.Name) {
				continue
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative, Order: p.Order}}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
			}
			c.Builtins = append(c.Builtins, b)
		}
	})
	<-g.PluginsSynced()
	return stateful{g}
}

func aClaim(name, size string, class *string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: class,
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}}}
}

func aHostPath(name, size string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, PersistentVolumeReclaimPolicy: policy,
		Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp/" + name}}}}
}

// claim waits until a claim is in a phase.
func (g stateful) claim(t testing.TB, name string, phase corev1.PersistentVolumeClaimPhase) (c *corev1.PersistentVolumeClaim) {
	t.Helper()
	g.eventually(t, fmt.Sprintf("claim %s is %s", name, phase), func() string {
		var err error
		if c, err = g.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		if c.Status.Phase != phase {
			return fmt.Sprintf("%s, volume %q, annotations %v", c.Status.Phase, c.Spec.VolumeName, c.Annotations)
		}
		return ""
	})
	return c
}

// volume waits until a volume is in a phase.
func (g stateful) volume(t testing.TB, name string, phase corev1.PersistentVolumePhase) (v *corev1.PersistentVolume) {
	t.Helper()
	g.eventually(t, fmt.Sprintf("volume %s is %s", name, phase), func() string {
		var err error
		if v, err = g.CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		if v.Status.Phase != phase {
			return string(v.Status.Phase)
		}
		return ""
	})
	return v
}

// told waits for an event about a claim, or a pod.
func (g stateful) told(t testing.TB, name, reason, message string) {
	t.Helper()
	g.eventually(t, fmt.Sprintf("event %s of %s", reason, name), func() string {
		list, err := g.CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
		if err != nil {
			return err.Error()
		}
		var seen []string
		for _, e := range list.Items {
			if e.Reason == reason && strings.Contains(e.Message, message) {
				return ""
			}
			seen = append(seen, e.Reason+": "+e.Message)
		}
		return strings.Join(seen, "\n")
	})
}

// TestVolumeBinding: claims and volumes made by hand, as their user sees them.
func TestVolumeBinding(t *testing.T) {
	g := newStorage(t)
	claims, volumes, none := g.CoreV1().PersistentVolumeClaims("default"), g.CoreV1().PersistentVolumes(), ""
	g.warnings = nil
	for _, v := range []*corev1.PersistentVolume{aHostPath("large", "10Gi", corev1.PersistentVolumeReclaimRetain), aHostPath("small", "2Gi", corev1.PersistentVolumeReclaimRetain)} {
		_, err := volumes.Create(t.Context(), v, metav1.CreateOptions{})
		g.must(t, err)
	}
	g.volume(t, "large", corev1.VolumeAvailable)
	g.volume(t, "small", corev1.VolumeAvailable)
	_, err := claims.Create(t.Context(), aClaim("one", "1Gi", &none), metav1.CreateOptions{})
	g.must(t, err)
	if len(g.warnings) > 0 {
		t.Errorf("warnings %q", g.warnings)
	}
	c := g.claim(t, "one", corev1.ClaimBound)
	v := g.volume(t, "small", corev1.VolumeBound)
	if c.Spec.VolumeName != "small" || c.Status.Capacity.Storage().String() != "2Gi" || c.Annotations["pv.kubernetes.io/bind-completed"] != "yes" ||
		c.Annotations["pv.kubernetes.io/bound-by-controller"] != "yes" || !slices.Equal(c.Status.AccessModes, v.Spec.AccessModes) {
		t.Errorf("claim %+v", c)
	}
	if r := v.Spec.ClaimRef; r == nil || r.UID != c.UID || r.Kind != "PersistentVolumeClaim" || v.Annotations["pv.kubernetes.io/bound-by-controller"] != "yes" || v.Status.LastPhaseTransitionTime == nil {
		t.Errorf("volume %+v", v)
	}
	// A claim waits until there is a volume for it.
	_, err = claims.Create(t.Context(), aClaim("huge", "50Gi", &none), metav1.CreateOptions{})
	g.must(t, err)
	g.told(t, "huge", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
	_, err = volumes.Create(t.Context(), aHostPath("enormous", "100Gi", corev1.PersistentVolumeReclaimDelete), metav1.CreateOptions{})
	g.must(t, err)
	if c := g.claim(t, "huge", corev1.ClaimBound); c.Spec.VolumeName != "enormous" {
		t.Errorf("bound to %s", c.Spec.VolumeName)
	}
	// What is kept is Released, and nobody else's; what nobody can delete has failed.
	g.must(t, claims.Delete(t.Context(), "one", metav1.DeleteOptions{}))
	g.must(t, claims.Delete(t.Context(), "huge", metav1.DeleteOptions{}))
	g.volume(t, "small", corev1.VolumeReleased)
	g.volume(t, "enormous", corev1.VolumeFailed)
	g.told(t, "enormous", "VolumeFailedDelete", "no deletable volume plugin matched")
	_, err = claims.Create(t.Context(), aClaim("two", "1Gi", &none), metav1.CreateOptions{})
	g.must(t, err)
	if c := g.claim(t, "two", corev1.ClaimBound); c.Spec.VolumeName != "large" {
		t.Errorf("bound to %s", c.Spec.VolumeName)
	}
	// A claim whose volume is taken away is lost.
	g.must(t, volumes.Delete(t.Context(), "large", metav1.DeleteOptions{}))
	_, err = volumes.Patch(t.Context(), "large", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	g.must(t, err)
	g.claim(t, "two", corev1.ClaimLost)
	g.told(t, "two", "ClaimLost", "Data on the volume is lost!")
}

// TestLocalPath: a claim of the provisioner's class, from the pod that waits for it to
// the directory that is to be removed. The scheduler and the node agent are played.
func TestLocalPath(t *testing.T) {
	g := newStorage(t)
	ctx, claims, volumes := t.Context(), g.CoreV1().PersistentVolumeClaims("default"), g.CoreV1().PersistentVolumes()
	_, err := claims.Create(ctx, aClaim("data", "1Gi", nil), metav1.CreateOptions{})
	g.must(t, err)
	g.told(t, "data", "FailedBinding", "no storage class is set")
	// The class comes later, and the claim gets it.
	wait, grow := storagev1.VolumeBindingWaitForFirstConsumer, true
	_, err = g.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local-path", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: "pintle.dev/local-path", VolumeBindingMode: &wait, AllowVolumeExpansion: &grow}, metav1.CreateOptions{})
	g.must(t, err)
	g.told(t, "data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
	_, err = g.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: "i"}},
		Volumes: []corev1.Volume{
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
			{Name: "tmp", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: aClaim("", "1Gi", nil).Spec}}}},
		}}}, metav1.CreateOptions{})
	g.must(t, err)
	g.told(t, "data", "WaitForPodScheduled", "waiting for pod p to be scheduled")
	if tmp := g.claim(t, "p-tmp", corev1.ClaimPending); len(tmp.OwnerReferences) != 1 || tmp.OwnerReferences[0].Name != "p" {
		t.Errorf("owners %v", tmp.OwnerReferences)
	}
	_, err = g.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelHostname: "n"},
		Annotations: map[string]string{"pintle.dev/local-path-directory": "/var/lib/x"}}}, metav1.CreateOptions{})
	g.must(t, err)
	g.annotate(ctx, t, "data", "volume.kubernetes.io/selected-node", "nowhere")
	g.told(t, "data", "ProvisioningFailed", `node "nowhere" not found`)
	g.eventually(t, "another node is asked for", func() string {
		c, err := claims.Get(ctx, "data", metav1.GetOptions{})
		g.must(t, err)
		return c.Annotations["volume.kubernetes.io/selected-node"]
	})
	g.annotate(ctx, t, "data", "volume.kubernetes.io/selected-node", "n")
	c := g.claim(t, "data", corev1.ClaimBound)
	name := "pvc-" + string(c.UID)
	v := g.volume(t, name, corev1.VolumeBound)
	if c.Spec.VolumeName != name || v.Spec.Local == nil || v.Spec.Local.Path != "/var/lib/x/"+name || v.Spec.StorageClassName != "local-path" || c.Annotations["volume.kubernetes.io/storage-provisioner"] != "pintle.dev/local-path" {
		t.Errorf("claim %+v, volume %+v", c, v)
	}
	g.told(t, "data", "ProvisioningSucceeded", name)
	_, err = claims.Patch(ctx, "data", types.MergePatchType, []byte(`{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}`), metav1.PatchOptions{})
	g.must(t, err)
	g.told(t, "data", "VolumeResizeSuccessful", "")
	if c := g.claim(t, "data", corev1.ClaimBound); c.Status.Capacity.Storage().String() != "3Gi" {
		t.Errorf("capacity %v", c.Status.Capacity)
	}
	g.must(t, g.CoreV1().Pods("default").Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	g.must(t, claims.Delete(ctx, "data", metav1.DeleteOptions{}))
	g.eventually(t, "the volume waits for its node", func() string {
		v, err := volumes.Get(ctx, name, metav1.GetOptions{})
		g.must(t, err)
		if v.DeletionTimestamp == nil || !slices.Equal(v.Finalizers, []string{"pintle.dev/local-path"}) {
			return fmt.Sprint(v.DeletionTimestamp, v.Finalizers, v.Status.Phase)
		}
		return ""
	})
	g.must(t, g.CoreV1().Nodes().Delete(ctx, "n", metav1.DeleteOptions{}))
	g.eventually(t, "with its node the volume goes", func() string {
		if _, err := volumes.Get(ctx, name, metav1.GetOptions{}); err == nil {
			return "it is there"
		}
		return ""
	})
}

func (g stateful) annotate(ctx context.Context, t testing.TB, claim, key, value string) {
	t.Helper()
	_, err := g.CoreV1().PersistentVolumeClaims("default").Patch(ctx, claim, types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value), metav1.PatchOptions{})
	g.must(t, err)
}

package kerneltest_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/standard"
)

// volumes is a cluster of two nodes with the scheduler that ships, in which the test
// plays who binds claims and makes volumes.
type volumes struct {
	*testing.T
	kubernetes.Interface
}

func newVolumes(t *testing.T) *volumes {
	t.Helper()
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	must(t, err)
	s := kerneltest.Start(t, kerneltest.Options{Table: table, Config: func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		i := slices.IndexFunc(standard.Plugins, func(p standard.Plugin) bool { return p.Name == "scheduling" })
		p := standard.Plugins[i]
		b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative}}
		for _, r := range p.Rules {
			b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
		}
		c.Builtins = append(c.Builtins, b)
	}})
	v := &volumes{t, kerneltest.Client(t, s.Admin())}
	for _, name := range []string{"a", "b"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"host": name}}, Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{"cpu": resource.MustParse("8"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("110")}}}
		_, err := v.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})
		must(t, err)
	}
	for name, provisioner := range map[string]string{"local": "kubernetes.io/no-provisioner", "made": "example.com/maker"} {
		mode := storagev1.VolumeBindingWaitForFirstConsumer
		_, err := v.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}, metav1.CreateOptions{})
		must(t, err)
	}
	return v
}

// volume makes one that can be used on a node, and is free.
func (v *volumes) volume(name, class, node string) *corev1.PersistentVolume {
	v.Helper()
	pv, err := v.CoreV1().PersistentVolumes().Create(v.Context(), &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{"storage": resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: class,
		PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/" + name}},
		NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "host", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}}}},
	}}, metav1.CreateOptions{})
	must(v.T, err)
	pv.Status.Phase = corev1.VolumeAvailable
	pv, err = v.CoreV1().PersistentVolumes().UpdateStatus(v.Context(), pv, metav1.UpdateOptions{})
	must(v.T, err)
	return pv
}

func (v *volumes) claim(name, class string) *corev1.PersistentVolumeClaim {
	v.Helper()
	c, err := v.CoreV1().PersistentVolumeClaims("default").Create(v.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}}}}, metav1.CreateOptions{})
	must(v.T, err)
	return c
}

func (v *volumes) pod(name, claim string) {
	v.Helper()
	_, err := v.CoreV1().Pods("default").Create(v.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: "i"}},
		Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}}}, metav1.CreateOptions{})
	must(v.T, err)
}

// bind plays the controller that ends a binding.
func (v *volumes) bind(claim, volume string) {
	v.Helper()
	must(v.T, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		c, err := v.CoreV1().PersistentVolumeClaims("default").Get(v.Context(), claim, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c.Spec.VolumeName = volume
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, "pv.kubernetes.io/bind-completed", "yes")
		_, err = v.CoreV1().PersistentVolumeClaims("default").Update(v.Context(), c, metav1.UpdateOptions{})
		return err
	}))
}

func (v *volumes) getPod(name string) *corev1.Pod {
	p, err := v.CoreV1().Pods("default").Get(context.WithoutCancel(v.Context()), name, metav1.GetOptions{})
	must(v.T, err)
	return p
}

func (v *volumes) onNode(pod string) func() bool {
	return func() bool { return v.getPod(pod).Spec.NodeName != "" }
}

func (v *volumes) says(pod, message string) func() bool {
	return func() bool {
		return slices.ContainsFunc(v.getPod(pod).Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message == message
		})
	}
}

// givenTo tells whether a volume was given to a claim as upstream's scheduler does it.
func (v *volumes) givenTo(volume string, c *corev1.PersistentVolumeClaim) func() bool {
	return func() bool {
		pv, err := v.CoreV1().PersistentVolumes().Get(v.Context(), volume, metav1.GetOptions{})
		must(v.T, err)
		r := pv.Spec.ClaimRef
		return r != nil && r.UID == c.UID && r.Name == c.Name && r.Kind == "PersistentVolumeClaim" && pv.Annotations["pv.kubernetes.io/bound-by-controller"] == "yes"
	}
}

func (v *volumes) selected(claim string) string {
	c, err := v.CoreV1().PersistentVolumeClaims("default").Get(v.Context(), claim, metav1.GetOptions{})
	must(v.T, err)
	return c.Annotations["volume.kubernetes.io/selected-node"]
}

// TestVolumesThatExist: a pod goes where a volume for its claim is, and is bound once
// the claim is; a volume that is promised to one is promised to no other.
func TestVolumesThatExist(t *testing.T) {
	v := newVolumes(t)
	v.volume("pv-a", "local", "a")
	v.pod("first", "data")
	eventually(t, "a pod without its claim", v.says("first", `0/2 nodes are available: persistentvolumeclaim "data" not found.`))
	data := v.claim("data", "local")
	eventually(t, "a volume that is given to the claim", v.givenTo("pv-a", data))
	if n := v.getPod("first").Spec.NodeName; n != "" {
		t.Errorf("the pod is bound to %s before its claim is bound", n)
	}

	other := v.claim("other", "local")
	v.pod("second", "other")
	eventually(t, "a pod for which no volume is left", v.says("second", "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."))
	v.bind("data", "pv-a")
	eventually(t, "the first pod on a node", v.onNode("first"))
	if n := v.getPod("first").Spec.NodeName; n != "a" {
		t.Errorf("the pod is on %s, its volume on a", n)
	}

	v.volume("pv-b", "local", "b") // wakes the second pod
	eventually(t, "the other volume", v.givenTo("pv-b", other))
	v.bind("other", "pv-b")
	eventually(t, "the second pod on a node", v.onNode("second"))
	if n := v.getPod("second").Spec.NodeName; n != "b" {
		t.Errorf("the pod is on %s, its volume on b", n)
	}

	v.pod("again", "data") // its claim is bound: it goes where the volume is, at once
	eventually(t, "a pod whose claim is bound", v.onNode("again"))
	if n := v.getPod("again").Spec.NodeName; n != "a" {
		t.Errorf("the pod is on %s, its volume on a", n)
	}
}

// TestVolumesThatAreMade: whoever makes volumes is told the node, may give it back, and
// the pod is placed anew.
func TestVolumesThatAreMade(t *testing.T) {
	v := newVolumes(t)
	v.claim("data", "made")
	v.pod("p", "data")
	eventually(t, "a node that is selected", func() bool { return v.selected("data") != "" })
	patch := `{"metadata":{"annotations":{"volume.kubernetes.io/selected-node":null}}}`
	_, err := v.CoreV1().PersistentVolumeClaims("default").Patch(t.Context(), "data", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	must(t, err)
	eventually(t, "the event of a placement that was given up", func() bool {
		list, err := v.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		must(t, err)
		return slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
			return e.Reason == "FailedScheduling" && strings.Contains(e.Message, `running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"`)
		})
	})
	eventually(t, "another try", func() bool { return v.selected("data") != "" })
	node := v.selected("data")
	v.volume("made-1", "made", node)
	v.bind("data", "made-1")
	eventually(t, "the pod on a node", v.onNode("p"))
	if n := v.getPod("p").Spec.NodeName; n != node {
		t.Errorf("the pod is on %s, its volume was made on %s", n, node)
	}
}

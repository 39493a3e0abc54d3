package node_test

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

func setup(t *testing.T) (admin, n1 *kubernetes.Clientset) {
	t.Helper()
	c := kerneltest.Start(t, kerneltest.Options{})
	admin = kerneltest.Client(t, c.Admin())
	ctx, o := t.Context(), metav1.CreateOptions{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"n2"} {
		_, err := admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}, o)
		must(err)
	}
	for _, n := range []string{"mine", "theirs"} {
		_, err := admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: n}}, o)
		must(err)
		_, err = admin.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: n}}, o)
		must(err)
		_, err = admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: n}}, o)
		must(err)
		node := map[string]string{"mine": "n1", "theirs": "n2"}[n]
		_, err = admin.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: n}, Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: n,
			Containers: []corev1.Container{{Name: "c", EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: n}}}}}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: n}}},
				{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "api"}}, {ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "vault", Audience: "vault"}}}}}}},
		}}, o)
		must(err)
	}
	return admin, kerneltest.Client(t, c.User(t, "system:node:n1", "system:nodes"))
}

func TestWhatANodeMayDo(t *testing.T) {
	admin, n1 := setup(t)
	ctx := t.Context()
	if _, err := admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "audience"},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"request-serviceaccounts-token-audience"}, APIGroups: []string{""}, Resources: []string{"granted"}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "audience"},
		RoleRef:  rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "audience"},
		Subjects: []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "Group", Name: "system:nodes"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	core := n1.CoreV1()
	get, create, update := metav1.GetOptions{}, metav1.CreateOptions{}, metav1.UpdateOptions{}
	pod := func(name string) *corev1.Pod {
		p, err := admin.CoreV1().Pods("default").Get(ctx, name, get)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	mirror := func(node string) error {
		n, err := admin.CoreV1().Nodes().Get(ctx, node, get)
		if err != nil {
			return err
		}
		yes := true
		_, err = core.Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "mirror-" + node, Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node, UID: n.UID, Controller: &yes}}},
			Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c"}}}}, create)
		return err
	}
	token := func(pod *corev1.Pod, account string, audiences ...string) error {
		_, err := core.ServiceAccounts("default").CreateToken(ctx, account, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}, Audiences: audiences}}, create)
		return err
	}
	lease := func(ns, name string) error {
		_, err := n1.CoordinationV1().Leases(ns).Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}}, create)
		return err
	}
	node := func(name string, labels map[string]string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	patch := func(name, body string) error {
		_, err := core.Nodes().Patch(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{})
		return err
	}
	tests := []struct {
		name string
		do   func() error
		ok   bool
	}{
		{"secret of its pod", func() error { _, err := core.Secrets("default").Get(ctx, "mine", get); return err }, true},
		{"secret of another node's pod", func() error { _, err := core.Secrets("default").Get(ctx, "theirs", get); return err }, false},
		{"all secrets", func() error { _, err := core.Secrets("default").List(ctx, metav1.ListOptions{}); return err }, false},
		{"one secret by selector", func() error {
			_, err := core.Secrets("default").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=mine"})
			return err
		}, true},
		{"configmap of its pod", func() error { _, err := core.ConfigMaps("default").Get(ctx, "mine", get); return err }, true},
		{"configmap of another", func() error { _, err := core.ConfigMaps("default").Get(ctx, "theirs", get); return err }, false},
		{"write a configmap", func() error {
			_, err := core.ConfigMaps("default").Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, update)
			return err
		}, false},
		{"its pods", func() error {
			_, err := core.Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"})
			return err
		}, true},
		{"another node's pods", func() error {
			_, err := core.Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n2"})
			return err
		}, false},
		{"its local volumes", func() error {
			_, err := core.PersistentVolumes().List(ctx, metav1.ListOptions{LabelSelector: "pintle.dev/local-path-node=n1"})
			if apierrors.IsNotFound(err) { // this server has no volumes at all; who may not is told so before
				return nil
			}
			return err
		}, true},
		{"another's local volumes", func() error {
			_, err := core.PersistentVolumes().List(ctx, metav1.ListOptions{LabelSelector: "pintle.dev/local-path-node=n2"})
			return err
		}, false},
		{"all but another's local volumes", func() error {
			_, err := core.PersistentVolumes().List(ctx, metav1.ListOptions{LabelSelector: "pintle.dev/local-path-node!=n1"})
			return err
		}, false},
		{"all volumes", func() error { _, err := core.PersistentVolumes().List(ctx, metav1.ListOptions{}); return err }, false},
		{"all pods", func() error { _, err := core.Pods("").List(ctx, metav1.ListOptions{}); return err }, false},
		{"its pod", func() error { _, err := core.Pods("default").Get(ctx, "mine", get); return err }, true},
		{"another's pod", func() error { _, err := core.Pods("default").Get(ctx, "theirs", get); return err }, false},
		{"status of its pod", func() error {
			p := pod("mine")
			p.Status.Phase = "Running"
			_, err := core.Pods("default").UpdateStatus(ctx, p, update)
			return err
		}, true},
		{"status of another's", func() error {
			p := pod("theirs")
			p.Status.Phase = "Failed"
			_, err := core.Pods("default").UpdateStatus(ctx, p, update)
			return err
		}, false},
		{"a pod of its own making", func() error {
			_, err := core.Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c"}}}}, create)
			return err
		}, false},
		{"register with a restricted label", func() error {
			_, err := core.Nodes().Create(ctx, node("n1", map[string]string{"node-restriction.kubernetes.io/a": "b"}), create)
			return err
		}, false},
		{"register as another", func() error { _, err := core.Nodes().Create(ctx, node("n3", nil), create); return err }, false},
		{"register with a range of pod addresses", func() error {
			n := node("n1", nil)
			n.Spec.PodCIDR, n.Spec.PodCIDRs = "10.0.0.0/8", []string{"10.0.0.0/8"}
			_, err := core.Nodes().Create(ctx, n, create)
			return err
		}, false},
		{"register", func() error {
			_, err := core.Nodes().Create(ctx, node("n1", map[string]string{"kubernetes.io/hostname": "n1", "rack": "7"}), create)
			return err
		}, true},
		{"a mirror pod", func() error { return mirror("n1") }, true},
		{"a mirror pod elsewhere", func() error { return mirror("n2") }, false},
		{"other nodes are visible", func() error { _, err := core.Nodes().List(ctx, metav1.ListOptions{}); return err }, true},
		{"its label", func() error { return patch("n1", `{"metadata":{"labels":{"rack":"8"}}}`) }, true},
		{"its taints", func() error { return patch("n1", `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`) }, false},
		{"its range of pod addresses", func() error { return patch("n1", `{"spec":{"podCIDR":"10.0.0.0/8","podCIDRs":["10.0.0.0/8"]}}`) }, false},
		{"another's label", func() error { return patch("n2", `{"metadata":{"labels":{"rack":"8"}}}`) }, false},
		{"lease", func() error { return lease("kube-node-lease", "n1") }, true},
		{"another's lease", func() error { return lease("kube-node-lease", "n2") }, false},
		{"lease elsewhere", func() error { return lease("default", "n1") }, false},
		{"token for its pod", func() error { return token(pod("mine"), "mine") }, true},
		{"token for another's pod", func() error { return token(pod("theirs"), "theirs") }, false},
		{"token for an audience that the pod names", func() error { return token(pod("mine"), "mine", "vault") }, true},
		{"token for another audience", func() error { return token(pod("mine"), "mine", "bank") }, false},
		{"token for one audience and another", func() error { return token(pod("mine"), "mine", "vault", "bank") }, false},
		{"token for an audience that was granted", func() error { return token(pod("mine"), "mine", "granted") }, true},
		{"token of its account for another's pod", func() error { return token(pod("theirs"), "mine") }, false},
		{"token without a pod", func() error {
			_, err := core.ServiceAccounts("default").CreateToken(ctx, "mine", &authenticationv1.TokenRequest{}, create)
			return err
		}, false},
		{"delete another's pod", func() error { return core.Pods("default").Delete(ctx, "theirs", metav1.DeleteOptions{}) }, false},
		{"delete its pod", func() error { return core.Pods("default").Delete(ctx, "mine", metav1.DeleteOptions{}) }, true},
		{"secret after its pod is gone", func() error { _, err := core.Secrets("default").Get(ctx, "mine", get); return err }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); tt.ok && err != nil || !tt.ok && !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want allowed=%v", err, tt.ok)
			}
		})
	}
}

package node_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth/node"
)

// oneNode is a cluster with node n1, whose uid is "u".
type oneNode struct{}

func (oneNode) Get(_ context.Context, gr schema.GroupResource, _, name string) (runtime.Object, error) {
	if gr.Resource == "nodes" && name == "n1" {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u"}}, nil
	}
	return nil, apierrors.NewNotFound(gr, name)
}

func (oneNode) List(context.Context, schema.GroupResource, string) ([]runtime.Object, error) {
	return nil, nil
}

// The texts are upstream's.
func TestMirrorPods(t *testing.T) {
	yes, no := true, false
	volume := func(v corev1.VolumeSource) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: v}} }
	}
	projected := func(s corev1.VolumeProjection) func(*corev1.Pod) {
		return volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{s}}})
	}
	for name, tc := range map[string]struct {
		node   string
		change func(*corev1.Pod)
		want   string // "" passes
	}{
		"right":               {"n1", func(*corev1.Pod) {}, ""},
		"a host path":         {"n1", volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}), ""},
		"the downward API":    {"n1", projected(corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{}}), ""},
		"no mirror":           {"n1", func(p *corev1.Pod) { p.Annotations = nil }, `pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`},
		"an empty annotation": {"n1", func(p *corev1.Pod) { p.Annotations[corev1.MirrorPodAnnotationKey] = "" }, ""},
		"elsewhere":           {"n1", func(p *corev1.Pod) { p.Spec.NodeName = "n2" }, `node "n1" can only create pods with spec.nodeName set to itself`},
		"no owner":            {"n1", func(p *corev1.Pod) { p.OwnerReferences = nil }, `node "n1" can only create pods with an owner reference set to itself`},
		"two owners":          {"n1", func(p *corev1.Pod) { p.OwnerReferences = append(p.OwnerReferences, p.OwnerReferences[0]) }, `node "n1" can only create pods with a single owner reference set to itself`},
		"another owner":       {"n1", func(p *corev1.Pod) { p.OwnerReferences[0].Name = "n2" }, `node "n1" can only create pods with an owner reference set to itself`},
		"no controller":       {"n1", func(p *corev1.Pod) { p.OwnerReferences[0].Controller = &no }, `node "n1" can only create pods with a controller owner reference set to itself`},
		"blocks":              {"n1", func(p *corev1.Pod) { p.OwnerReferences[0].BlockOwnerDeletion = &yes }, `node "n1" must not set blockOwnerDeletion on an owner reference`},
		"a former node":       {"n1", func(p *corev1.Pod) { p.OwnerReferences[0].UID = "old" }, "node n1 UID mismatch: expected old got u"},
		"no such node":        {"n2", func(p *corev1.Pod) { p.Spec.NodeName, p.OwnerReferences[0].Name = "n2", "n2" }, `nodes "n2" not found`},
		"an account":          {"n1", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "sa" }, `node "n1" can not create pods that reference serviceaccounts`},
		"a secret":            {"n1", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}), `node "n1" can not create pods that reference secrets`},
		"a config map": {"n1", func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
		}, `node "n1" can not create pods that reference configmaps`},
		"a device":            {"n1", func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "r"}} }, `node "n1" can not create pods that reference resourceclaims`},
		"a claim":             {"n1", volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}), `node "n1" can not create pods that reference persistentvolumeclaims`},
		"an ephemeral volume": {"n1", volume(corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}), `node "n1" can not create pods that reference persistentvolumeclaims (via ephemeral volumes)`},
		"a CSI volume":        {"n1", volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{}}), `node "n1" can not create pods that reference csidrivers (via CSI volumes)`},
		"a token":             {"n1", projected(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}), `node "n1" can not create pods that reference serviceaccounts (via projected volumes)`},
		"a trust bundle":      {"n1", projected(corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{}}), `node "n1" can not create pods that reference clustertrustbundles`},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "m", Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "u", Controller: &yes}}},
				Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c"}}}}
			tc.change(p)
			err := (&node.Restriction{Reader: oneNode{}}).Validate(t.Context(), &admission.Attributes{Operation: admission.Create,
				Resource: corev1.SchemeGroupVersion.WithResource("pods"), Name: "m", Object: p,
				User: &user.DefaultInfo{Name: "system:node:" + tc.node, Groups: []string{"system:nodes"}}})
			got := ""
			if err != nil {
				got = err.Error()
			}
			want := tc.want
			if want != "" && name != "no such node" {
				want = `pods "m" is forbidden: ` + want
			}
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/volume"
)

// What a pod waits for is said in upstream's words.
func TestClaims(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"}}
	now, yes := metav1.Now(), true
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "c"},
			Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}
		change(c)
		return c
	}
	volume := func(uid string) *corev1.PersistentVolume {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}}
		if uid != "" {
			v.Spec.ClaimRef = &corev1.ObjectReference{UID: types.UID(uid)}
		}
		return v
	}
	same := func(*corev1.PersistentVolumeClaim) {}
	for name, c := range map[string]struct {
		objects   []runtime.Object
		ephemeral bool
		want      string
	}{
		"bound":         {[]runtime.Object{claim(same), volume("c")}, false, ""},
		"none":          {nil, false, `failed to fetch PVC from API server: persistentvolumeclaims "c" not found`},
		"not bound":     {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimPending })}, false, "PVC is not bound"},
		"names nothing": {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "" })}, false, "PVC has empty pvc.Spec.VolumeName"},
		"leaving":       {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &now })}, false, "PVC is being deleted"},
		"leaving, in use": {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) {
			c.DeletionTimestamp, c.Finalizers = &now, []string{pvcProtection}
		}), volume("c")}, false, ""},
		"no volume":        {[]runtime.Object{claim(same)}, false, `failed to fetch PV v from API server: persistentvolumes "v" not found`},
		"a free volume":    {[]runtime.Object{claim(same), volume("")}, false, "nil pv.Spec.ClaimRef"},
		"another's volume": {[]runtime.Object{claim(same), volume("x")}, false, "does not point to claim.UID c"},
		"not the pod's":    {[]runtime.Object{claim(same), volume("c")}, true, "PVC default/c was not created for pod default/p (pod is not owner)"},
		"the pod's": {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u", Controller: &yes}}
		}), volume("c")}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := claims{fake.NewClientset(c.objects...)}.volume(t.Context(), pod, "c", c.ephemeral)
			switch {
			case c.want == "" && (err != nil || v == nil || v.Name != "v"):
				t.Errorf("got %v, %v", v, err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "error processing PVC default/c: ") || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func newParts(objects ...runtime.Object) *parts {
	c := fake.NewClientset(objects...)
	return &parts{agent: &Agent{client: c, informers: informer.New(c, "n"), ready: make(chan struct{}), cfg: Config{Name: "n", Log: slog.New(slog.DiscardHandler)}}}
}

// A volume is for the nodes of its affinity, by the labels that the API has now.
func TestFits(t *testing.T) {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}}
	node := func(host string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelHostname: host}}}
	}
	if err := newParts().fits(t.Context(), v); err != nil {
		t.Errorf("a volume for all: %v", err)
	}
	v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: "In", Values: []string{"here"}}}}}}}
	if err := newParts(node("there")).fits(t.Context(), v); err == nil || err.Error() != "no matching NodeSelectorTerms" {
		t.Errorf("another node's: %v", err)
	}
	if err := newParts().fits(t.Context(), v); err == nil {
		t.Error("fits a node that is not known")
	}
	p := newParts(node("here"))
	if err := p.agent.informers.Nodes().GetStore().Add(node("before")); err != nil {
		t.Fatal(err)
	}
	if err := p.fits(t.Context(), v); err != nil {
		t.Errorf("labels of before: %v", err)
	}
}

// Nothing is removed before it is known which pods there are.
func TestKeeperWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts()
		client := p.agent.client.(*fake.Clientset)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.keepLocalVolumes(ctx) }()
		synctest.Wait()
		if did := client.Actions(); len(did) > 0 {
			t.Errorf("before the pods are known: %v", did)
		}
		close(p.agent.ready)
		synctest.Wait()
		if len(client.Actions()) == 0 {
			t.Error("the volumes are not followed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A volume is a pod's by what the pod has, whatever its claim is called by now.
func TestMounted(t *testing.T) {
	root := t.TempDir()
	p := newParts()
	p.volumes = volume.New(volume.Config{Root: root})
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"}}
	if is, err := p.mounted(v); is || err != nil {
		t.Errorf("nobody's: %v, %v", is, err)
	}
	if err := os.MkdirAll(filepath.Join(root, "u", "persistent", "data", "pvc-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if is, err := p.mounted(v); !is || err != nil {
		t.Errorf("without a claim, a pod has it: %v, %v", is, err)
	}
}

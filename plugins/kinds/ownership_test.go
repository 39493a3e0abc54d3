package kinds_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

// Whoever writes through a path comes to own only what that path stores: what
// a kind resets or keeps is nobody's. Asked of every kind and every path, with
// objects in which everything is set over one in which nothing is.
func TestNobodyOwnsWhatIsNotStored(t *testing.T) {
	tab := unvalidated(t)
	p := start(t, tab, memory.New())
	f := filler(11)
	put(t, p, kindtest.Definition(t, "namespaces"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	for _, d := range tab.Definitions {
		if d.Virtual || !slices.Contains(d.Verbs, "create") || d.Resource == "services" || d.StoredAs != nil || d.JSONStored {
			continue
		}
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			for _, sub := range append(writableParts(d), "") {
				for i := range 5 {
					old := hollow(t, d)
					old.(metav1.Object).SetName(fmt.Sprintf("x%d%s", i, sub))
					res := put(t, p, d, old)
					sent := random(t, p.codec, d, f)
					m := sent.(metav1.Object)
					plainMeta(m)
					m.SetLabels(map[string]string{"through" + sub: "x"})
					m.SetAnnotations(map[string]string{"through" + sub: "x"})
					m.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "o", UID: "u"}})
					manager := "writer-" + sub
					res = changeAs(t, p, d, sub, manager, res, sent)
					for _, phantom := range phantoms(t, res.Object.Obj, manager) {
						if slices.Contains(droppedByHooks, d.Kind+"."+phantom) {
							continue
						}
						t.Errorf("through %q: %s is owned and not stored", sub, phantom)
					}
				}
			}
		})
	}
}

// droppedByHooks are fields of features that are off, or were removed: the
// kinds' hooks drop them on every path, here and upstream, and upstream lets
// their senders own them.
var droppedByHooks = []string{
	"CSINode.status.storageHealth", "Job.spec.scheduling", "Lease.spec.preferredHolder", "Lease.spec.strategy",
	"Node.spec.configSource", "Node.spec.podPreemptionPolicy", "Node.status.config", "PersistentVolumeClaim.status.healthStatus",
	"Pod.spec.evictionResponders", "Pod.spec.schedulingGroup", "ResourceSlice.spec.partitionTypeAttribute", "ResourceSlice.spec.skipNodeOperations",
}

func writableParts(d *resource.Definition) (out []string) {
	for i := range d.Subresources {
		if d.Subresources[i].PrepareForUpdate != nil {
			out = append(out, d.Subresources[i].Name)
		}
	}
	return out
}

// phantoms are what a manager owns of the first two levels of an object and
// what is not there.
func phantoms(t testing.TB, obj runtime.Object, manager string) (out []string) {
	t.Helper()
	have, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range obj.(metav1.Object).GetManagedFields() {
		if e.Manager != manager {
			continue
		}
		set := &fieldpath.Set{}
		if err := set.FromJSON(bytes.NewReader(e.FieldsV1.Raw)); err != nil {
			t.Fatal(err)
		}
		set.Iterate(func(p fieldpath.Path) {
			if name := missing(have, p); name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		})
	}
	return out
}

func missing(have map[string]any, p fieldpath.Path) string {
	var names []string
	depth := 2
	if p[0].FieldName != nil && *p[0].FieldName == "metadata" {
		depth = 3 // single labels
	}
	for _, e := range p[:min(depth, len(p))] {
		if e.FieldName == nil {
			break
		}
		names = append(names, *e.FieldName)
		value, ok := have[*e.FieldName]
		if !ok {
			return strings.Join(names, ".")
		}
		if have, ok = value.(map[string]any); !ok {
			break
		}
	}
	return ""
}

// A write through scale is the manager's, of one field, by way of scale.
func TestScaleIsOwnedThroughScale(t *testing.T) {
	p := start(t, kindtest.Table(t), memory.New())
	put(t, p, kindtest.Definition(t, "namespaces"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	meta := metav1.ObjectMeta{Name: "x", Namespace: "ns"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
	for name, obj := range map[string]runtime.Object{
		"deployments.apps":       &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](3), Selector: selector, Template: kindtest.Template()}},
		"replicasets.apps":       &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](3), Selector: selector, Template: kindtest.Template()}},
		"statefulsets.apps":      &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3), Selector: selector, Template: kindtest.Template()}},
		"replicationcontrollers": &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To[int32](3), Selector: selector.MatchLabels, Template: ptr.To(kindtest.Template())}},
	} {
		t.Run(name, func(t *testing.T) {
			d := kindtest.Definition(t, name)
			put(t, p, d, obj)
			at := registry.Target{Resource: d.GroupResource().WithVersion(d.StorageVersion), Namespace: "ns", Name: "x", Subresource: "scale"}
			for i, kind := range []types.PatchType{types.MergePatchType, types.StrategicMergePatchType} {
				// The manager that created the object, and another one.
				for _, manager := range []string{"m", "other"} {
					replicas := 10 + 2*i + len(manager)
					res, err := p.Patch(t.Context(), at, kind, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), registry.WriteOptions{FieldManager: manager})
					if err != nil {
						t.Fatal(err)
					}
					if got := int(res.Answer.(*autoscalingv1.Scale).Spec.Replicas); got != replicas {
						t.Errorf("%d replicas, want %d", got, replicas)
					}
					want := manager + " Update " + d.Hub().GroupVersion().String() + " scale"
					if got := ownersOfReplicas(t, p, at); got != want {
						t.Errorf("%s: replicas are owned by %q, want %q", kind, got, want)
					}
					// A write of something else leaves it that way.
					main := at
					main.Subresource = ""
					label := fmt.Appendf(nil, `{"metadata":{"labels":{"n":"%d"}}}`, replicas)
					if _, err := p.Patch(t.Context(), main, types.MergePatchType, label, registry.WriteOptions{FieldManager: "m"}); err != nil {
						t.Fatal(err)
					}
					if got := ownersOfReplicas(t, p, at); got != want {
						t.Errorf("%s, then a label: replicas are owned by %q, want %q", kind, got, want)
					}
				}
			}
		})
	}
}

func ownersOfReplicas(t testing.TB, p *plane, scale registry.Target) string {
	t.Helper()
	scale.Subresource = ""
	o, err := p.Get(t.Context(), scale, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range o.Obj.(metav1.Object).GetManagedFields() {
		if strings.Contains(e.FieldsV1.GetRawString(), "f:replicas") {
			out = append(out, fmt.Sprint(e.Manager, " ", e.Operation, " ", e.APIVersion, " ", e.Subresource))
		}
	}
	return strings.Join(out, ", ")
}

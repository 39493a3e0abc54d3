package hosttest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/hosttest/suite"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// podOfAPI is a pod as the server has it, with what the scheduler makes of it.
type podOfAPI struct {
	Metadata  *metav1.ObjectMeta `json:"metadata"`
	Spec      *corev1.PodSpec    `json:"spec"`
	Effective effective          `json:"effective"`
}

type effective struct {
	Requests  scheduling.Resources  `json:"requests"`
	NonZero   scheduling.Resources  `json:"nonZeroRequests"`
	Images    []string              `json:"images"`
	HostPorts []scheduling.HostPort `json:"hostPorts"`
}

func scheduledPod() *podOfAPI {
	return &podOfAPI{
		Metadata: &metav1.ObjectMeta{Namespace: "ns", Name: "p", Labels: map[string]string{"app/x": "web", "other": "o"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "rs", UID: "u"}}},
		Spec: &corev1.PodSpec{NodeName: "n", Priority: ptr.To(int32(-7)), NodeSelector: map[string]string{"disk": "ssd"},
			Tolerations: []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists, TolerationSeconds: ptr.To(int64(9))}},
			Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}, NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
					{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "b"}}}}}},
			}},
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 2, TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}},
			ResourceClaims:            []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: ptr.To("claim")}},
			PreemptionPolicy:          ptr.To(corev1.PreemptNever), SchedulingGroup: &corev1.PodSchedulingGroup{PodGroupName: ptr.To("group")}},
		Effective: effective{Requests: scheduling.Resources{MilliCPU: 250, Memory: 1 << 40, Extended: []scheduling.Amount{{Name: "e/gpu", Value: 2}}},
			NonZero: scheduling.Resources{MilliCPU: 250}, Images: []string{"a", "b"}, HostPorts: []scheduling.HostPort{{Protocol: "TCP", Port: 80}}},
	}
}

// testPod: a scheduling plugin is given the fields of pods that it declared or
// looked at, by whatever way.
func testPod(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{Name: "suite-pod"})
	call := func(op wire.Op, req []byte) []byte {
		t.Helper()
		resp, err := in.Call(t.Context(), op, req)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte(nil), resp...)
	}
	if list, err := schedule.ReadMembers(call(schedule.OpDescribe, nil)); err != nil || len(list) != 1 || !list[0].Filters {
		t.Fatalf("members %+v, %v", list, err)
	}
	fields, err := schedule.ReadFields(call(schedule.OpProfile, schedule.AppendUses(nil, []schedule.MemberUse{{Filter: true}})))
	if err != nil || fields == nil || *fields != "metadata(labels(app/x))" {
		t.Fatalf("declared %v, %v", fields, err)
	}
	var a schedule.PreFilterAnswer
	for range 5 {
		plan, err := projection.Of(*fields)
		if err != nil {
			t.Fatal(err)
		}
		b, err := plan.Append(nil, scheduledPod())
		if err != nil {
			t.Fatal(err)
		}
		if a, err = schedule.ReadPreFilter(call(schedule.OpPreFilter, b)); err != nil {
			t.Fatal(err)
		}
		if !a.Missing.Any() {
			break
		}
		fields = a.Missing.Fields
	}
	f, err := record.ParseFields(*fields)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"metadata.labels[app/x]": true, "metadata.labels": false, "metadata.name": false, "spec.tolerations.key": true,
		"spec.tolerations.tolerationSeconds": false, "spec.topologySpreadConstraints.labelSelector.matchLabels": true, "spec.aFieldOfTomorrow.name": true} {
		if f.Has(path) != want {
			t.Errorf("%s is declared: %v, in %q", path, !want, f)
		}
	}
	var got suite.Seen
	if a.RejectedBy != 1 || len(a.Reasons) != 1 {
		t.Fatalf("answer %+v", a)
	}
	if err := json.Unmarshal([]byte(a.Reasons[0]), &got); err != nil {
		t.Fatalf("%s: %v", a.Reasons[0], err)
	}
	p := scheduledPod()
	want := suite.Seen{Namespace: "ns", NodeName: "n", Label: "web", Priority: -7, Selector: p.Spec.NodeSelector, Requests: p.Effective.Requests, NonZero: p.Effective.NonZero,
		Affinity: &scheduling.NodeAffinity{Required: &scheduling.NodeSelector{Terms: []scheduling.NodeTerm{
			{Expressions: []scheduling.Requirement{{Key: "zone", Operator: "In", Values: []string{"a", "b"}}}}}}},
		Tolerations: []scheduling.Toleration{{Key: "k", Operator: "Exists"}}, Images: p.Effective.Images, Ports: p.Effective.HostPorts, Group: "group"}
	if d := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Typed" }, cmp.Ignore())); d != "" {
		t.Errorf("seen (-want +got):\n%s", d)
	}
	x := got.Typed
	if s := x.Spec; len(x.Metadata.OwnerReferences) != 1 || x.Metadata.OwnerReferences[0].Name != "rs" || len(s.Constraints) != 1 || s.Constraints[0].MaxSkew != 2 ||
		s.Constraints[0].LabelSelector.MatchLabels["a"] != "b" || len(s.ResourceClaims) != 1 || *s.ResourceClaims[0].ResourceClaimName != "claim" ||
		s.Policy == nil || *s.Policy != "Never" || s.Tomorrow != nil {
		t.Errorf("typed %+v", x)
	}
}

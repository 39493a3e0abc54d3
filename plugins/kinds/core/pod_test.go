package core_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestPodCreation(t *testing.T) {
	p := kindtest.NewPod(func(p *corev1.Pod) {
		p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "1.2.3.4"}
		p.Generation = 9
		p.Spec.ServiceAccountName = "sa"
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": quantity.MustParse("1")}
	})
	if errs := kindtest.Create(t, kindtest.Definition(t, "pods"), p); len(errs) > 0 {
		t.Fatal(errs)
	}
	if want := (corev1.PodStatus{Phase: corev1.PodPending, QOSClass: corev1.PodQOSBurstable}); !cmp.Equal(want, p.Status) {
		t.Errorf("status %+v, want %+v", p.Status, want)
	}
	if p.Generation != 1 {
		t.Errorf("generation %d, want 1", p.Generation)
	}
	got := []any{p.Spec.RestartPolicy, p.Spec.DNSPolicy, p.Spec.SchedulerName, *p.Spec.TerminationGracePeriodSeconds, *p.Spec.EnableServiceLinks,
		p.Spec.Containers[0].ImagePullPolicy, p.Spec.Containers[0].TerminationMessagePath, p.Spec.DeprecatedServiceAccount}
	want := []any{corev1.RestartPolicyAlways, corev1.DNSClusterFirst, "default-scheduler", int64(30), true, corev1.PullAlways, "/dev/termination-log", "sa"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestGatedPodSaysWhyItWaits(t *testing.T) {
	p := kindtest.NewPod(func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/gate"}} })
	if errs := kindtest.Create(t, kindtest.Definition(t, "pods"), p); len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(p.Status.Conditions) != 1 || p.Status.Conditions[0].Reason != "SchedulingGated" {
		t.Errorf("conditions %+v, want one of SchedulingGated", p.Status.Conditions)
	}
	if err := bindPod(t, p, "n1"); err == nil || !strings.Contains(err.Error(), "has non-empty .spec.schedulingGates") {
		t.Errorf("binding a gated pod: %v", err)
	}
}

func TestMatchLabelKeysBecomeSelectors(t *testing.T) {
	p := kindtest.NewPod(func(p *corev1.Pod) {
		p.Labels = map[string]string{"hash": "h1"}
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, MatchLabelKeys: []string{"hash"}}}
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{}, MismatchLabelKeys: []string{"hash"}}}}}
	})
	if errs := kindtest.Create(t, kindtest.Definition(t, "pods"), p); len(errs) > 0 {
		t.Fatal(errs)
	}
	for want, sel := range map[metav1.LabelSelectorOperator]*metav1.LabelSelector{
		metav1.LabelSelectorOpIn:    p.Spec.TopologySpreadConstraints[0].LabelSelector,
		metav1.LabelSelectorOpNotIn: p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector,
	} {
		if diff := cmp.Diff([]metav1.LabelSelectorRequirement{{Key: "hash", Operator: want, Values: []string{"h1"}}}, sel.MatchExpressions); diff != "" {
			t.Errorf("selector (-want +got):\n%s", diff)
		}
	}
}

func TestPodValidation(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*corev1.Pod)
		want string
	}{
		"no containers":  {func(p *corev1.Pod) { p.Spec.Containers = nil }, "spec.containers: Required value"},
		"bad name":       {func(p *corev1.Pod) { p.Name = "Not A Name" }, `metadata.name: Invalid value: "Not A Name"`},
		"no image":       {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "" }, "spec.containers[0].image: Required value"},
		"restart policy": {func(p *corev1.Pod) { p.Spec.RestartPolicy = "Sometimes" }, `spec.restartPolicy: Unsupported value: "Sometimes"`},
		"limit below request": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": quantity.MustParse("2")}, Limits: corev1.ResourceList{"cpu": quantity.MustParse("1")}}
		}, "must be less than or equal to cpu limit"},
	} {
		errs := kindtest.Create(t, kindtest.Definition(t, "pods"), kindtest.NewPod(tc.edit))
		if len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, errs.ToAggregate(), tc.want)
		}
	}
}

func TestPodUpdate(t *testing.T) {
	d := kindtest.Definition(t, "pods")
	old := kindtest.StoredPod(t, kindtest.OnNode)
	p := old.DeepCopy()
	p.Spec.Containers[0].Image = "j"
	p.Status.Phase = corev1.PodFailed
	if errs := kindtest.Update(t, d, p, old); len(errs) > 0 {
		t.Error(errs)
	}
	if p.Generation != 2 || p.Status.Phase != corev1.PodRunning {
		t.Errorf("generation %d, phase %s; want 2 and the old phase", p.Generation, p.Status.Phase)
	}
	p = old.DeepCopy()
	p.Spec.NodeName = "n2"
	if errs := kindtest.Update(t, d, p, old); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "pod updates may not change fields other than") {
		t.Errorf("moving a pod: %v", errs.ToAggregate())
	}
}

func TestPodStatusUpdate(t *testing.T) {
	d := kindtest.Definition(t, "pods")
	old := kindtest.StoredPod(t, kindtest.OnNode, func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: "A", Status: "True", ObservedGeneration: 3}}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "K", Name: "n", UID: "u"}}
		p.DeletionTimestamp = &metav1.Time{}
	})
	p := old.DeepCopy()
	p.Spec.Containers[0].Image = "other"
	p.OwnerReferences, p.DeletionTimestamp = nil, nil
	p.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, Conditions: []corev1.PodCondition{{Type: "A", Status: "False"}}}
	if errs := kindtest.UpdateSub(t, d, "status", p, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if p.Spec.Containers[0].Image != "i" || len(p.OwnerReferences) != 1 || p.DeletionTimestamp == nil {
		t.Error("a status update reached spec or metadata")
	}
	if p.Status.Phase != corev1.PodSucceeded || p.Status.QOSClass != old.Status.QOSClass || p.Status.Conditions[0].ObservedGeneration != 3 {
		t.Errorf("status %+v", p.Status)
	}
}

func TestEphemeralContainers(t *testing.T) {
	d := kindtest.Definition(t, "pods")
	old := kindtest.StoredPod(t, kindtest.OnNode)
	p := old.DeepCopy()
	p.Spec.Containers[0].Image = "other"
	p.Labels = map[string]string{"a": "b"}
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox",
		ImagePullPolicy: corev1.PullAlways, TerminationMessagePolicy: corev1.TerminationMessageReadFile}}}
	if errs := kindtest.UpdateSub(t, d, "ephemeralcontainers", p, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(p.Spec.EphemeralContainers) != 1 || p.Spec.Containers[0].Image != "i" || p.Labels != nil || p.Generation != 2 {
		t.Errorf("got %+v, generation %d", p.Spec, p.Generation)
	}
	q := p.DeepCopy()
	q.Spec.EphemeralContainers = nil
	if errs := kindtest.UpdateSub(t, d, "ephemeralcontainers", q, p); len(errs) == 0 {
		t.Error("an ephemeral container was removed")
	}
}

func TestResize(t *testing.T) {
	d := kindtest.Definition(t, "pods")
	old := kindtest.StoredPod(t, kindtest.OnNode, func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": quantity.MustParse("1")}
		p.Status.QOSClass = corev1.PodQOSBurstable
	})
	p := old.DeepCopy()
	p.Spec.Containers[0].Image = "other"
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": quantity.MustParse("2")}
	if errs := kindtest.UpdateSub(t, d, "resize", p, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if c := p.Spec.Containers[0]; c.Image != "i" || c.Resources.Requests.Cpu().Value() != 2 || p.Generation != 2 {
		t.Errorf("got image %s, cpu %v, generation %d", c.Image, c.Resources.Requests.Cpu(), p.Generation)
	}
	p = old.DeepCopy()
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "d", Image: "i"})
	if errs := kindtest.UpdateSub(t, d, "resize", p, old); len(errs) == 0 {
		t.Error("a resize added a container")
	}
}

func bindPod(t testing.TB, p *corev1.Pod, node string) error {
	t.Helper()
	answer, err := kindtest.Definition(t, "pods").Subresource("binding").Action(t.Context(), p, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Annotations: map[string]string{"a": "b"}, Labels: map[string]string{"zone": "z"}},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	})
	if answer != nil {
		t.Errorf("binding answers %v, want nothing", answer)
	}
	return err
}

func TestBinding(t *testing.T) {
	p := kindtest.StoredPod(t, func(p *corev1.Pod) { p.Status.NominatedNodeName = "n9" })
	if err := bindPod(t, p, "n1"); err != nil {
		t.Fatal(err)
	}
	if p.Spec.NodeName != "n1" || p.Status.NominatedNodeName != "" || p.Annotations["a"] != "b" || p.Labels["zone"] != "z" {
		t.Errorf("bound pod: %+v", p)
	}
	if c := p.Status.Conditions; len(c) != 1 || c[0].Type != corev1.PodScheduled || c[0].Status != corev1.ConditionTrue {
		t.Errorf("conditions %+v", c)
	}
	if err := bindPod(t, p, "n2"); err == nil || err.Error() != `pod p is already assigned to node "n1"` {
		t.Errorf("second binding: %v", err)
	}
	gone := kindtest.StoredPod(t, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })
	if err := bindPod(t, gone, "n1"); err == nil || err.Error() != "pod p is being deleted, cannot be assigned to a host" {
		t.Errorf("binding a deleted pod: %v", err)
	}
	if err := bindPod(t, kindtest.StoredPod(t), ""); err == nil || err.Error() != "target.name: Required value" || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("binding to no node: %v", err)
	}
}

func TestGracePeriod(t *testing.T) {
	grace := kindtest.Definition(t, "pods").Strategy.GracePeriod
	for name, tc := range map[string]struct {
		edit     func(*corev1.Pod)
		asked    *int64
		seconds  int64
		graceful bool
	}{
		"own":           {kindtest.OnNode, nil, 30, true},
		"asked":         {kindtest.OnNode, ptr.To[int64](5), 5, true},
		"forced":        {kindtest.OnNode, ptr.To[int64](0), 0, false},
		"negative":      {kindtest.OnNode, ptr.To[int64](-1), 1, true},
		"not scheduled": {func(*corev1.Pod) {}, nil, 0, false},
		"finished":      {func(p *corev1.Pod) { kindtest.OnNode(p); p.Status.Phase = corev1.PodSucceeded }, nil, 0, false},
	} {
		seconds, graceful := grace(kindtest.StoredPod(t, tc.edit), &metav1.DeleteOptions{GracePeriodSeconds: tc.asked})
		if seconds != tc.seconds || graceful != tc.graceful {
			t.Errorf("%s: %d, %v; want %d, %v", name, seconds, graceful, tc.seconds, tc.graceful)
		}
	}
}

func budget(allowed int32, edit ...func(*policyv1.PodDisruptionBudget)) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "ns", Generation: 1, ResourceVersion: "7"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: allowed, DesiredHealthy: 3, CurrentHealthy: 3},
	}
	for _, e := range edit {
		e(b)
	}
	return b
}

func TestEvictionSpendsTheBudget(t *testing.T) {
	sub := kindtest.Definition(t, "pods").Subresource("eviction")
	pdbs := kindtest.Definition(t, "poddisruptionbudgets.policy").GroupResource()
	ready := func(p *corev1.Pod) {
		kindtest.OnNode(p)
		p.Labels = map[string]string{"app": "a"}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	unready := func(p *corev1.Pod) { ready(p); p.Status.Conditions = nil }
	second := func(b *policyv1.PodDisruptionBudget) { b.Name = "b2" }
	for name, tc := range map[string]struct {
		pod     func(*corev1.Pod)
		budgets []*policyv1.PodDisruptionBudget
		spent   bool
		wantErr string
		cause   string
	}{
		"no budget":              {pod: ready},
		"allowed":                {pod: ready, budgets: []*policyv1.PodDisruptionBudget{budget(1)}, spent: true},
		"none left":              {pod: ready, budgets: []*policyv1.PodDisruptionBudget{budget(0)}, wantErr: "Cannot evict pod as it would violate the pod's disruption budget.", cause: "The disruption budget b needs 3 healthy pods and has 3 currently"},
		"not yet counted":        {pod: ready, budgets: []*policyv1.PodDisruptionBudget{budget(1, func(b *policyv1.PodDisruptionBudget) { b.Generation = 2 })}, wantErr: "Cannot evict pod", cause: "The disruption budget b is still being processed by the server."},
		"negative":               {pod: ready, budgets: []*policyv1.PodDisruptionBudget{budget(-1)}, wantErr: `poddisruptionbudget.policy "b" is forbidden: pdb disruptions allowed is negative`},
		"two budgets":            {pod: ready, budgets: []*policyv1.PodDisruptionBudget{budget(1), budget(1, second)}, wantErr: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."},
		"other pods'":            {pod: kindtest.OnNode, budgets: []*policyv1.PodDisruptionBudget{budget(0)}},
		"pending":                {pod: func(p *corev1.Pod) { ready(p); p.Status.Phase = corev1.PodPending }, budgets: []*policyv1.PodDisruptionBudget{budget(0)}},
		"unready, enough others": {pod: unready, budgets: []*policyv1.PodDisruptionBudget{budget(0)}},
		"unready, too few others": {pod: unready, budgets: []*policyv1.PodDisruptionBudget{budget(0, func(b *policyv1.PodDisruptionBudget) { b.Status.CurrentHealthy = 2 })},
			wantErr: "Cannot evict pod", cause: "The disruption budget b needs 3 healthy pods and has 2 currently"},
		"unready, always allowed": {pod: unready, budgets: []*policyv1.PodDisruptionBudget{budget(0, func(b *policyv1.PodDisruptionBudget) {
			b.Status.CurrentHealthy = 2
			b.Spec.UnhealthyPodEvictionPolicy = ptr.To(policyv1.AlwaysAllow)
		})}},
	} {
		t.Run(name, func(t *testing.T) {
			c := kindtest.Cache{}
			for _, b := range tc.budgets {
				c.Put(pdbs, b)
			}
			p := kindtest.StoredPod(t, tc.pod)
			body := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p"}, DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](3)}}
			answer, err := sub.Action(t.Context(), p, body)
			if err != nil {
				t.Fatal(err)
			}
			if o, ok := answer.(*metav1.DeleteOptions); !ok || *o.GracePeriodSeconds != 3 {
				t.Errorf("eviction answers %v, want its delete options", answer)
			}
			if k := p.Status.Conditions[len(p.Status.Conditions)-1]; k.Type != corev1.DisruptionTarget || k.Reason != "EvictionByEvictionAPI" {
				t.Errorf("condition %+v", k)
			}
			companions, err := sub.Companions(t.Context(), c, p, body)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %v, want %s", err, tc.wantErr)
				}
				if tc.cause != "" && apierrors.ReasonForError(err) != metav1.StatusReasonTooManyRequests {
					t.Errorf("reason %s, want TooManyRequests", apierrors.ReasonForError(err))
				}
				if s := err.(apierrors.APIStatus).Status(); tc.cause != "" && s.Details.Causes[len(s.Details.Causes)-1].Message != tc.cause {
					t.Errorf("causes %+v, want %q", s.Details.Causes, tc.cause)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tc.spent {
				if len(companions) > 0 {
					t.Errorf("the budget was spent: %+v", companions)
				}
				return
			}
			c.Apply(t, companions)
			b := companions[0].Object.(*policyv1.PodDisruptionBudget)
			if _, noted := b.Status.DisruptedPods["p"]; !noted || b.Status.DisruptionsAllowed != 0 || b.ResourceVersion != "7" || !companions[0].Update {
				t.Errorf("budget after eviction: %+v", b.Status)
			}
			if tc.budgets[0].Status.DisruptionsAllowed != 1 {
				t.Error("the cached budget was changed")
			}
		})
	}
}

func TestEvictionRefusesAnotherName(t *testing.T) {
	_, err := kindtest.Definition(t, "pods").Subresource("eviction").Action(t.Context(), kindtest.StoredPod(t), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "q"}})
	if !apierrors.IsBadRequest(err) {
		t.Errorf("got %v, want a bad request", err)
	}
}

func nodeCache(t testing.TB) kindtest.Cache {
	c := kindtest.Cache{}
	c.Put(kindtest.Definition(t, "nodes").GroupResource(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n1"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.7"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
		},
	})
	return c
}

func TestPodConnections(t *testing.T) {
	two := func(p *corev1.Pod) {
		kindtest.OnNode(p)
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "d", Image: "i"})
		p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "i"}}
	}
	withIP := func(p *corev1.Pod) {
		kindtest.OnNode(p)
		p.Status.PodIPs = []corev1.PodIP{{IP: "10.244.1.5"}}
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	}
	agent := func(path string, upgrade bool, query map[string][]string) *resource.Target {
		return &resource.Target{Scheme: "https", Host: "10.0.0.7:10250", Path: path, Query: query, Node: "n1", Upgrade: upgrade}
	}
	for name, tc := range map[string]struct {
		sub, path    string
		pod          func(*corev1.Pod)
		query        map[string][]string
		scheme, port string
		want         *resource.Target
		wantErr      string
	}{
		"log": {sub: "log", pod: kindtest.OnNode, query: map[string][]string{"follow": {"true"}, "tailLines": {"5"}, "sinceSeconds": {"9"}},
			want: agent("/containerLogs/ns/p/c", false, map[string][]string{"uid": {"u1"}, "follow": {"true"}, "tailLines": {"5"}, "sinceSeconds": {"9"}})},
		"log, bad option": {sub: "log", pod: kindtest.OnNode, query: map[string][]string{"tailLines": {"-1"}}, wantErr: "tailLines: Invalid value: -1: must be greater than or equal to 0"},
		"exec": {sub: "exec", pod: kindtest.OnNode, query: map[string][]string{"command": {"sh", "-c"}, "stdin": {"true"}, "stdout": {"true"}, "stderr": {"false"}, "tty": {"true"}},
			want: agent("/exec/ns/p/u1/c", true, map[string][]string{"command": {"sh", "-c"}, "input": {"1"}, "output": {"1"}, "tty": {"1"}})},
		"attach": {sub: "attach", pod: kindtest.OnNode, query: map[string][]string{"container": {"c"}, "stdout": {"true"}, "stderr": {"true"}},
			want: agent("/attach/ns/p/u1/c", true, map[string][]string{"output": {"1"}, "error": {"1"}})},
		"portforward":  {sub: "portforward", pod: kindtest.OnNode, query: map[string][]string{"ports": {"80", "81"}}, want: agent("/portForward/ns/p/u1", true, map[string][]string{"port": {"80,81"}})},
		"which of two": {sub: "exec", pod: two, query: nil, wantErr: "a container name must be specified for pod p, choose one of: [init c d]"},
		"annotated": {sub: "log", pod: func(p *corev1.Pod) {
			two(p)
			p.Annotations = map[string]string{"kubectl.kubernetes.io/default-container": "d"}
		}, want: agent("/containerLogs/ns/p/d", false, map[string][]string{"uid": {"u1"}})},
		"init container":    {sub: "log", pod: two, query: map[string][]string{"container": {"init"}}, want: agent("/containerLogs/ns/p/init", false, map[string][]string{"uid": {"u1"}})},
		"unknown container": {sub: "log", pod: two, query: map[string][]string{"container": {"x"}}, wantErr: "container x is not valid for pod p"},
		"not scheduled":     {sub: "exec", pod: func(*corev1.Pod) {}, wantErr: "pod p does not have a host assigned"},
		"proxy":             {sub: "proxy", path: "a/b", pod: withIP, query: map[string][]string{"q": {"1"}}, want: &resource.Target{Scheme: "http", Host: "10.244.1.5:8080", Path: "/a/b", Query: map[string][]string{"q": {"1"}}}},
		"proxy to a port":   {sub: "proxy", path: "/", pod: withIP, scheme: "https", port: "443", want: &resource.Target{Scheme: "https", Host: "10.244.1.5:443", Path: "/"}},
		"proxy to loopback": {sub: "proxy", pod: func(p *corev1.Pod) { p.Status.PodIPs = []corev1.PodIP{{IP: "127.0.0.1"}} }, wantErr: "address not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := resource.WithProxyPort(t.Context(), tc.scheme, tc.port)
			got, err := kindtest.Definition(t, "pods").Subresource(tc.sub).Connect(ctx, nodeCache(t), kindtest.StoredPod(t, tc.pod), tc.path, tc.query)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("target (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNodeProxy(t *testing.T) {
	c := nodeCache(t)
	n, err := c.Get(t.Context(), kindtest.Definition(t, "nodes").GroupResource(), "", "n1")
	if err != nil {
		t.Fatal(err)
	}
	connect := kindtest.Definition(t, "nodes").Subresource("proxy").Connect
	got, err := connect(t.Context(), c, n, "metrics", nil)
	if diff := cmp.Diff(&resource.Target{Scheme: "https", Host: "10.0.0.7:10250", Path: "/metrics", Node: "n1"}, got); diff != "" || err != nil {
		t.Errorf("agent (-want +got): %v\n%s", err, diff)
	}
	got, err = connect(resource.WithProxyPort(t.Context(), "", "9100"), c, n, "/metrics", nil)
	if diff := cmp.Diff(&resource.Target{Scheme: "http", Host: "10.0.0.7:9100", Path: "/metrics"}, got); diff != "" || err != nil {
		t.Errorf("another port (-want +got): %v\n%s", err, diff)
	}
	if _, err := kindtest.Definition(t, "pods").Subresource("log").Connect(t.Context(), kindtest.Cache{}, kindtest.StoredPod(t, kindtest.OnNode), "", nil); !apierrors.IsNotFound(err) {
		t.Errorf("log of a pod on a lost node: %v", err)
	}
}

// Privileged containers are allowed unless the table's options forbid them, in
// pods and in templates alike.
func TestPrivilegedContainers(t *testing.T) {
	privileged := func(p *corev1.PodSpec) {
		p.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	}
	faults := func(tab *resource.Table) (out []string) {
		pod := kindtest.NewPod(func(p *corev1.Pod) { privileged(&p.Spec) })
		d := kindtest.Deployment()
		privileged(&d.Spec.Template.Spec)
		for gr, obj := range map[string]runtime.Object{"pods": pod, "deployments.apps": d} {
			for _, err := range kindtest.Create(t, tab.Lookup(schema.ParseGroupResource(gr)), obj) {
				out = append(out, err.Error())
			}
		}
		slices.Sort(out)
		return out
	}
	if got := faults(kindtest.Table(t)); len(got) > 0 {
		t.Errorf("refused by default: %v", got)
	}
	if _, err := kinds.Table(kinds.Options{ForbidPrivileged: true}); err == nil {
		t.Error("a second table with another rule was made, which would change the first")
	}
	capabilities.ResetForTest()
	t.Cleanup(func() { capabilities.ResetForTest(); capabilities.Setup(true, 0) })
	tab, err := kinds.Table(kinds.Options{ForbidPrivileged: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"spec.containers[0].securityContext.privileged: Forbidden: disallowed by cluster policy",
		"spec.template.spec.containers[0].securityContext.privileged: Forbidden: disallowed by cluster policy",
	}
	if diff := cmp.Diff(want, faults(tab)); diff != "" {
		t.Errorf("forbidden (-want +got):\n%s", diff)
	}
}

package kinds_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	upstreamquota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/plugins/quota"
	light "github.com/pintle-io/pintle/sdk/api/core/v1"
	lightresource "github.com/pintle-io/pintle/sdk/api/resource"
)

// chance draws objects.
type chance struct{ *rand.Rand }

func pick[T any](c chance, of ...T) T { return of[c.IntN(len(of))] }

func (c chance) amounts(names ...corev1.ResourceName) corev1.ResourceList {
	if c.IntN(3) == 0 {
		return nil
	}
	out := corev1.ResourceList{}
	for _, n := range names {
		if c.IntN(2) == 0 {
			out[n] = resource.MustParse(pick(c, "0", "1", "2", "100m", "1500m", "1Gi", "512Mi", "1e3", "1k", "3"))
		}
	}
	if len(out) == 0 {
		return nil // what is stored has no empty maps
	}
	return out
}

func (c chance) all() corev1.ResourceList {
	return c.amounts("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/gpu", "x.kubernetes.io/y", "deviceclass.resource.kubernetes.io/z")
}

func (c chance) containers(prefix string, init bool) (list []corev1.Container, of []corev1.ContainerStatus) {
	always := corev1.ContainerRestartPolicyAlways
	for i := range c.IntN(3) {
		x := corev1.Container{Name: fmt.Sprint(prefix, i), Resources: corev1.ResourceRequirements{Requests: c.all(), Limits: c.all()}}
		if init && c.IntN(2) == 0 {
			x.RestartPolicy = &always
		}
		list = append(list, x)
		if c.IntN(3) == 0 {
			s := corev1.ContainerStatus{Name: x.Name, AllocatedResources: c.amounts("cpu", "memory")}
			if c.IntN(2) == 0 {
				s.Resources = &corev1.ResourceRequirements{Requests: c.amounts("cpu", "memory"), Limits: c.amounts("cpu", "memory")}
			}
			of = append(of, s)
		}
	}
	return list, of
}

func (c chance) pod(now time.Time) *corev1.Pod {
	p := &corev1.Pod{}
	p.Spec.Containers, p.Status.ContainerStatuses = c.containers("c", false)
	p.Spec.InitContainers, p.Status.InitContainerStatuses = c.containers("i", true)
	if c.IntN(4) == 0 {
		p.Spec.Resources = &corev1.ResourceRequirements{Requests: c.all(), Limits: c.all()}
	}
	if c.IntN(4) == 0 {
		p.Spec.Overhead = c.amounts("cpu", "memory", "example.com/gpu")
	}
	if c.IntN(3) == 0 {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: pick(c, corev1.PodReasonInfeasible, corev1.PodReasonDeferred)}}
	}
	p.Status.Phase = pick(c, corev1.PodPending, corev1.PodRunning, corev1.PodRunning, corev1.PodFailed, corev1.PodSucceeded)
	p.Status.QOSClass = pick(c, "", "", corev1.PodQOSBestEffort, corev1.PodQOSBurstable)
	if c.IntN(4) == 0 {
		at, grace := metav1.NewTime(now.Add(time.Duration(c.IntN(60)-30)*time.Second)), int64(c.IntN(30))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	}
	if c.IntN(3) == 0 {
		deadline := int64(c.IntN(3))
		p.Spec.ActiveDeadlineSeconds = &deadline
	}
	p.Spec.PriorityClassName = pick(c, "", "low", "high")
	if c.IntN(3) == 0 {
		terms := []corev1.PodAffinityTerm{{Namespaces: pick(c, nil, []string{"x"})}, {NamespaceSelector: pick(c, nil, &metav1.LabelSelector{})}}
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: pick(c, nil, &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}),
			PodAntiAffinity: pick(c, nil, &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: terms[c.IntN(2)]}}})}
	}
	return p
}

func (c chance) service() *corev1.Service {
	s := &corev1.Service{Spec: corev1.ServiceSpec{Type: pick(c, corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName)}}
	for range c.IntN(4) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 80, NodePort: pick(c, int32(0), 30000)})
	}
	s.Spec.AllocateLoadBalancerNodePorts = pick(c, nil, new(true), new(false))
	return s
}

func (c chance) claim() *corev1.PersistentVolumeClaim {
	p := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: pick(c, nil, new(""), new("gold")), VolumeAttributesClassName: pick(c, nil, new(""), new("silver")),
		Resources: corev1.VolumeResourceRequirements{Requests: c.amounts("storage", "cpu")}}}
	p.Annotations = pick(c, nil, map[string]string{corev1.BetaStorageClassAnnotation: "beta"})
	p.Status.AllocatedResources = c.amounts("storage")
	p.Status.CurrentVolumeAttributesClassName = pick(c, nil, new("gold"))
	p.Status.ModifyVolumeStatus = pick(c, nil, &corev1.ModifyVolumeStatus{TargetVolumeAttributesClassName: "lead"})
	return p
}

func (c chance) quota() *corev1.ResourceQuota {
	q := &corev1.ResourceQuota{}
	q.Status.Hard = c.amounts(quotaNames...)
	scopes := []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort,
		corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity, corev1.ResourceQuotaScopeVolumeAttributesClass}
	if c.IntN(2) == 0 {
		q.Spec.Scopes = []corev1.ResourceQuotaScope{pick(c, scopes...)}
	}
	if c.IntN(2) == 0 {
		r := corev1.ScopedResourceSelectorRequirement{ScopeName: pick(c, scopes...), Operator: pick(c, corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist, corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn)}
		if r.Operator == corev1.ScopeSelectorOpIn || r.Operator == corev1.ScopeSelectorOpNotIn {
			r.Values = pick(c, []string{"low"}, []string{"high", "gold"}, []string{"silver", "lead"})
		}
		q.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{r}}
	}
	return q
}

var quotaNames = []corev1.ResourceName{"pods", "count/pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage",
	"hugepages-2Mi", "requests.hugepages-2Mi", "limits.hugepages-2Mi", "requests.example.com/gpu", "limits.example.com/gpu", "requests.x.kubernetes.io/y", "requests.deviceclass.resource.kubernetes.io/z",
	"services", "count/services", "services.nodeports", "services.loadbalancers", "persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage", "storage",
	"gold.storageclass.storage.k8s.io/requests.storage", "gold.storageclass.storage.k8s.io/persistentvolumeclaims", "secrets", "count/secrets"}

// through gives what one type says to another, as a plugin is shown it.
func through[T any](t *testing.T, from any) *T {
	t.Helper()
	b, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	to := new(T)
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestQuotaCountsAsUpstream: over thousands of drawn objects and quotas, what is used,
// which quotas match, and what is missing are upstream's.
func TestQuotaCountsAsUpstream(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := chance{rand.New(rand.NewPCG(1, 2))}
	for _, kind := range []struct {
		resource  string
		evaluator upstreamquota.Evaluator
		draw      func() runtime.Object
	}{
		{quota.Pods, core.NewPodEvaluator(nil, clocktesting.NewFakeClock(now)), func() runtime.Object { return c.pod(now) }},
		{quota.Services, core.NewServiceEvaluator(nil), func() runtime.Object { return c.service() }},
		{quota.Claims, core.NewPersistentVolumeClaimEvaluator(nil), func() runtime.Object { return c.claim() }},
	} {
		matched, missed := 0, 0
		for range 5000 {
			obj, q := kind.draw(), c.quota()
			mine, rq := through[quota.Object](t, obj), through[light.ResourceQuota](t, q)
			fail := func(what string, got, want any) {
				t.Helper()
				b, _ := json.Marshal(obj)
				t.Fatalf("%s of %s: %v, upstream's %v\n%s\n%v", what, kind.resource, got, want, b, q)
			}
			usage, err := kind.evaluator.Usage(obj)
			if err != nil {
				t.Fatal(err)
			}
			want := light.ResourceList{}
			for n, amount := range usage {
				want[light.ResourceName(n)] = lightresource.Quantity(amount.String())
			}
			got := mine.Usage(kind.resource, now)
			for n := range got {
				if amount, ok := want[n]; !ok || amount.Cmp(got[n]) != 0 {
					fail("usage "+string(n), got[n], want[n])
				}
			}
			if len(got) != len(want) {
				fail("usage", got, want)
			}
			names := kind.evaluator.MatchingResources(upstreamquota.ResourceNames(q.Status.Hard))
			slices.Sort(names)
			tracked := quota.Tracked(kind.resource, rq.Status.Hard)
			if fmt.Sprint(slices.Compact(names)) != fmt.Sprint(tracked) {
				fail("names", tracked, names)
			}
			match, err := kind.evaluator.Matches(q, obj)
			if err != nil {
				t.Fatal(err)
			}
			if in := mine.InScope(kind.resource, &rq.Spec) && len(tracked) > 0; in != match {
				fail("match", in, match)
			}
			if match {
				matched++
			}
			if kind.resource != quota.Pods {
				continue
			}
			missing := ""
			if err := kind.evaluator.Constraints(names, obj); err != nil {
				missing = err.Error()
				missed++
			}
			if text := mine.Missing(tracked); text != missing {
				fail("missing", text, missing)
			}
		}
		if matched < 100 || kind.resource == quota.Pods && missed < 100 {
			t.Errorf("%s: of 5000 objects %d matched and %d missed something: too few to say anything", kind.resource, matched, missed)
		}
	}
}

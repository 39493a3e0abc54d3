package kinds_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// autoscaled is a control plane with the controllers that scale and run a Deployment, as
// they ship, beside an agent of node n1 and a server of external metrics.
type autoscaled struct {
	*shop
	asked atomic.Pointer[string] // who asked for the external metric
	depth atomic.Int64           // the metric
	begin time.Time              // of what pods use
}

func newAutoscaled(t *testing.T) *autoscaled {
	t.Helper()
	a := &autoscaled{begin: time.Now().Add(-time.Hour)}
	agent := httptest.NewUnstartedServer(http.HandlerFunc(a.agent))
	e := newExtension(t, "queue.default.svc")
	at := map[string]*httptest.Server{"10.8.0.1": agent, "10.9.0.1": e.Server}
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			if s := at[host]; s != nil {
				address = s.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if !slices.Contains([]string{"deployment", "replicaset", "horizontal-pod-autoscaler"}, p.Name) {
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
	a.shop = &shop{g, filepath.Join(t.TempDir(), "kubeconfig"), kerneltest.Kubectl(t)}
	if err := g.PKI.WriteKubeconfig(a.kubeconfig, g.URL, "admin", g.PKI.Admin()); err != nil {
		t.Fatal(err)
	}
	pair, err := g.PKI.IssueNodeServing("n1", []net.IP{net.IPv4(10, 8, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	agent.TLS = &tls.Config{Certificates: []tls.Certificate{*pair.TLS()}, ClientAuth: tls.RequireAnyClientCert}
	agent.StartTLS()
	t.Cleanup(agent.Close)
	n, err := a.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.8.0.1"}}
	if _, err := a.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	serve := http.HandlerFunc(a.external)
	e.does.Store(&serve)
	a.service(t, "queue", "10.9.0.1")
	a.register(t, "external.metrics.k8s.io", "v1beta1", "queue", e.ca)
	a.runPods(t)
	return a
}

// agent tells of every pod that it uses 200m, and has since the beginning.
func (a *autoscaled) agent(w http.ResponseWriter, r *http.Request) {
	pods, err := a.CoreV1().Pods("default").List(r.Context(), metav1.ListOptions{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	now := time.Now()
	used := uint64(float64(now.Sub(a.begin)) * 0.2)
	memory := uint64(64 << 20)
	out := &statsapi.Summary{Node: statsapi.NodeStats{NodeName: "n1"}}
	for _, p := range pods.Items {
		out.Pods = append(out.Pods, statsapi.PodStats{PodRef: statsapi.PodReference{UID: string(p.UID)}, Containers: []statsapi.ContainerStats{{
			Name: "c", StartTime: metav1.NewTime(a.begin), CPU: &statsapi.CPUStats{Time: metav1.NewTime(now), UsageCoreNanoSeconds: &used}, Memory: &statsapi.MemoryStats{WorkingSetBytes: &memory}}}})
	}
	_ = json.NewEncoder(w).Encode(out)
}

// external serves external.metrics.k8s.io.
func (a *autoscaled) external(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	const group = "/apis/external.metrics.k8s.io/v1beta1"
	switch r.URL.Path {
	case group:
		fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":[]}`)
	case group + "/namespaces/default/depth":
		a.asked.Store(ptr.To(r.Header.Get("X-Remote-User") + " of " + r.URL.RawQuery))
		fmt.Fprintf(w, `{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[{"metricName":"depth","metricLabels":{},"timestamp":%q,"value":"%d"}]}`,
			time.Now().UTC().Format(time.RFC3339), a.depth.Load())
	default:
		http.NotFound(w, r)
	}
}

// runPods has every pod run and be ready, as if for an hour, until the test ends.
func (a *autoscaled) runPods(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	w, err := a.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	go func() {
		defer close(done)
		defer w.Stop()
		for e := range w.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			switch {
			case !ok:
			case p.DeletionTimestamp != nil: // its agent is done with it
				_ = a.CoreV1().Pods("default").Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(p.UID))})
			case p.Status.Phase == corev1.PodPending:
				status := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Running","startTime":%q,"conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, p.UID, hour, hour)
				_, _ = a.CoreV1().Pods("default").Patch(ctx, p.Name, types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status") // it may be gone
			}
		}
	}()
}

// deploy makes a Deployment of one ready pod on n1.
func (a *autoscaled) deploy(t *testing.T, name string) {
	t.Helper()
	labels := map[string]string{"app": name}
	if _, err := a.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}}}}},
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.has(t, name, 1)
}

// has waits until a Deployment has n ready pods, and no others.
func (a *autoscaled) has(t *testing.T, name string, n int32) {
	t.Helper()
	stateful{}.eventually(t, fmt.Sprintf("%s has %d pods", name, n), func() string {
		d, err := a.AppsV1().Deployments("default").Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && *d.Spec.Replicas == n && d.Status.Replicas == n && d.Status.ReadyReplicas == n {
			return ""
		}
		h, _ := a.AutoscalingV2().HorizontalPodAutoscalers("default").Get(t.Context(), name, metav1.GetOptions{})
		return fmt.Sprintf("%v, replicas %v, status %+v; autoscaler %+v", err, ptr.Deref(d.Spec.Replicas, -1), d.Status, h.Status)
	})
}

// TestAutoscaleByCPU: kubectl autoscale, and what users then see: a Deployment grows by
// what its pods use, which this server's metrics.k8s.io tells from their node's agent.
func TestAutoscaleByCPU(t *testing.T) {
	a := newAutoscaled(t)
	a.deploy(t, "web")
	if out, err := a.kubectl(t, "autoscale", "deployment", "web", "--cpu=100%", "--min=1", "--max=2"); err != nil || strings.Contains(out, "Warning") {
		t.Fatalf("%v: %s", err, out)
	}
	a.has(t, "web", 2)
	a.sees(t, []string{`^NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE web Deployment/web cpu: (19\d|20\d)%/100% 1 2 2 `}, "get", "hpa")
	a.sees(t, []string{
		`Metrics: \( current / target \) resource cpu on pods \(as a percentage of request\): (19|20)\d% \((19|20)\dm\) / 100%`,
		`AbleToScale True ReadyForNewScale recommended size matches current size`,
		`ScalingActive True ValidMetricFound the HPA was able to successfully calculate a replica count from cpu resource utilization \(percentage of request\)`,
		`ScalingLimited True TooManyReplicas the desired replica count is more than the maximum replica count`,
		`Normal SuccessfulRescale .* New size: 2; reason: cpu resource utilization \(percentage of request\) above target`,
	}, "describe", "hpa", "web")
}

// TestAutoscaleByQueue: by a metric that another server has, up, down, to zero and back.
func TestAutoscaleByQueue(t *testing.T) {
	a := newAutoscaled(t)
	a.deploy(t, "worker")
	a.sees(t, []string{`external.metrics.k8s.io default/queue True`}, "get", "apiservices", "v1beta1.external.metrics.k8s.io")
	a.depth.Store(50)
	ctx, autoscalers := t.Context(), a.AutoscalingV2().HorizontalPodAutoscalers("default")
	if _, err := autoscalers.Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "worker"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "worker"}, MinReplicas: ptr.To(int32(0)), MaxReplicas: 10,
		Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To(int32(0))}},
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "depth", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"queue": "mail"}}},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("10"))}}}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.has(t, "worker", 5)
	if who, want := *a.asked.Load(), "system:serviceaccount:kube-system:horizontal-pod-autoscaler of labelSelector=queue%3Dmail"; who != want {
		t.Errorf("asked by %s, want %s", who, want)
	}
	for i, step := range []struct {
		depth int64
		want  int32
	}{{20, 2}, {0, 0}, {30, 3}} {
		a.depth.Store(step.depth)
		// Another spec is looked at at once.
		if _, err := autoscalers.Patch(ctx, "worker", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"maxReplicas":%d}}`, 11+i), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		a.has(t, "worker", step.want)
		a.sees(t, []string{fmt.Sprintf(`worker Deployment/worker \S+/10 \(avg\) 0 %d `, 11+i)}, "get", "hpa", "worker")
	}
	h, err := autoscalers.Get(ctx, "worker", metav1.GetOptions{})
	if err != nil || h.Status.ObservedGeneration == nil || h.Status.LastScaleTime == nil {
		t.Errorf("status %+v, %v", h.Status, err)
	}
}

package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

// world is a namespace with a Deployment "web", its pods, and what is measured of them.
type world struct {
	*testing.T
	*sdktest.Store
	r     *reconciler
	clock time.Time
	cpu   []int64            // of the pods, in thousandths; a negative one is not measured
	value map[string]float64 // of other metrics
	asked []client.FetchOptions
}

func newWorld(t *testing.T, replicas int32, metrics ...autoscalingv2.MetricSpec) *world {
	t.Helper()
	w := &world{T: t, clock: now, value: map[string]float64{}}
	labels := map[string]string{"app": "web"}
	s, err := sdktest.NewStore(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}}, Status: appsv1.DeploymentStatus{Replicas: replicas}})
	if err != nil {
		t.Fatal(err)
	}
	w.Store, w.r = s, newReconciler(func() time.Time { return w.clock })
	s.Served = w.serve
	w.run(replicas)
	w.create("web", 1, 10, metrics...)
	return w
}

func (w *world) create(name string, lower, upper int32, metrics ...autoscalingv2.MetricSpec) {
	w.Helper()
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Generation: 1}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MinReplicas: &lower, MaxReplicas: upper, Metrics: metrics}}
	w.must(w.Client().Create(h))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// run has so many pods run.
func (w *world) run(n int32) {
	w.Helper()
	c := w.Client()
	for i := int32(0); ; i++ {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint("p", i), Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": "1"}}}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: ago(time.Hour),
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: *ago(time.Hour)}}}}
		err := c.Get(&corev1.Pod{}, "ns", p.Name)
		switch {
		case i < n && client.IsNotFound(err):
			w.must(c.Create(p))
		case i >= n && client.IsNotFound(err):
			d := w.deployment()
			d.Status.Replicas = n
			w.must(c.UpdateStatus(d))
			return
		case i >= n:
			w.must(c.Delete(p, client.DeleteOptions{}))
		}
	}
}

func (w *world) deployment() *appsv1.Deployment {
	w.Helper()
	d := &appsv1.Deployment{}
	w.must(w.Client().Get(d, "ns", "web"))
	return d
}

func (w *world) get(name string) *autoscalingv2.HorizontalPodAutoscaler {
	w.Helper()
	h := &autoscalingv2.HorizontalPodAutoscaler{}
	w.must(w.Client().Get(h, "ns", name))
	return h
}

// serve is what serves metrics.
func (w *world) serve(f client.FetchOptions) (any, error) {
	w.asked = append(w.asked, f)
	value := func(name string) (any, error) {
		v, ok := w.value[name]
		if !ok {
			return nil, errors.New("the metric is not known")
		}
		return m{"items": []m{{"describedObject": m{"name": name}, "timestamp": *ago(0), "value": fmt.Sprint(v)}}}, nil
	}
	switch {
	case f.Resource == "metrics.k8s.io/v1beta1/pods":
		var items []m
		for i, v := range w.cpu {
			if v >= 0 {
				items = append(items, m{"metadata": m{"name": fmt.Sprint("p", i)}, "timestamp": *ago(0), "window": "30s",
					"containers": []m{{"name": "c", "usage": m{"cpu": resource.Milli(v), "memory": "20Mi"}}}})
			}
		}
		return m{"items": items}, nil
	case strings.HasPrefix(f.Resource, "custom.metrics.k8s.io/v1beta1/pods") && f.Name == "*":
		var items []m
		for i := range len(w.cpu) {
			items = append(items, m{"describedObject": m{"name": fmt.Sprint("p", i)}, "timestamp": *ago(0), "window": 60, "value": fmt.Sprint(w.value[f.Subresource])})
		}
		return m{"items": items}, nil
	case f.Resource == "custom.metrics.k8s.io/v1beta1/metrics":
		return value(f.Name)
	case strings.HasPrefix(f.Resource, "custom.metrics.k8s.io/v1beta1/"):
		return value(f.Subresource)
	case strings.HasPrefix(f.Resource, "external.metrics.k8s.io/v1beta1/"):
		return value(strings.TrimPrefix(f.Resource, "external.metrics.k8s.io/v1beta1/"))
	}
	return nil, sdktest.ErrUnsupported // custom.metrics.k8s.io/v1beta2
}

// round has an autoscaler looked at, a period after the last time, and says its
// conditions as "type=status reason".
func (w *world) round(name string) (*autoscalingv2.HorizontalPodAutoscaler, string) {
	w.Helper()
	w.clock = w.clock.Add(period)
	res, err := w.r.reconcile(w.Client(), controller.Request{Namespace: "ns", Name: name})
	if err != nil || res.RequeueAfter <= 0 || res.RequeueAfter > period+time.Second {
		w.Fatalf("after %s: %v", res.RequeueAfter, err)
	}
	h := w.get(name)
	var out []string
	for _, c := range h.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
	}
	return h, strings.Join(out, ", ")
}

func percent(n int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: "Resource", Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu", Target: autoscalingv2.MetricTarget{Type: "Utilization", AverageUtilization: &n}}}
}

func quantity(s string) *resource.Quantity { q := resource.Quantity(s); return &q }

func external(name, average string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: "External", External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: name,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"queue": "q"}}}, Target: autoscalingv2.MetricTarget{Type: "AverageValue", AverageValue: quantity(average)}}}
}

func object(kind, apiVersion, name, value string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: "Object", Object: &autoscalingv2.ObjectMetricSource{DescribedObject: autoscalingv2.CrossVersionObjectReference{Kind: kind, APIVersion: apiVersion, Name: name},
		Metric: autoscalingv2.MetricIdentifier{Name: "hits"}, Target: autoscalingv2.MetricTarget{Type: "Value", Value: quantity(value)}}}
}

func podsMetric(average string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: "Pods", Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "packets"},
		Target: autoscalingv2.MetricTarget{Type: "AverageValue", AverageValue: quantity(average)}}}
}

// TestUpAndDown: a target grows with its load, at once, and shrinks when its window is
// over; what is measured and done is told, and a round without news writes nothing.
func TestUpAndDown(t *testing.T) {
	w := newWorld(t, 2, percent(50))
	w.cpu = []int64{1000, 1000}
	h, said := w.round("web")
	if said != "AbleToScale=True SucceededRescale, ScalingActive=True ValidMetricFound, ScalingLimited=False DesiredWithinRange, ScaledToZero=False NotScaledToZero" {
		t.Errorf("conditions: %s", said)
	}
	s := h.Status
	if *w.deployment().Spec.Replicas != 4 || s.CurrentReplicas != 2 || s.DesiredReplicas != 4 || s.LastScaleTime == nil || *s.ObservedGeneration != 1 {
		t.Errorf("status %+v of %d", s, *w.deployment().Spec.Replicas)
	}
	if c := s.CurrentMetrics[0].Resource; *c.Current.AverageUtilization != 100 || *c.Current.AverageValue != "1" {
		t.Errorf("measured %+v", c)
	}
	if want := []string{"web SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target"}; !slices.Equal(w.Notes, want) {
		t.Errorf("events %q", w.Notes)
	}
	w.run(4)
	w.cpu = []int64{100, 100, 100, 100}
	if h, said = w.round("web"); !strings.Contains(said, "AbleToScale=True ScaleDownStabilized") || h.Status.DesiredReplicas != 4 {
		t.Errorf("%s, %+v", said, h.Status)
	}
	version := h.ResourceVersion
	if h, _ = w.round("web"); h.ResourceVersion != version {
		t.Error("the status is written, and says the same")
	}
	w.clock = w.clock.Add(downscaleStabilization)
	if h, _ = w.round("web"); h.Status.DesiredReplicas != 1 || *w.deployment().Spec.Replicas != 1 || !strings.HasSuffix(w.Notes[len(w.Notes)-1], "New size: 1; reason: All metrics below target") {
		t.Errorf("%+v, %q", h.Status, w.Notes)
	}
}

// TestBounds: without metrics, what is out of bounds comes back, and what a user set to
// zero is left.
func TestBounds(t *testing.T) {
	for replicas, want := range map[int32]struct {
		replicas int32
		said     string
	}{
		12: {10, "Current number of replicas above Spec.MaxReplicas"}, 0: {0, ""},
	} {
		w := newWorld(t, replicas, percent(50))
		h, said := w.round("web")
		if *w.deployment().Spec.Replicas != want.replicas || h.Status.CurrentMetrics != nil || len(w.asked) > 0 {
			t.Errorf("of %d: %d, %s", replicas, *w.deployment().Spec.Replicas, said)
		}
		if want.said == "" && !strings.Contains(said, "ScalingActive=False ScalingDisabled") || want.said != "" && !strings.Contains(w.Notes[0], want.said) {
			t.Errorf("of %d: %s, %q", replicas, said, w.Notes)
		}
	}
}

// TestFailures: what cannot be read is told by the condition and the event that users
// know, and changes nothing; what can still be read may make more replicas.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		metrics  []autoscalingv2.MetricSpec
		change   func(*world)
		said     string
		event    string
		replicas int32
	}{
		"no measurements": {[]autoscalingv2.MetricSpec{percent(50)}, func(w *world) { w.cpu = nil }, "ScalingActive=False FailedGetResourceMetric",
			"FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API", 2},
		"nobody serves": {[]autoscalingv2.MetricSpec{percent(50)}, func(w *world) { w.Served = nil }, "ScalingActive=False FailedGetResourceMetric",
			"FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource", 2},
		"no custom metrics": {[]autoscalingv2.MetricSpec{podsMetric("5")}, func(w *world) { w.Served = nil }, "ScalingActive=False FailedGetPodsMetric",
			"FailedGetPodsMetric: unable to get metric packets: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered", 2},
		"unknown object metric":   {[]autoscalingv2.MetricSpec{object("Ingress", "networking.k8s.io/v1", "in", "5")}, nil, "ScalingActive=False FailedGetObjectMetric", "FailedGetObjectMetric: unable to get metric hits on Ingress ns/in: ", 2},
		"unknown external metric": {[]autoscalingv2.MetricSpec{external("depth", "5")}, nil, "ScalingActive=False FailedGetExternalMetric", "FailedGetExternalMetric: unable to get external metric ns/depth/queue=q: ", 2},
		"one of two, more":        {[]autoscalingv2.MetricSpec{external("depth", "5"), percent(50)}, nil, "ScalingActive=True ValidMetricFound", "SuccessfulRescale: New size: 4", 4},
		"one of two, fewer":       {[]autoscalingv2.MetricSpec{external("depth", "5"), percent(500)}, nil, "ScalingActive=False FailedGetExternalMetric", "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 2)", 2},
		"no request": {[]autoscalingv2.MetricSpec{percent(50)}, func(w *world) {
			p := &corev1.Pod{}
			w.must(w.Client().Get(p, "ns", "p0"))
			p.Spec.Containers[0].Resources.Requests = nil
			w.must(w.Client().Update(p))
		}, "ScalingActive=False FailedGetResourceMetric", "missing request for cpu in container c of Pod p0", 2},
		"no selector": {[]autoscalingv2.MetricSpec{percent(50)}, func(w *world) {
			d := w.deployment()
			d.Spec.Selector = nil
			w.must(w.Client().Update(d))
		}, "ScalingActive=False InvalidSelector", "SelectorRequired: selector is required", 2},
		"not allowed": {[]autoscalingv2.MetricSpec{percent(50)}, func(w *world) { w.Forbidden = []string{"apps/v1/deployments/scale"} }, "AbleToScale=False FailedGetScale", "FailedGetScale: ", 2},
		"two of the same pods": {[]autoscalingv2.MetricSpec{percent(50)}, func(w *world) {
			w.create("other", 1, 9, percent(500))
			w.round("other")
			w.Notes = nil
		}, "ScalingActive=False AmbiguousSelector", "AmbiguousSelector: pods by selector app=web are controlled by more than one HPA (e.g. [{other ns} {web ns}])", 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, c.metrics...)
			w.cpu = []int64{1000, 1000}
			if c.change != nil {
				c.change(w)
			}
			_, said := w.round("web")
			if !strings.Contains(said, c.said) {
				t.Errorf("conditions %s, want %s", said, c.said)
			}
			if !slices.ContainsFunc(w.Notes, func(n string) bool { return strings.Contains(n, c.event) }) {
				t.Errorf("events %q, want %s", w.Notes, c.event)
			}
			if n := *w.deployment().Spec.Replicas; n != c.replicas {
				t.Errorf("%d replicas, want %d", n, c.replicas)
			}
		})
	}
}

// TestSources: each source of metrics is asked by its path, and asks for replicas.
func TestSources(t *testing.T) {
	for name, c := range map[string]struct {
		metric autoscalingv2.MetricSpec
		value  float64
		asked  client.FetchOptions
		want   int32
		text   string
	}{
		"container": {autoscalingv2.MetricSpec{Type: "ContainerResource", ContainerResource: &autoscalingv2.ContainerResourceMetricSource{Name: "cpu", Container: "c", Target: percent(50).Resource.Target}}, 0,
			client.FetchOptions{Resource: "metrics.k8s.io/v1beta1/pods", Namespace: "ns", Labels: "app=web"}, 4, "cpu container resource utilization (percentage of request)"},
		"pods": {podsMetric("5"), 8, client.FetchOptions{Resource: "custom.metrics.k8s.io/v1beta1/pods", Namespace: "ns", Name: "*", Subresource: "packets", Labels: "app=web"}, 4, "pods metric packets"},
		"object": {object("Ingress", "networking.k8s.io/v1", "in", "5"), 9,
			client.FetchOptions{Resource: "custom.metrics.k8s.io/v1beta1/ingresses.networking.k8s.io", Namespace: "ns", Name: "in", Subresource: "hits"}, 4, "Ingress metric hits"},
		"service":   {object("Service", "v1", "s", "5"), 9, client.FetchOptions{Resource: "custom.metrics.k8s.io/v1beta1/services", Namespace: "ns", Name: "s", Subresource: "hits"}, 4, "Service metric hits"},
		"namespace": {object("Namespace", "v1", "ns", "5"), 9, client.FetchOptions{Resource: "custom.metrics.k8s.io/v1beta1/metrics", Namespace: "ns", Name: "hits"}, 4, "Namespace metric hits"},
		"external":  {external("depth", "5"), 19, client.FetchOptions{Resource: "external.metrics.k8s.io/v1beta1/depth", Namespace: "ns", Labels: "queue=q"}, 4, "external metric depth(queue=q)"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, c.metric)
			w.cpu = []int64{1000, 1000}
			for _, n := range []string{"packets", "hits", "depth"} {
				w.value[n] = c.value
			}
			h, said := w.round("web")
			if last := w.asked[len(w.asked)-1]; fmt.Sprint(last) != fmt.Sprint(c.asked) {
				t.Errorf("asked %+v, want %+v", last, c.asked)
			}
			if n := *w.deployment().Spec.Replicas; n != c.want || len(w.Notes) == 0 || !strings.Contains(w.Notes[len(w.Notes)-1], c.text+" above target") {
				t.Errorf("%d replicas, %s, %q", n, said, w.Notes)
			}
			if h.Status.CurrentMetrics[0].Type != c.metric.Type {
				t.Errorf("status %+v", h.Status.CurrentMetrics)
			}
			asked := len(w.asked)
			if w.round("web"); strings.HasPrefix(c.asked.Resource, "custom") && len(w.asked) != asked+1 {
				t.Errorf("the version that is served is looked for again: %+v", w.asked[asked:])
			}
		})
	}
}

// TestZero: an autoscaler that brought its target to zero brings it back, by load or
// because its least was raised; KEP-2021.
func TestZero(t *testing.T) {
	w := newWorld(t, 1, external("depth", "5"))
	w.value["depth"] = 0
	h := w.get("web")
	zero := int32(0)
	h.Spec.MinReplicas = &zero
	w.must(w.Client().Update(h))
	w.round("web")
	w.clock = w.clock.Add(downscaleStabilization)
	h, said := w.round("web")
	if h.Status.DesiredReplicas != 0 || !strings.Contains(said, "ScaledToZero=True ScaledToZero") {
		t.Fatalf("%+v, %s", h.Status, said)
	}
	w.run(0)
	if h, said = w.round("web"); h.Status.DesiredReplicas != 0 || !strings.Contains(said, "ScalingActive=True") {
		t.Errorf("at zero: %+v, %s", h.Status, said)
	}
	w.value["depth"] = 14
	if h, said = w.round("web"); h.Status.DesiredReplicas != 3 || !strings.Contains(said, "ScaledToZero=False NotScaledToZero") {
		t.Errorf("back by load: %+v, %s", h.Status, said)
	}
}

// TestConflict: a target that others change at the same time is scaled nevertheless.
func TestConflict(t *testing.T) {
	w := newWorld(t, 2, percent(50))
	w.cpu = []int64{1000, 1000}
	inner := w.Served
	w.Served = func(f client.FetchOptions) (any, error) {
		d := w.deployment() // between reading the scale and writing it
		w.must(w.Client().Update(d))
		return inner(f)
	}
	if w.round("web"); *w.deployment().Spec.Replicas != 4 {
		t.Errorf("%d replicas, %q", *w.deployment().Spec.Replicas, w.Notes)
	}
}

// TestForgets: an autoscaler that is gone, or another one of its name, has no past.
func TestForgets(t *testing.T) {
	w := newWorld(t, 2, percent(50))
	w.cpu = []int64{1000, 1000}
	w.round("web")
	if len(w.r.memory) != 1 {
		t.Fatal("nothing is remembered")
	}
	old := w.r.memory[controller.Request{Namespace: "ns", Name: "web"}]
	w.must(w.Client().Delete(w.get("web"), client.DeleteOptions{}))
	w.create("web", 1, 10, percent(50))
	if w.round("web"); w.r.memory[controller.Request{Namespace: "ns", Name: "web"}] == old {
		t.Error("another one has its past")
	}
	w.must(w.Client().Delete(w.get("web"), client.DeleteOptions{}))
	if res, err := w.r.reconcile(w.Client(), controller.Request{Namespace: "ns", Name: "web"}); err != nil || res.RequeueAfter != 0 || len(w.r.memory) != 0 {
		t.Errorf("%v, %v, remembered %d", res, err, len(w.r.memory))
	}
}

// TestHangs: who hangs twice in a row is not waited for by every autoscaler, and asked
// again after a period; who refuses at once is asked each time.
func TestHangs(t *testing.T) {
	w := newWorld(t, 2, external("depth", "5"))
	asked, takes := 0, 10*time.Second
	w.Served = func(client.FetchOptions) (any, error) {
		asked++
		w.clock = w.clock.Add(takes)
		return nil, sdktest.ErrUnavailable
	}
	look := func(want int, why string) {
		t.Helper()
		asked = 0
		if _, err := w.r.reconcile(w.Client(), controller.Request{Namespace: "ns", Name: "web"}); err != nil || asked != want {
			t.Errorf("%s: asked %d times, %v, want %d", why, asked, err, want)
		}
		if last := w.Notes[len(w.Notes)-1]; !strings.Contains(last, "unable to fetch metrics from external metrics API") {
			t.Errorf("%s: %s", why, last)
		}
	}
	look(1, "the first time")
	look(1, "once may be one metric's fault")
	look(0, "it hangs")
	w.clock = w.clock.Add(period)
	look(1, "a period later")
	look(0, "it hangs still")
	w.clock, takes = w.clock.Add(period), 0
	look(1, "it refuses")
	look(1, "it is there")
}

// TestOneMetricHangs: what one metric takes does not take others of its server away, and
// an answer that comes late holds up others no less than none.
func TestOneMetricHangs(t *testing.T) {
	w := newWorld(t, 1)
	now, hung := w.clock, map[string]error{"a": nil, "b": sdktest.ErrUnavailable}
	asked := map[string]int{}
	w.Served = func(f client.FetchOptions) (any, error) {
		metric := f.Resource[strings.LastIndexByte(f.Resource, '/')+1:]
		asked[metric]++
		err, slow := hung[metric]
		if slow {
			now = now.Add(slowly)
		}
		return map[string]any{}, err
	}
	a := away{}
	ask := func(metric string) error {
		return a.fetch(w.Client(), func() time.Time { return now }, &struct{}{}, client.FetchOptions{Resource: "external.metrics.k8s.io/v1beta1/" + metric, Namespace: "ns"})
	}
	for range 5 {
		for _, metric := range []string{"a", "b"} {
			_ = ask(metric)
		}
	}
	if asked["b"] != enough {
		t.Errorf("who hangs was asked %d times, want %d", asked["b"], enough)
	}
	if err := ask("c"); err != nil || asked["c"] != 1 {
		t.Errorf("another metric of the server: %v, asked %d times", err, asked["c"])
	}
	now = now.Add(10 * period)
	for i := range 6 {
		name := fmt.Sprint("m", i)
		hung[name] = sdktest.ErrUnavailable
		_ = ask(name)
	}
	if asked["m5"] != 0 {
		t.Error("a server of which every metric hangs is asked for more")
	}
}

package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *metav1.Time {
	t := metav1.NewTime(now.Add(-d))
	return &t
}

// aPod is one that has run and been ready for an hour and requests a processor.
func aPod(name string, changes ...func(*pod)) *pod {
	p := &pod{}
	p.Metadata.Name = name
	p.Spec.Containers = []container{{Name: "c", Resources: requests{corev1.ResourceList{"cpu": "1", "memory": "1Gi"}}}}
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, ago(time.Hour)
	p.Status.Conditions = []condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: *ago(time.Hour)}}
	for _, f := range changes {
		f(p)
	}
	return p
}

func pending(p *pod)   { p.Status.Phase = corev1.PodPending }
func failedPod(p *pod) { p.Status.Phase = corev1.PodFailed }
func deleted(p *pod)   { p.Metadata.DeletionTimestamp = ago(0) }

// unready is a condition Ready that became false so long ago, of a pod that started at start.
func unready(start, since time.Duration) func(*pod) {
	return func(p *pod) {
		p.Status.StartTime = ago(start)
		p.Status.Conditions[0].Status, p.Status.Conditions[0].LastTransitionTime = corev1.ConditionFalse, *ago(since)
	}
}

func started(start, ready time.Duration) func(*pod) {
	return func(p *pod) {
		p.Status.StartTime, p.Status.Conditions[0].LastTransitionTime = ago(start), *ago(ready)
	}
}

// pods are those of the changes, p0, p1, …; nil changes nothing.
func pods(changes ...func(*pod)) (out []*pod) {
	for i, f := range changes {
		if f == nil {
			f = func(*pod) {}
		}
		out = append(out, aPod(fmt.Sprint("p", i), f))
	}
	return out
}

// used are measurements of p0, p1, …; a negative one is none.
func used(values ...int64) map[string]podMetric {
	out := map[string]podMetric{}
	for i, v := range values {
		if v >= 0 {
			out[fmt.Sprint("p", i)] = podMetric{now.Add(-10 * time.Second), 30 * time.Second, v}
		}
	}
	return out
}

// TestUtilization: cases of upstream's replica calculator. The target is in percent.
func TestUtilization(t *testing.T) {
	three := []func(*pod){nil, nil, nil}
	for name, c := range map[string]struct {
		current int32
		pods    []*pod
		used    map[string]podMetric
		target  int32
		want    utilization
		err     string
	}{
		"up":                               {3, pods(three...), used(300, 500, 700), 30, utilization{5, 50, 500}, ""},
		"down":                             {5, pods(nil, nil, nil, nil, nil), used(100, 300, 500, 250, 250), 50, utilization{3, 28, 280}, ""},
		"as it should be":                  {3, pods(three...), used(1010, 1030, 1020), 100, utilization{3, 102, 1020}, ""},
		"at the tolerance":                 {3, pods(three...), used(1100, 1100, 1100), 100, utilization{3, 110, 1100}, ""},
		"beyond the tolerance":             {3, pods(three...), used(1110, 1110, 1110), 100, utilization{4, 111, 1110}, ""},
		"up, one of which is missing":      {3, pods(three...), used(300, 500, -1), 30, utilization{3, 40, 400}, ""}, // with it, below the target
		"up, others make up for missing":   {3, pods(three...), used(2000, 2000, -1), 30, utilization{14, 200, 2000}, ""},
		"down, one of which is missing":    {4, pods(nil, nil, nil, nil), used(100, 100, 100, -1), 50, utilization{3, 10, 100}, ""},
		"down, missing turns it round":     {3, pods(three...), used(400, -1, -1), 50, utilization{3, 40, 400}, ""},
		"missing of a target beyond 100":   {2, pods(nil, nil), used(1600, -1), 300, utilization{2, 160, 1600}, ""},
		"up, unready ones use nothing":     {3, pods(nil, nil, unready(time.Minute, time.Minute)), used(800, 800, 3000), 30, utilization{6, 80, 800}, ""},
		"up, unready ones make it less":    {3, pods(unready(time.Minute, time.Minute), nil, unready(time.Minute, time.Minute)), used(100, 500, 700), 30, utilization{3, 50, 500}, ""},
		"down, unready ones do not count":  {3, pods(nil, nil, unready(time.Minute, time.Minute)), used(100, 100, 3000), 50, utilization{1, 10, 100}, ""},
		"pending ones are unready":         {2, pods(nil, pending), used(3000, -1), 100, utilization{3, 300, 3000}, ""},
		"failed and deleted do not count":  {4, pods(nil, nil, failedPod, deleted), used(600, 600, 9000, 9000), 30, utilization{4, 60, 600}, ""},
		"hot at its start":                 {3, pods(nil, nil, started(30*time.Second, 5*time.Second)), used(800, 800, 3000), 30, utilization{6, 80, 800}, ""},
		"a whole window ready":             {3, pods(nil, nil, started(2*time.Minute, time.Minute)), used(300, 300, 300), 10, utilization{9, 30, 300}, ""},
		"never ready":                      {2, pods(nil, unready(time.Hour, time.Hour)), used(200, 900), 50, utilization{1, 20, 200}, ""},
		"unready after it was ready":       {2, pods(nil, unready(time.Hour, time.Minute)), used(500, 500), 25, utilization{4, 50, 500}, ""},
		"without a condition":              {2, pods(nil, func(p *pod) { p.Status.Conditions = nil }), used(1000, 9000), 50, utilization{2, 100, 1000}, ""},
		"without a start":                  {2, pods(nil, func(p *pod) { p.Status.StartTime = nil }), used(1500, 9000), 50, utilization{3, 150, 1500}, ""},
		"measured beyond the pods":         {1, pods(nil), used(1000, 99999), 50, utilization{2, 100, 1000}, ""},
		"no pods":                          {1, nil, used(1), 50, utilization{}, "no pods returned by selector while calculating replica count"},
		"all unready":                      {1, pods(pending), used(100), 50, utilization{}, "did not receive metrics for targeted pods (pods might be unready)"},
		"others' metrics":                  {1, pods(nil), map[string]podMetric{"other": {value: 1}}, 50, utilization{}, "no metrics returned matched known pods"},
		"no request":                       {1, pods(func(p *pod) { p.Spec.Containers[0].Resources = requests{} }), used(1), 50, utilization{}, "missing request for cpu in container c of Pod p0"},
		"far more than any number of pods": {1, pods(nil), used(math.MaxInt64 / 2), 1, utilization{math.MaxInt32, math.MaxInt32, math.MaxInt64 / 2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &round{current: c.current, pods: c.pods, within: tolerances{0.1, 0.1}, now: now}
			got, err := r.byUtilization(c.used, c.target, corev1.ResourceCPU, "")
			if text := said(err); text != c.err || err == nil && got != c.want {
				t.Errorf("got %+v, %q, want %+v, %q", got, text, c.want, c.err)
			}
		})
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestAverage: amounts on average of the pods, of memory and of metrics of their own.
func TestAverage(t *testing.T) {
	young := unready(time.Minute, time.Minute)
	for name, c := range map[string]struct {
		current int32
		pods    []*pod
		used    map[string]podMetric
		target  int64
		within  tolerances
		want    int32
		usage   int64
	}{
		"up":                           {3, pods(nil, nil, nil), used(20_000, 10_000, 30_000), 15_000, tolerances{0.1, 0.1}, 4, 20_000},
		"down":                         {5, pods(nil, nil, nil, nil, nil), used(12_000, 12_000, 12_000, 12_000, 12_000), 20_000, tolerances{0.1, 0.1}, 3, 12_000},
		"within the tolerance":         {3, pods(nil, nil, nil), used(11_000, 11_000, 11_000), 10_000, tolerances{0.1, 0.1}, 3, 11_000},
		"by another tolerance":         {3, pods(nil, nil, nil), used(11_000, 11_000, 11_000), 10_000, tolerances{0.1, 0.05}, 4, 11_000},
		"by a wider one, down":         {4, pods(nil, nil, nil, nil), used(6000, 6000, 6000, 6000), 10_000, tolerances{0.5, 0.1}, 4, 6000},
		"unready ones count":           {3, pods(young, nil, young), used(50_000, 15_000, 30_000), 15_000, tolerances{0.1, 0.1}, 7, 31_666},
		"pending do not":               {3, pods(nil, nil, pending), used(50_000, 50_000, -1), 15_000, tolerances{0.1, 0.1}, 7, 50_000},
		"up, missing use nothing":      {3, pods(nil, nil, nil), used(50_000, 10_000, -1), 15_000, tolerances{0.1, 0.1}, 4, 30_000},
		"down, missing use the target": {4, pods(nil, nil, nil, nil), used(5000, 5000, -1, -1), 10_000, tolerances{0.1, 0.1}, 3, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			r := &round{current: c.current, pods: c.pods, within: c.within, now: now}
			got, usage, err := r.byAverage(c.used, c.target, "")
			if err != nil || got != c.want || usage != c.usage {
				t.Errorf("%d of %d, %v; want %d of %d", got, usage, err, c.want, c.usage)
			}
		})
	}
}

// TestValues: metrics that are not of pods.
func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		current, status int32
		pods            []*pod
		usage, target   int64
		value, perPod   int32
		each            int64
		err             error
	}{
		"up":                   {3, 3, pods(nil, nil, nil), 20_000, 15_000, 4, 2, 6667, nil},
		"by the ready ones":    {4, 4, pods(nil, nil, pending, unready(time.Hour, time.Minute)), 20_000, 10_000, 4, 2, 5000, nil},
		"within the tolerance": {4, 4, pods(nil, nil, nil, nil), 10_500, 10_000, 4, 2, 2625, nil},
		"from zero":            {0, 0, nil, 25_000, 10_000, 3, 3, 25_000, nil},
		"zero from zero":       {0, 0, nil, 0, 10_000, 0, 0, 0, nil},
		"to zero":              {3, 3, pods(nil, nil, nil), 0, 10_000, 0, 0, 0, nil},
		"no pods":              {3, 3, nil, 20_000, 10_000, 0, 2, 6667, errNoReadyPods},
		"as much as there is":  {2, 2, pods(nil, nil), math.MaxInt64, 1, math.MaxInt32, math.MaxInt32, math.MaxInt64, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := &round{current: c.current, status: c.status, pods: c.pods, within: tolerances{0.1, 0.1}, now: now}
			if got, err := r.byValue(c.usage, c.target); got != c.value || !errors.Is(err, c.err) {
				t.Errorf("by value %d, %v; want %d, %v", got, err, c.value, c.err)
			}
			if got, each := r.byValuePerPod(c.usage, c.target); got != c.perPod || each != c.each {
				t.Errorf("per pod %d of %d each, want %d of %d", got, each, c.perPod, c.each)
			}
		})
	}
	if got := sum([]int64{math.MaxInt64 - 1, 5, -3}); got != math.MaxInt64 {
		t.Errorf("sum %d", got)
	}
}

// TestRequests: of containers and sidecars, of one of them, of the pod as a whole.
func TestRequests(t *testing.T) {
	p := aPod("p")
	p.Spec.Containers = append(p.Spec.Containers, container{Name: "d", Resources: requests{corev1.ResourceList{"cpu": "250m"}}})
	p.Spec.InitContainers = []container{{Name: "i", Resources: requests{corev1.ResourceList{"cpu": "9"}}}, {Name: "s", RestartPolicy: "Always", Resources: requests{corev1.ResourceList{"cpu": "100m"}}}}
	whole := aPod("whole")
	whole.Spec.Resources = requests{corev1.ResourceList{"cpu": "3"}}
	whole.Spec.Overhead = corev1.ResourceList{"cpu": "10m"}
	for name, c := range map[string]struct {
		pod       *pod
		container string
		resource  corev1.ResourceName
		want      int64
		err       string
	}{
		"all":                {p, "", "cpu", 1350, ""},
		"one":                {p, "d", "cpu", 250, ""},
		"a sidecar":          {p, "s", "cpu", 100, ""},
		"one that is not":    {p, "x", "cpu", 0, "container x not found in Pod p"},
		"one says nothing":   {p, "", "memory", 0, "missing request for memory in container d of Pod p"},
		"the pod":            {whole, "", "cpu", 3010, ""},
		"what it leaves out": {whole, "", "memory", 1 << 30 * 1000, ""},
		"a container of it":  {whole, "c", "cpu", 1000, ""},
		"what nobody says":   {whole, "", "example.com/x", 0, "missing pod-level request for example.com/x in Pod whole"},
	} {
		if got, err := c.pod.requests(c.container, c.resource); got != c.want || said(err) != c.err {
			t.Errorf("%s: %d, %v; want %d, %s", name, got, err, c.want, c.err)
		}
	}
}

// TestAmounts: as upstream writes them.
func TestAmounts(t *testing.T) {
	for _, c := range []struct {
		name  corev1.ResourceName
		milli int64
		want  resource.Quantity
	}{{"cpu", 500, "500m"}, {"cpu", 2000, "2"}, {"", 5_000_000, "5k"}, {"memory", 10 << 20 * 1000, "10Mi"}, {"memory", 1024 * 1000, "1Ki"}, {"memory", 1000 * 1000, "1k"}, {"memory", 1500, "1500m"}, {"", 0, "0"}} {
		if got := *amount(c.name, c.milli); got != c.want {
			t.Errorf("%d of %s: %s, want %s", c.milli, c.name, got, c.want)
		}
	}
	for q, want := range map[resource.Quantity]float64{"0.05": 0.05, "50m": 0.05, "5u": 5e-6, "0": 0, "1": 1, "1k": 1000} {
		if got := fraction(q); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %g", q, got)
		}
	}
	if !strings.Contains(errNoReadyPods.Error(), errNoPods.Error()) {
		t.Error(errNoReadyPods)
	}
}

package horizontalpodautoscaler

import (
	"errors"
	"math"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// tolerances are how far usage may be from its target without a change.
type tolerances struct{ down, up float64 }

func (t tolerances) within(ratio float64) bool { return 1-t.down <= ratio && ratio <= 1+t.up }

var (
	errNoPods    = errors.New("no pods returned by selector while calculating replica count")
	errNoMetrics = errors.New("did not receive metrics for targeted pods (pods might be unready)")
	errNoMatch   = errors.New("no metrics returned matched known pods")
)

// round is what replicas are calculated from, but for the metric itself.
type round struct {
	namespace string
	current   int32 // replicas of the scale's spec
	status    int32 // replicas of its status
	pods      []*pod
	within    tolerances
	now       time.Time
}

// utilization is an answer in percent of what is requested.
type utilization struct {
	replicas, percent int32
	average           int64 // thousandths
}

// byUtilization calculates the replicas by which pods use the target percentage of what
// they request. metrics is changed.
func (r *round) byUtilization(metrics map[string]podMetric, target int32, resource corev1.ResourceName, container string) (utilization, error) {
	var u utilization
	if len(r.pods) == 0 {
		return u, errNoPods
	}
	g := r.group(metrics, resource)
	if len(metrics) == 0 {
		return u, errNoMetrics
	}
	requests, err := requested(r.pods, container, resource)
	if err != nil {
		return u, err
	}
	ratio, percent, average, err := utilizationRatio(metrics, requests, target)
	if err != nil {
		return u, err
	}
	u.percent, u.average = percent, average
	u.replicas, err = r.decide(g, metrics, ratio, func() (float64, error) {
		x, _, _, err := utilizationRatio(metrics, requests, target)
		return x, err
	}, func(name string) int64 { return requests[name] * int64(max(100, target)) / 100 })
	return u, err
}

// byAverage calculates the replicas by which pods use the target amount on average, in
// thousandths, and tells what they use. metrics is changed.
func (r *round) byAverage(metrics map[string]podMetric, target int64, resource corev1.ResourceName) (replicas int32, usage int64, err error) {
	if len(r.pods) == 0 {
		return 0, 0, errNoPods
	}
	g := r.group(metrics, resource)
	if len(metrics) == 0 {
		return 0, 0, errNoMetrics
	}
	ratio, usage := usageRatio(metrics, target)
	replicas, err = r.decide(g, metrics, ratio, func() (float64, error) {
		x, _ := usageRatio(metrics, target)
		return x, nil
	}, func(string) int64 { return target })
	return replicas, usage, err
}

// group leaves the metrics of pods that count.
func (r *round) group(metrics map[string]podMetric, resource corev1.ResourceName) groups {
	g := group(r.pods, metrics, resource, r.now)
	for _, names := range []map[string]bool{g.ignored, g.unready} {
		for name := range names {
			delete(metrics, name)
		}
	}
	return g
}

// decide comes from a ratio of usage to target to replicas. Of pods of which nothing is
// known it assumes what makes the change smaller: that they use all of what is wanted
// (full) when there would be fewer, and nothing when there would be more. again is the
// ratio with these assumptions; a change that they turn round is none.
func (r *round) decide(g groups, metrics map[string]podMetric, ratio float64, again func() (float64, error), full func(pod string) int64) (int32, error) {
	growsUnready := len(g.unready) > 0 && ratio > 1
	if !growsUnready && len(g.missing) == 0 {
		if r.within.within(ratio) {
			return r.current, nil
		}
		return ceil(ratio * float64(g.ready)), nil
	}
	for name := range g.missing {
		switch {
		case ratio < 1:
			metrics[name] = podMetric{value: full(name)}
		case ratio > 1:
			metrics[name] = podMetric{}
		}
	}
	if growsUnready {
		for name := range g.unready {
			metrics[name] = podMetric{}
		}
	}
	next, err := again()
	if err != nil {
		return 0, err
	}
	if r.within.within(next) || ratio < 1 && next > 1 || ratio > 1 && next < 1 {
		return r.current, nil
	}
	n := ceil(next * float64(len(metrics)))
	if next < 1 && n > r.current || next > 1 && n < r.current {
		return r.current, nil
	}
	return n, nil
}

func utilizationRatio(metrics map[string]podMetric, requests map[string]int64, target int32) (ratio float64, percent int32, average int64, err error) {
	var used, asked, n int64
	for name, m := range metrics {
		if request, ok := requests[name]; ok {
			used, asked, n = used+m.value, asked+request, n+1
		}
	}
	if asked == 0 {
		return 0, 0, 0, errNoMatch
	}
	percent = saturate(math.Trunc(float64(used) / float64(asked) * 100))
	if used <= math.MaxInt64/100 {
		percent = saturate(float64(used * 100 / asked))
	}
	return float64(percent) / float64(target), percent, used / n, nil
}

func usageRatio(metrics map[string]podMetric, target int64) (ratio float64, usage int64) {
	var sum int64
	for _, m := range metrics {
		sum += m.value
	}
	usage = sum / int64(len(metrics))
	return float64(usage) / float64(target), usage
}

// byValue calculates the replicas by which a metric that is not one of the pods comes to
// its target, taking it for proportional to the pods that are ready; of no replicas, to
// one.
func (r *round) byValue(usage, target int64) (int32, error) {
	ratio := float64(usage) / float64(target)
	switch {
	case r.current == 0:
		return ceil(ratio), nil
	case r.within.within(ratio):
		return r.current, nil
	case len(r.pods) == 0:
		return 0, errNoReadyPods
	}
	return ceil(ratio * float64(readyCount(r.pods))), nil
}

var errNoReadyPods = errors.New("unable to calculate ready pods: " + errNoPods.Error())

// byValuePerPod calculates the replicas over which a metric that is not one of the pods
// spreads to its target, and tells what it is for each now.
func (r *round) byValuePerPod(usage, target int64) (replicas int32, each int64) {
	replicas = r.status
	if ratio := float64(usage) / (float64(target) * float64(replicas)); !r.within.within(ratio) {
		replicas = ceil(float64(usage) / float64(target))
	}
	if r.status <= 0 || usage == math.MaxInt64 {
		return replicas, usage // what the first one will have
	}
	return replicas, int64(math.Ceil(float64(usage) / float64(r.status)))
}

// sum adds up what is not negative without running over.
func sum(values []int64) (out int64) {
	for _, v := range values {
		if v > 0 && out > math.MaxInt64-v {
			return math.MaxInt64
		}
		out += v
	}
	return out
}

func ceil(x float64) int32 { return saturate(math.Ceil(x)) }

// saturate is x within the bounds of replicas; 0 for what is no number.
func saturate(x float64) int32 {
	switch {
	case math.IsNaN(x):
		return 0
	case x >= math.MaxInt32:
		return math.MaxInt32
	case x <= math.MinInt32:
		return math.MinInt32
	}
	return int32(x)
}

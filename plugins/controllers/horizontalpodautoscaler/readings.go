package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
)

// reading is what a metric was found to be.
type reading struct {
	pods   map[string]podMetric // of pods
	value  int64                // of an object, in thousandths
	values []int64              // of what is outside of the cluster
	err    error
}

// reader reads the metrics of one autoscaler.
type reader struct {
	c         client.Client
	namespace string
	selector  string // of the pods

	usage    *podMetricsList // read once a round
	usageErr error
	sources  *sources
}

// sources is what is kept between rounds of those who serve metrics.
type sources struct {
	custom string // the version of custom.metrics.k8s.io that is served
	away   away
	now    func() time.Time
}

func (r *reader) fetch(into any, f client.FetchOptions) error {
	return r.sources.away.fetch(r.c, r.sources.now, into, f)
}

// read reads one metric.
func (r *reader) read(m *autoscalingv2.MetricSpec) (out reading) {
	switch {
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		out.pods, out.err = r.resource(m.Resource.Name, "")
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		out.pods, out.err = r.resource(m.ContainerResource.Name, m.ContainerResource.Container)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		out.pods, out.err = r.ofPods(m.Pods.Metric)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		out.value, out.err = r.ofObject(m.Object.Metric, m.Object.DescribedObject)
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		out.values, out.err = r.external(m.External.Metric)
	}
	return out
}

// podMetricsList is what the controller looks at in a PodMetricsList of metrics.k8s.io.
type podMetricsList struct {
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Timestamp  metav1.Time `json:"timestamp"`
		Window     string      `json:"window"`
		Containers []struct {
			Name  string              `json:"name"`
			Usage corev1.ResourceList `json:"usage"`
		} `json:"containers"`
	} `json:"items"`
}

// resource is what pods, or one container of each, use of a resource.
func (r *reader) resource(name corev1.ResourceName, container string) (map[string]podMetric, error) {
	if r.usage == nil && r.usageErr == nil {
		r.usage = &podMetricsList{}
		r.usageErr = r.fetch(r.usage, client.FetchOptions{Resource: "metrics.k8s.io/v1beta1/pods", Namespace: r.namespace, Labels: r.selector})
	}
	switch {
	case r.usageErr != nil:
		return nil, fmt.Errorf("unable to fetch metrics from resource metrics API: %w", r.usageErr)
	case len(r.usage.Items) == 0:
		return nil, errors.New("no metrics returned from resource metrics API")
	}
	return r.usage.of(name, container), nil
}

// of is the usage by pods; those of which a container was not measured have none.
func (l *podMetricsList) of(name corev1.ResourceName, container string) map[string]podMetric {
	out := make(map[string]podMetric, len(l.Items))
	for i := range l.Items {
		p := &l.Items[i]
		m, found := podMetric{at: p.Timestamp.Time()}, false
		m.window, _ = time.ParseDuration(p.Window)
		for j := range p.Containers {
			c := &p.Containers[j]
			if container != "" && container != c.Name {
				continue
			}
			q, ok := c.Usage[name]
			if found = ok; !ok {
				break
			}
			m.value += q.MilliValue()
			if container != "" {
				break
			}
		}
		if found {
			out[p.Metadata.Name] = m
		}
	}
	return out
}

// metricValues are the answers of custom.metrics.k8s.io and external.metrics.k8s.io, of
// all their versions.
type metricValues struct {
	Items []metricValue `json:"items"`
}

type metricValue struct {
	DescribedObject struct {
		Name string `json:"name"`
	} `json:"describedObject"`
	Timestamp     metav1.Time       `json:"timestamp"`
	WindowSeconds *int64            `json:"windowSeconds"`
	Window        *int64            `json:"window"` // in v1beta1
	Value         resource.Quantity `json:"value"`
}

// Versions of custom.metrics.k8s.io that are understood, the better one first.
var customVersions = []string{"v1beta2", "v1beta1"}

// custom asks custom.metrics.k8s.io, in the version that is served.
func (r *reader) custom(f client.FetchOptions, metric autoscalingv2.MetricIdentifier) (*metricValues, error) {
	if s := metric.Selector.String(); s != "" {
		f.Params = map[string]string{"metricLabelSelector": s}
	}
	plural := f.Resource
	versions := customVersions
	if r.sources.custom != "" {
		versions = []string{r.sources.custom}
	}
	for _, v := range versions {
		f.Resource = "custom.metrics.k8s.io/" + v + "/" + plural
		out := &metricValues{}
		err := r.fetch(out, f)
		if client.IsUnsupported(err) {
			r.sources.custom = ""
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("unable to fetch metrics from custom metrics API: %w", err)
		}
		r.sources.custom = v
		return out, nil
	}
	return nil, errors.New("unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered")
}

// ofPods is a metric by pods.
func (r *reader) ofPods(metric autoscalingv2.MetricIdentifier) (map[string]podMetric, error) {
	list, err := r.custom(client.FetchOptions{Resource: "pods", Namespace: r.namespace, Name: "*", Subresource: metric.Name, Labels: r.selector}, metric)
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, errors.New("no metrics returned from custom metrics API")
	}
	out := make(map[string]podMetric, len(list.Items))
	for i := range list.Items {
		v := &list.Items[i]
		m := podMetric{at: v.Timestamp.Time(), window: time.Minute, value: v.Value.MilliValue()}
		for _, s := range []*int64{v.WindowSeconds, v.Window} {
			if s != nil {
				m.window = time.Duration(*s) * time.Second
			}
		}
		out[v.DescribedObject.Name] = m
	}
	return out, nil
}

// ofObject is a metric of one object, of the autoscaler's namespace or that itself.
func (r *reader) ofObject(metric autoscalingv2.MetricIdentifier, of autoscalingv2.CrossVersionObjectReference) (int64, error) {
	f := client.FetchOptions{Namespace: r.namespace, Name: of.Name, Subresource: metric.Name}
	if of.Kind == "Namespace" && !strings.Contains(of.APIVersion, "/") {
		f = client.FetchOptions{Namespace: r.namespace, Resource: "metrics", Name: metric.Name} // ".../namespaces/x/metrics/name"
	} else {
		named, err := r.c.ResourceOf(of.APIVersion, of.Kind)
		if err != nil {
			return 0, fmt.Errorf("unable to fetch metrics from custom metrics API: %w", err)
		}
		parts := strings.Split(named, "/")
		f.Resource = parts[len(parts)-1]
		if len(parts) == 3 {
			f.Resource += "." + parts[0]
		}
	}
	list, err := r.custom(f, metric)
	if err != nil {
		return 0, err
	}
	if n := len(list.Items); n != 1 {
		return 0, fmt.Errorf("unable to fetch metrics from custom metrics API: the custom metrics API server returned %d results when we asked for exactly one", n)
	}
	return list.Items[0].Value.MilliValue(), nil
}

// external is a metric of something outside of the cluster.
func (r *reader) external(metric autoscalingv2.MetricIdentifier) ([]int64, error) {
	list := &metricValues{}
	err := r.fetch(list, client.FetchOptions{Resource: "external.metrics.k8s.io/v1beta1/" + metric.Name, Namespace: r.namespace, Labels: metric.Selector.String()})
	if err != nil {
		return nil, fmt.Errorf("unable to fetch metrics from external metrics API: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, errors.New("no metrics returned from external metrics API")
	}
	out := make([]int64, len(list.Items))
	for i := range list.Items {
		out[i] = list.Items[i].Value.MilliValue()
	}
	return out, nil
}

// clone copies a reading's pods, which calculations change.
func (g *reading) clone() map[string]podMetric { return maps.Clone(g.pods) }

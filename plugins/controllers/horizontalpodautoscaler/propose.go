package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"math"

	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// proposal is the replicas that one metric asks for, what it is called, and how it is
// shown in the status.
type proposal struct {
	replicas int32
	metric   string
	status   autoscalingv2.MetricStatus
}

// failure is why a metric asks for nothing: reason is that of the condition and of an
// event, cause what these say, and err what the autoscaler's error says.
type failure struct {
	reason     string
	cause, err error
}

// propose calculates what one metric asks for.
func (r *round) propose(m *autoscalingv2.MetricSpec, g reading) (proposal, *failure) {
	switch {
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		return r.proposeResource(m.Resource, g)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		return r.proposeContainer(m.ContainerResource, g)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		return r.proposePods(m.Pods, g)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		return r.proposeObject(m.Object, g)
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		return r.proposeExternal(m.External, g)
	}
	err := fmt.Errorf("unknown metric source type %q", string(m.Type))
	return proposal{}, &failure{"InvalidMetricSourceType", err, err}
}

func failed(reason string, cause error, prefix string) *failure {
	return &failure{reason, cause, fmt.Errorf("%s: %w", prefix, cause)}
}

func (r *round) proposeResource(m *autoscalingv2.ResourceMetricSource, g reading) (p proposal, _ *failure) {
	current, n, err := r.resource(m.Target, m.Name, "", g)
	if err != nil {
		return p, failed("FailedGetResourceMetric", err, fmt.Sprintf("failed to get %s resource metric value", m.Name))
	}
	p = proposal{replicas: n, metric: fmt.Sprintf("%s resource", m.Name)}
	if m.Target.AverageValue == nil {
		p.metric += " utilization (percentage of request)"
	}
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{Name: m.Name, Current: current}}
	return p, nil
}

func (r *round) proposeContainer(m *autoscalingv2.ContainerResourceMetricSource, g reading) (p proposal, _ *failure) {
	current, n, err := r.resource(m.Target, m.Name, m.Container, g)
	if err != nil {
		return p, failed("FailedGetContainerResourceMetric", err, fmt.Sprintf("failed to get %s container metric value", m.Container))
	}
	p = proposal{replicas: n, metric: fmt.Sprintf("%s resource", m.Name)}
	if m.Target.AverageValue == nil {
		p.metric = fmt.Sprintf("%s container resource utilization (percentage of request)", m.Name)
	}
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.ContainerResourceMetricSourceType,
		ContainerResource: &autoscalingv2.ContainerResourceMetricStatus{Name: m.Name, Container: m.Container, Current: current}}
	return p, nil
}

// resource calculates by what pods use of a resource, or one container of each.
func (r *round) resource(t autoscalingv2.MetricTarget, name corev1.ResourceName, container string, g reading) (v autoscalingv2.MetricValueStatus, replicas int32, err error) {
	switch {
	case t.AverageValue != nil:
		if g.err != nil {
			return v, 0, fmt.Errorf("failed to get %s usage: unable to get metrics for resource %s: %w", name, name, g.err)
		}
		n, usage, err := r.byAverage(g.clone(), t.AverageValue.MilliValue(), name)
		if err != nil {
			return v, 0, fmt.Errorf("failed to get %s usage: %w", name, err)
		}
		return autoscalingv2.MetricValueStatus{AverageValue: amount(name, usage)}, n, nil
	case t.AverageUtilization == nil:
		return v, 0, errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	case g.err != nil:
		return v, 0, fmt.Errorf("failed to get %s utilization: unable to get metrics for resource %s: %w", name, name, g.err)
	}
	u, err := r.byUtilization(g.clone(), *t.AverageUtilization, name, container)
	if err != nil {
		return v, 0, fmt.Errorf("failed to get %s utilization: %w", name, err)
	}
	return autoscalingv2.MetricValueStatus{AverageUtilization: &u.percent, AverageValue: amount(name, u.average)}, u.replicas, nil
}

func (r *round) proposePods(m *autoscalingv2.PodsMetricSource, g reading) (p proposal, _ *failure) {
	err := g.err
	if err != nil {
		err = fmt.Errorf("unable to get metric %s: %w", m.Metric.Name, err)
	}
	var usage int64
	switch {
	case err != nil:
	case m.Target.AverageValue == nil:
		err = errors.New("invalid pods metric source: no average value target was set")
	default:
		p.replicas, usage, err = r.byAverage(g.clone(), m.Target.AverageValue.MilliValue(), "")
	}
	if err != nil {
		return proposal{}, failed("FailedGetPodsMetric", err, "failed to get pods metric value")
	}
	p.metric = "pods metric " + m.Metric.Name
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricStatus{
		Metric: m.Metric, Current: autoscalingv2.MetricValueStatus{AverageValue: amount("", usage)}}}
	return p, nil
}

func (r *round) proposeObject(m *autoscalingv2.ObjectMetricSource, g reading) (p proposal, _ *failure) {
	const reason, prefix = "FailedGetObjectMetric", "failed to get object metric value"
	err := g.err
	if err != nil {
		err = fmt.Errorf("unable to get metric %s on %s %s/%s: %w", m.Metric.Name, m.DescribedObject.Kind, r.namespace, m.DescribedObject.Name, err)
	}
	s := &autoscalingv2.ObjectMetricStatus{Metric: m.Metric, DescribedObject: m.DescribedObject}
	switch t := m.Target; {
	case t.Type == autoscalingv2.ValueMetricType && t.Value != nil:
		if err == nil {
			p.replicas, err = r.byValue(g.value, t.Value.MilliValue())
		}
		s.Current.Value, p.metric = amount("", g.value), fmt.Sprintf("%s metric %s", m.DescribedObject.Kind, m.Metric.Name)
	case t.Type == autoscalingv2.AverageValueMetricType && t.AverageValue != nil:
		if err != nil {
			return proposal{}, &failure{reason, err, fmt.Errorf("%s: failed to get %s object metric: %w", prefix, m.Metric.Name, err)}
		}
		n, each := r.byValuePerPod(g.value, t.AverageValue.MilliValue())
		s.Current.AverageValue, p.replicas, p.metric = amount("", each), n, outside(m.Metric)
	default:
		err = errors.New("invalid object metric source: neither a value target nor an average value target was set")
	}
	if err != nil {
		return proposal{}, failed(reason, err, prefix)
	}
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.ObjectMetricSourceType, Object: s}
	return p, nil
}

func (r *round) proposeExternal(m *autoscalingv2.ExternalMetricSource, g reading) (p proposal, _ *failure) {
	const reason = "FailedGetExternalMetric"
	prefix := fmt.Sprintf("failed to get %s external metric value", m.Metric.Name)
	err := g.err
	if err != nil {
		err = fmt.Errorf("unable to get external metric %s/%s/%s: %w", r.namespace, m.Metric.Name, selector(m.Metric), err)
	}
	s := &autoscalingv2.ExternalMetricStatus{Metric: m.Metric}
	switch t := m.Target; {
	case t.AverageValue != nil:
		if err != nil {
			return proposal{}, &failure{reason, err, fmt.Errorf("%s: failed to get %s external metric: %w", prefix, m.Metric.Name, err)}
		}
		n, each := r.byValuePerPod(sum(g.values), t.AverageValue.MilliValue())
		s.Current.AverageValue, p.replicas = amount("", each), n
	case t.Value != nil:
		if err == nil {
			p.replicas, err = r.byValue(sum(g.values), t.Value.MilliValue())
		}
		if err != nil {
			return proposal{}, &failure{reason, err, fmt.Errorf("%s: failed to get external metric %s: %w", prefix, m.Metric.Name, err)}
		}
		s.Current.Value = amount("", sum(g.values))
	default:
		return proposal{}, failed(reason, errors.New("invalid external metric source: neither a value target nor an average value target was set"), prefix)
	}
	p.metric = outside(m.Metric)
	p.status = autoscalingv2.MetricStatus{Type: autoscalingv2.ExternalMetricSourceType, External: s}
	return p, nil
}

// outside names a metric as upstream does one that is not of pods.
func outside(m autoscalingv2.MetricIdentifier) string {
	return fmt.Sprintf("external metric %s(%s)", m.Name, selector(m))
}

func selector(m autoscalingv2.MetricIdentifier) string {
	if m.Selector == nil {
		return "nil"
	}
	return m.Selector.String()
}

// amount writes thousandths as upstream writes what it measured: memory in Ki, Mi, Gi.
func amount(name corev1.ResourceName, milli int64) *resource.Quantity {
	q := resource.Quantity("0").Add(resource.Milli(milli))
	if n := milli / 1000; name == corev1.ResourceMemory && milli%1000 == 0 && n >= 1024 && n < math.MaxInt64/1000 {
		q = resource.Quantity("1Ki").Add(resource.Whole(n - 1024))
	}
	return &q
}

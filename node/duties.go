package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/logs"
	"github.com/pintle-io/pintle/node/pod"
	"github.com/pintle-io/pintle/node/podcertificate"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/source"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/volume/projected"
)

// token asks for a token of the pod's service account that is good while the
// pod exists.
func (p *parts) token(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (projected.Token, error) {
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	if audience != "" {
		req.Spec.Audiences = []string{audience}
	}
	account := pod.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	got, err := p.agent.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, account, req, metav1.CreateOptions{})
	if err != nil {
		return projected.Token{}, err
	}
	return projected.Token{Value: got.Status.Token, Expires: got.Status.ExpirationTimestamp.Time}, nil
}

// held is what is followed for the pods of the node.
type held struct {
	*source.Store
	certificates *podcertificate.Manager
}

// Hold implements pod.Sources.
func (h held) Hold(pod *corev1.Pod) {
	h.Store.Hold(pod)
	h.certificates.Hold(pod)
}

// Release implements pod.Sources.
func (h held) Release(uid types.UID) {
	h.Store.Release(uid)
	h.certificates.Release(uid)
}

var _ pod.Sources = held{}

// uid is the node's in the API.
func (p *parts) uid() (types.UID, error) {
	name := p.agent.cfg.Name
	obj, _, _ := p.agent.informers.Nodes().GetStore().GetByKey(name) // the store has no errors of its own
	n, ok := obj.(*corev1.Node)
	if !ok {
		return "", fmt.Errorf("node %q is not known yet", name)
	}
	return n.UID, nil
}

// rotateInterval is how often logs are looked at.
const rotateInterval = 10 * time.Second

func (p *parts) rotateLogs(ctx context.Context) error {
	rotation := logs.Rotation{Size: p.agent.cfg.LogSize, Files: p.agent.cfg.LogFiles}
	retry := backoff.New(rotateInterval, rotateInterval)
	for sleep(ctx, rotateInterval) {
		pods, err := p.agent.runtime.Pods(ctx)
		if err != nil {
			continue // the node's condition tells
		}
		var errs []error
		for _, pod := range pods {
			for _, c := range pod.Containers {
				if c.Phase != state.Running {
					continue
				}
				path := filepath.Join(podspec.LogDirectory(p.about.Logs, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
					Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}), podspec.LogPath(c.Name, c.Restarts))
				if _, err := rotation.Rotate(ctx, path, time.Now(), func(ctx context.Context) error { return p.agent.runtime.ReopenLog(ctx, c.ID) }); err != nil && ctx.Err() == nil {
					errs = append(errs, fmt.Errorf("pod %s/%s, container %s: %w", pod.Namespace, pod.Name, c.Name, err))
				}
			}
		}
		if err := errors.Join(errs...); err != nil {
			retry.Failed(p.agent.cfg.Log, "logs not rotated", err)
		} else {
			retry.Succeeded(p.agent.cfg.Log)
		}
	}
	return nil
}

// metrics count what runs, under upstream's names.
func metrics(pods func() []*corev1.Pod) prometheus.Collector {
	return &running{pods: pods,
		podDesc:       prometheus.NewDesc("kubelet_running_pods", "Number of pods that have a running container", nil, nil),
		containerDesc: prometheus.NewDesc("kubelet_running_containers", "Number of containers by state", []string{"container_state"}, nil)}
}

type running struct {
	pods                   func() []*corev1.Pod
	podDesc, containerDesc *prometheus.Desc
}

// Describe lists the metrics.
func (r *running) Describe(ch chan<- *prometheus.Desc) {
	ch <- r.podDesc
	ch <- r.containerDesc
}

// Collect counts.
func (r *running) Collect(ch chan<- prometheus.Metric) {
	pods, states := 0, map[string]int{"running": 0, "exited": 0, "waiting": 0}
	for _, p := range r.pods() {
		alive := false
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, c := range list {
				switch {
				case c.State.Running != nil:
					alive = true
					states["running"]++
				case c.State.Terminated != nil:
					states["exited"]++
				default:
					states["waiting"]++
				}
			}
		}
		if alive {
			pods++
		}
	}
	ch <- prometheus.MustNewConstMetric(r.podDesc, prometheus.GaugeValue, float64(pods))
	for s, n := range states {
		ch <- prometheus.MustNewConstMetric(r.containerDesc, prometheus.GaugeValue, float64(n), s)
	}
}

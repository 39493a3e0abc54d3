package kinds_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// summary is what an agent says of a node and a pod that have used a part of a
// processor since the beginning.
func summary(node, uid string, begin time.Time) *statsapi.Summary {
	now := time.Now()
	cpu := func(part float64) *statsapi.CPUStats {
		used := uint64(float64(now.Sub(begin)) * part)
		return &statsapi.CPUStats{Time: metav1.NewTime(now), UsageCoreNanoSeconds: &used}
	}
	memory := func(mi uint64) *statsapi.MemoryStats {
		mi <<= 20
		return &statsapi.MemoryStats{WorkingSetBytes: &mi}
	}
	return &statsapi.Summary{Node: statsapi.NodeStats{NodeName: node, CPU: cpu(0.5), Memory: memory(512)},
		Pods: []statsapi.PodStats{{PodRef: statsapi.PodReference{UID: uid}, Containers: []statsapi.ContainerStats{
			{Name: "web", CPU: cpu(0.25), Memory: memory(64)}, {Name: "log", CPU: cpu(0.1), Memory: memory(16)}}}}}
}

// TestTop: kubectl top, whose parts of processors are as exact as clocks are on a machine
// that has other things to do (their arithmetic is kernel/usage's), from the summaries of nodes' agents, until somebody brings a
// server of his own for it.
func TestTop(t *testing.T) {
	var uid string
	begin := time.Now().Add(-time.Hour)
	agent := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stats/summary" || len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(summary("n1", uid, begin))
	}))
	e := newExtension(t, "mine.default.svc")
	s := newShop(t, map[string]*httptest.Server{"10.8.0.1": agent, "10.9.0.1": e.Server})
	pair, err := s.PKI.IssueNodeServing("n1", []net.IP{net.IPv4(10, 8, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	agent.TLS = &tls.Config{Certificates: []tls.Certificate{*pair.TLS()}, ClientAuth: tls.RequireAnyClientCert}
	agent.StartTLS()
	defer agent.Close()
	ctx := t.Context()
	for _, name := range []string{"n1", "gone"} {
		n, err := s.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": name}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if name == "gone" {
			continue // it has no agent
		}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.8.0.1"}}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi")}
		n.Status.Capacity = n.Status.Allocatable
		if _, err := s.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "box", Labels: map[string]string{"app": "box"}},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "web", Image: "x"}, {Name: "log", Image: "x"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	uid = string(p.UID)
	p.Status.Phase = corev1.PodRunning
	if _, err := s.CoreV1().Pods("default").UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.sees(t, []string{`n1 \d{3}m \d+% 512Mi 50%`}, "top", "nodes")
	s.sees(t, []string{`box \d{2,3}m 80Mi`}, "top", "pods")
	s.sees(t, []string{`box web \d{2,3}m 64Mi`, `box log \d{2,3}m 16Mi`}, "top", "pods", "--containers", "-l", "app=box")
	s.sees(t, []string{`box \d{2,3}m 80Mi`}, "top", "pod", "box")
	if out, err := s.kubectl(t, "top", "pods", "-l", "app=other"); err != nil || !strings.Contains(out, "No resources found") {
		t.Errorf("%v: %s", err, out)
	}
	const nodes = "/apis/metrics.k8s.io/v1beta1/nodes"
	for path, want := range map[string][2]string{
		nodes + "/n1": {"200", `"name":"n1"`}, nodes + "/gone": {"404", "not found"},
		nodes + "?labelSelector=zone%3Dn1":                                {"200", `"items":[{"metadata":{"name":"n1"`},
		nodes + "?labelSelector=zone%3Dx":                                 {"200", `"items":[]`},
		"/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/box":        {"200", `"name":"web"`},
		"/apis/metrics.k8s.io/v1beta1/namespaces/other/pods":              {"200", `"items":[]`},
		"/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=metadata.name=x": {"200", `"items":[]`},
	} {
		if code, text := s.raw(t, path); code != map[string]int{"200": 200, "404": 404}[want[0]] || !strings.Contains(strings.ReplaceAll(text, ": ", ":"), want[1]) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}

	mine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/v1beta1") {
			_, _ = w.Write([]byte(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[{"name":"nodes","kind":"NodeMetrics","verbs":["get","list"]}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{"metadata":{"name":"n1"},"usage":{"cpu":"1234m","memory":"1Mi"}}]}`))
	})
	e.does.Store(&mine)
	s.service(t, "mine", "10.9.0.1")
	s.register(t, "metrics.k8s.io", "v1beta1", "mine", e.ca)
	s.sees(t, []string{"n1 1234m"}, "top", "nodes")
	s.sees(t, []string{"v1beta1.metrics.k8s.io default/mine True"}, "get", "apiservices")
	if out, err := s.kubectl(t, "delete", "apiservice", "v1beta1.metrics.k8s.io"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.sees(t, []string{`n1 \d{3}m \d+% 512Mi 50%`}, "top", "nodes")
}

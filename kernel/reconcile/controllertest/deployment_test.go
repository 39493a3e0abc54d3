package controllertest_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var workload = []string{"deployment", "replicaset", "endpointslice", "garbage-collector"}

func newDeployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "image:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}}}},
	}
}

func newService(name, app string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": app}, Ports: []corev1.ServicePort{{Port: 80}}}}
}

// rolledOut tells what keeps a Deployment from being rolled out to n pods.
func rolledOut(t testing.TB, c *cluster, name string, n int32) string {
	t.Helper()
	d := get[appsv1.Deployment](t, c, name)
	s := d.Status
	reason := ""
	for _, x := range s.Conditions {
		if x.Type == appsv1.DeploymentProgressing {
			reason = x.Reason
		}
	}
	return all(equal("observedGeneration", s.ObservedGeneration, d.Generation), equal("replicas", s.Replicas, n),
		equal("updated", s.UpdatedReplicas, n), equal("available", s.AvailableReplicas, n), equal("unavailable", s.UnavailableReplicas, 0),
		equal("progressing", reason, "NewReplicaSetAvailable"))
}

// endpoints counts the ready endpoints of a Service.
func endpoints(t testing.TB, c *cluster, service string) (ready int) {
	t.Helper()
	for _, s := range list[discoveryv1.EndpointSlice](t, c, namespace) {
		if s.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && *e.Conditions.Ready {
				ready++
			}
		}
	}
	return ready
}

// images counts the active pods by the image of their container.
func images(t testing.TB, c *cluster) string {
	t.Helper()
	n := map[string]int{}
	for _, p := range list[corev1.Pod](t, c, namespace) {
		if p.DeletionTimestamp == nil {
			n[p.Spec.Containers[0].Image]++
		}
	}
	return fmt.Sprint(n)
}

func revisions(t testing.TB, c *cluster) string {
	t.Helper()
	out := map[string]string{}
	for _, rs := range list[appsv1.ReplicaSet](t, c, namespace) {
		out[rs.Spec.Template.Spec.Containers[0].Image] = rs.Annotations["deployment.kubernetes.io/revision"]
	}
	return fmt.Sprint(out)
}

// rollout is the life of a Deployment behind a Service; what is there at its
// milestones comes back as lines.
func rollout(t *testing.T, h host) []string {
	c := newCluster(t, h, workload...)
	startNodes(t, c, "a", "b")
	var seen []string
	note := func(what string) {
		seen = append(seen, fmt.Sprintf("%s: pods %s, revisions %s, endpoints %d", what, images(t, c), revisions(t, c), endpoints(t, c, "web")))
	}
	wait := func(what string, n int32) {
		t.Helper()
		eventually(t, what, func() string {
			return all(rolledOut(t, c, "web", n), equal("endpoints", endpoints(t, c, "web"), int(n)))
		})
		note(what)
	}
	image := func(i string) {
		update(t, c, "web", "", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = i })
	}
	scale := func(n int32) { update(t, c, "web", "", func(d *appsv1.Deployment) { d.Spec.Replicas = &n }) }

	c.mustCreate(t, newService("web", "web"))
	c.mustCreate(t, newDeployment("web", 6))
	wait("created", 6)
	scale(9)
	wait("scaled up", 9)
	image("image:2")
	wait("rolled out", 9)
	image("image:1")
	wait("undone", 9)
	scale(2)
	wait("scaled down", 2)
	update(t, c, "web", "", func(d *appsv1.Deployment) {
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
		d.Spec.Template.Spec.Containers[0].Image = "image:3"
	})
	wait("recreated", 2)
	c.mustDelete(t, newDeployment("web", 0), metav1.DeletePropagationForeground)
	eventually(t, "deleted", func() string {
		return all(equal("deployment gone", get[appsv1.Deployment](t, c, "web") == nil, true),
			equal("sets", len(list[appsv1.ReplicaSet](t, c, namespace)), 0), equal("pods", len(list[corev1.Pod](t, c, namespace)), 0),
			equal("endpoints", endpoints(t, c, "web"), 0))
	})
	note("deleted")
	return seen
}

// TestRolloutInAllHosts holds the controllers to one behaviour, however they
// are hosted.
func TestRolloutInAllHosts(t *testing.T) {
	want := []string{
		"created: pods map[image:1:6], revisions map[image:1:1], endpoints 6",
		"scaled up: pods map[image:1:9], revisions map[image:1:1], endpoints 9",
		"rolled out: pods map[image:2:9], revisions map[image:1:1 image:2:2], endpoints 9",
		"undone: pods map[image:1:9], revisions map[image:1:3 image:2:2], endpoints 9",
		"scaled down: pods map[image:1:2], revisions map[image:1:3 image:2:2], endpoints 2",
		"recreated: pods map[image:3:2], revisions map[image:1:3 image:2:2 image:3:4], endpoints 2",
		"deleted: pods map[], revisions map[], endpoints 0",
	}
	for name, open := range map[string]func(testing.TB) host{"native": nativeHost, "wasm": wasmHost, "process": processHost} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, rollout(t, open(t))); diff != "" {
				t.Errorf("rollout (-want +got):\n%s", diff)
			}
		})
	}
}

package resources_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
)

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

func deployment(edit ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "ns", UID: "u", ResourceVersion: "5"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, Template: template()}}
	for _, e := range edit {
		e(d)
	}
	return d
}

func TestMinimalDeploymentGetsUpstreamsDefaults(t *testing.T) {
	d := deployment(func(d *appsv1.Deployment) { d.Status.Replicas = 9 })
	if errs := create(t, definition(t, "deployments.apps"), d); len(errs) > 0 {
		t.Fatal(errs)
	}
	if d.Generation != 1 || d.Status.Replicas != 0 {
		t.Errorf("generation %d, status.replicas %d", d.Generation, d.Status.Replicas)
	}
	want := deployment(func(d *appsv1.Deployment) {
		quarter := intOrString("25%")
		d.Generation = 1
		d.Spec.Replicas = ptr.To[int32](1)
		d.Spec.RevisionHistoryLimit = ptr.To[int32](10)
		d.Spec.ProgressDeadlineSeconds = ptr.To[int32](600)
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &quarter, MaxUnavailable: &quarter}}
		s := &d.Spec.Template.Spec
		s.RestartPolicy, s.DNSPolicy, s.SchedulerName = "Always", "ClusterFirst", "default-scheduler"
		s.TerminationGracePeriodSeconds = ptr.To[int64](30)
		s.SecurityContext = &corev1.PodSecurityContext{}
		s.Containers[0].ImagePullPolicy = "Always"
		s.Containers[0].TerminationMessagePath, s.Containers[0].TerminationMessagePolicy = "/dev/termination-log", "File"
	})
	if diff := cmp.Diff(want, d, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestValidationSpeaksUpstreamsWords(t *testing.T) {
	for _, tc := range []struct {
		resource string
		obj      runtime.Object
		want     string
	}{
		{"deployments.apps", deployment(func(d *appsv1.Deployment) { d.Spec.Selector = nil }), "spec.selector: Required value"},
		{"deployments.apps", deployment(func(d *appsv1.Deployment) { d.Spec.Template.Labels = nil }), "`selector` does not match template `labels`"},
		{"deployments.apps", deployment(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](-1) }), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		{"configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}, Data: map[string]string{"a/b": "x"}}, `data[a/b]: Invalid value: "a/b"`},
		{"namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a.b"}}, `metadata.name: Invalid value: "a.b": must not contain dots`},
		{"replicationcontrollers", &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "ns"}, Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To[int32](-1), Selector: map[string]string{"app": "a"}, Template: ptr.To(template())}}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		{"cronjobs.batch", &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}, Spec: batchv1.CronJobSpec{Schedule: "often"}}, `spec.schedule: Invalid value: "often"`},
		{"horizontalpodautoscalers.autoscaling", &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h", Namespace: "ns"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 1, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", APIVersion: "apps/v1"}}}, "spec.scaleTargetRef.name: Required value"},
	} {
		errs := create(t, definition(t, tc.resource), tc.obj)
		if len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.resource, errs.ToAggregate(), tc.want)
		}
		// What hand-written and declared validation both find is said once.
		seen := map[string]bool{}
		for _, e := range errs {
			if seen[e.Error()] {
				t.Errorf("%s: %q is reported twice", tc.resource, e.Error())
			}
			seen[e.Error()] = true
		}
	}
}

func TestDeploymentGeneration(t *testing.T) {
	d := definition(t, "deployments.apps")
	old := deployment()
	if errs := create(t, d, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	for name, tc := range map[string]struct {
		edit func(*appsv1.Deployment)
		want int64
	}{
		"nothing":    {func(*appsv1.Deployment) {}, 1},
		"a label":    {func(d *appsv1.Deployment) { d.Labels = map[string]string{"a": "b"} }, 1},
		"annotation": {func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": "b"} }, 2},
		"replicas":   {func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](3) }, 2},
		"status":     {func(d *appsv1.Deployment) { d.Status.Replicas = 4 }, 1},
		"generation": {func(d *appsv1.Deployment) { d.Generation = 77 }, 1},
	} {
		next := old.DeepCopy()
		tc.edit(next)
		if errs := update(t, d, next, old); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
		if next.Generation != tc.want || next.Status.Replicas != 0 {
			t.Errorf("%s: generation %d, want %d; status %+v", name, next.Generation, tc.want, next.Status)
		}
	}
	next := old.DeepCopy()
	next.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}}
	next.Spec.Template.Labels = map[string]string{"app": "b"}
	if errs := update(t, d, next, old); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "spec.selector") {
		t.Errorf("changing the selector: %v", errs)
	}
}

func TestDaemonSetCountsItsTemplates(t *testing.T) {
	d := definition(t, "daemonsets.apps")
	old := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "ns", ResourceVersion: "1"}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, Template: template()}}
	if errs := create(t, d, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	const key = "deprecated.daemonset.template.generation"
	if old.Annotations[key] != "1" {
		t.Errorf("annotations %v", old.Annotations)
	}
	next := old.DeepCopy()
	next.Spec.Template.Spec.Containers[0].Image = "j"
	next.Annotations = nil
	if errs := update(t, d, next, old); len(errs) > 0 || next.Annotations[key] != "2" || next.Generation != 2 {
		t.Errorf("%v, annotations %v, generation %d", errs, next.Annotations, next.Generation)
	}
}

func TestScale(t *testing.T) {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
	meta := metav1.ObjectMeta{Name: "x", Namespace: "ns", UID: "u", ResourceVersion: "5", Labels: map[string]string{"not": "shown"}}
	for gr, obj := range map[string]runtime.Object{
		"deployments.apps":       &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](3), Selector: selector}, Status: appsv1.DeploymentStatus{Replicas: 2}},
		"replicasets.apps":       &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](3), Selector: selector}, Status: appsv1.ReplicaSetStatus{Replicas: 2}},
		"statefulsets.apps":      &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3), Selector: selector}, Status: appsv1.StatefulSetStatus{Replicas: 2}},
		"replicationcontrollers": &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To[int32](3), Selector: selector.MatchLabels}, Status: corev1.ReplicationControllerStatus{Replicas: 2}},
	} {
		sub := definition(t, gr).Subresource("scale")
		got, err := sub.Get(obj)
		if err != nil {
			t.Fatal(err)
		}
		want := &autoscalingv1.Scale{
			TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
			ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "ns", UID: "u", ResourceVersion: "5"},
			Spec:       autoscalingv1.ScaleSpec{Replicas: 3},
			Status:     autoscalingv1.ScaleStatus{Replicas: 2, Selector: "app=a"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", gr, diff)
		}
		scale := want.DeepCopy()
		scale.Spec.Replicas, scale.ResourceVersion = 7, "4"
		if err := sub.Set(obj, scale); err != nil {
			t.Fatal(err)
		}
		if again, err := sub.Get(obj); err != nil || again.(*autoscalingv1.Scale).Spec.Replicas != 7 || again.(*autoscalingv1.Scale).ResourceVersion != "4" {
			t.Errorf("%s: after scaling: %v, %v", gr, again, err)
		}
		scale.Spec.Replicas = -1
		if err := sub.Set(obj, scale); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.replicas: Invalid value: -1") {
			t.Errorf("%s: negative replicas: %v", gr, err)
		}
		scale.Spec.Replicas, scale.UID = 1, "other"
		if err := sub.Set(obj, scale); !apierrors.IsConflict(err) {
			t.Errorf("%s: another UID: %v", gr, err)
		}
	}
}

func TestJobSelectsItsOwnPods(t *testing.T) {
	d := definition(t, "jobs.batch")
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "ns", UID: "u1"}, Spec: batchv1.JobSpec{Template: template()}}
	j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	if errs := create(t, d, j); len(errs) > 0 {
		t.Fatal(errs)
	}
	labels := map[string]string{"app": "a", "job-name": "j", "batch.kubernetes.io/job-name": "j", "controller-uid": "u1", "batch.kubernetes.io/controller-uid": "u1"}
	if diff := cmp.Diff(labels, j.Spec.Template.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&metav1.LabelSelector{MatchLabels: map[string]string{"batch.kubernetes.io/controller-uid": "u1"}}, j.Spec.Selector); diff != "" {
		t.Errorf("selector (-want +got):\n%s", diff)
	}
	if d.Strategy.DefaultPropagation(j) != metav1.DeletePropagationOrphan {
		t.Error("deletion of a job must orphan its pods unless asked otherwise")
	}
	done := j.DeepCopy()
	done.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	if errs := updateSub(t, d, "status", done, j); len(errs) == 0 {
		t.Error("a job was completed without a completion time")
	}
	if got := d.Strategy.Fields(j).Get("status.successful"); got != "0" {
		t.Errorf("field status.successful %q, want 0", got)
	}
}

func TestWarnings(t *testing.T) {
	d := definition(t, "deployments.apps")
	x := deployment(func(d *appsv1.Deployment) {
		d.Name = "a.b"
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A"}, {Name: "A"}}
	})
	if errs := create(t, d, x); len(errs) > 0 {
		t.Fatal(errs)
	}
	got := strings.Join(d.Strategy.Warnings(t.Context(), x, nil), "\n")
	for _, want := range []string{"metadata.name: this is used in Pod names and hostnames", "spec.template.spec.containers[0].env[1]: hides previous definition"} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings %q lack %q", got, want)
		}
	}
	if more := d.Strategy.Warnings(t.Context(), x, x); len(more) > 0 {
		t.Errorf("an update without changes warns: %q", more)
	}
}

func TestAutoscalerVersions(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(table(t)))
	d := definition(t, "horizontalpodautoscalers.autoscaling")
	obj, gvk, _, err := c.DecodeRequest([]byte(`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h","namespace":"ns"},"spec":{"maxReplicas":3,"targetCPUUtilizationPercentage":60,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}}`), resource.JSON, nil, true)
	if err != nil || gvk.Version != "v1" {
		t.Fatal(gvk, err)
	}
	hub, err := c.Convert(obj, d.Hub().GroupVersion())
	if err != nil {
		t.Fatal(err)
	}
	if errs := create(t, d, hub); len(errs) > 0 {
		t.Fatal(errs)
	}
	if got := *hub.(*autoscalingv2.HorizontalPodAutoscaler).Spec.Metrics[0].Resource.Target.AverageUtilization; got != 60 {
		t.Errorf("target %d, want 60", got)
	}
	back, err := c.Convert(hub, schema.GroupVersion{Group: "autoscaling", Version: "v1"})
	if err != nil || *back.(*autoscalingv1.HorizontalPodAutoscaler).Spec.TargetCPUUtilizationPercentage != 60 {
		t.Errorf("v1: %+v, %v", back, err)
	}
}

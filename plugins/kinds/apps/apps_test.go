package apps_test

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
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func intOrString(s string) intstr.IntOrString { return intstr.Parse(s) }

func TestMinimalDeploymentGetsUpstreamsDefaults(t *testing.T) {
	d := kindtest.Deployment(func(d *appsv1.Deployment) { d.Status.Replicas = 9 })
	if errs := kindtest.Create(t, kindtest.Definition(t, "deployments.apps"), d); len(errs) > 0 {
		t.Fatal(errs)
	}
	if d.Generation != 1 || d.Status.Replicas != 0 {
		t.Errorf("generation %d, status.replicas %d", d.Generation, d.Status.Replicas)
	}
	want := kindtest.Deployment(func(d *appsv1.Deployment) {
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
		{"deployments.apps", kindtest.Deployment(func(d *appsv1.Deployment) { d.Spec.Selector = nil }), "spec.selector: Required value"},
		{"deployments.apps", kindtest.Deployment(func(d *appsv1.Deployment) { d.Spec.Template.Labels = nil }), "`selector` does not match template `labels`"},
		{"deployments.apps", kindtest.Deployment(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](-1) }), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		{"configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}, Data: map[string]string{"a/b": "x"}}, `data[a/b]: Invalid value: "a/b"`},
		{"namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a.b"}}, `metadata.name: Invalid value: "a.b": must not contain dots`},
		{"replicationcontrollers", &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "ns"}, Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To[int32](-1), Selector: map[string]string{"app": "a"}, Template: ptr.To(kindtest.Template())}}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		{"cronjobs.batch", &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}, Spec: batchv1.CronJobSpec{Schedule: "often"}}, `spec.schedule: Invalid value: "often"`},
		{"horizontalpodautoscalers.autoscaling", &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h", Namespace: "ns"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 1, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", APIVersion: "apps/v1"}}}, "spec.scaleTargetRef.name: Required value"},
	} {
		errs := kindtest.Create(t, kindtest.Definition(t, tc.resource), tc.obj)
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
	d := kindtest.Definition(t, "deployments.apps")
	old := kindtest.Deployment()
	if errs := kindtest.Create(t, d, old); len(errs) > 0 {
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
		if errs := kindtest.Update(t, d, next, old); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
		if next.Generation != tc.want || next.Status.Replicas != 0 {
			t.Errorf("%s: generation %d, want %d; status %+v", name, next.Generation, tc.want, next.Status)
		}
	}
	next := old.DeepCopy()
	next.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}}
	next.Spec.Template.Labels = map[string]string{"app": "b"}
	if errs := kindtest.Update(t, d, next, old); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "spec.selector") {
		t.Errorf("changing the selector: %v", errs)
	}
}

func TestDaemonSetCountsItsTemplates(t *testing.T) {
	d := kindtest.Definition(t, "daemonsets.apps")
	old := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "ns", ResourceVersion: "1"}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, Template: kindtest.Template()}}
	if errs := kindtest.Create(t, d, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	const key = "deprecated.daemonset.template.generation"
	if old.Annotations[key] != "1" {
		t.Errorf("annotations %v", old.Annotations)
	}
	next := old.DeepCopy()
	next.Spec.Template.Spec.Containers[0].Image = "j"
	next.Annotations = nil
	if errs := kindtest.Update(t, d, next, old); len(errs) > 0 || next.Annotations[key] != "2" || next.Generation != 2 {
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
		sub := kindtest.Definition(t, gr).Subresource("scale")
		got, err := sub.Get(t.Context(), obj)
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
		if err := sub.Set(t.Context(), obj, scale); err != nil {
			t.Fatal(err)
		}
		if again, err := sub.Get(t.Context(), obj); err != nil || again.(*autoscalingv1.Scale).Spec.Replicas != 7 || again.(*autoscalingv1.Scale).ResourceVersion != "4" {
			t.Errorf("%s: after scaling: %v, %v", gr, again, err)
		}
		scale.Spec.Replicas = -1
		if err := sub.Set(t.Context(), obj, scale); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.replicas: Invalid value: -1") {
			t.Errorf("%s: negative replicas: %v", gr, err)
		}
		scale.Spec.Replicas, scale.UID = 1, "other"
		if err := sub.Set(t.Context(), obj, scale); !apierrors.IsConflict(err) {
			t.Errorf("%s: another UID: %v", gr, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	d := kindtest.Definition(t, "deployments.apps")
	x := kindtest.Deployment(func(d *appsv1.Deployment) {
		d.Name = "a.b"
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A"}, {Name: "A"}}
	})
	if errs := kindtest.Create(t, d, x); len(errs) > 0 {
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

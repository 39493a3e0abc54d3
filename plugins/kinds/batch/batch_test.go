package batch_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestJobSelectsItsOwnPods(t *testing.T) {
	d := kindtest.Definition(t, "jobs.batch")
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "ns", UID: "u1"}, Spec: batchv1.JobSpec{Template: kindtest.Template()}}
	j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	if errs := kindtest.Create(t, d, j); len(errs) > 0 {
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
	if errs := kindtest.UpdateSub(t, d, "status", done, j); len(errs) == 0 {
		t.Error("a job was completed without a completion time")
	}
	if got := d.Strategy.Fields(j).Get("status.successful"); got != "0" {
		t.Errorf("field status.successful %q, want 0", got)
	}
}

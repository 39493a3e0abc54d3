package cli

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestReturned: `up` is ready when what ran before runs again, and tells that from
// what an old status may say.
func TestReturned(t *testing.T) {
	since := time.Date(2026, 9, 1, 12, 0, 0, 5e8, time.UTC)
	running := func(at time.Time) corev1.ContainerState {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
	}
	ended := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
	}
	pod := func(phase corev1.PodPhase, policy corev1.RestartPolicy, states ...corev1.ContainerState) corev1.Pod {
		p := corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: policy}, Status: corev1.PodStatus{Phase: phase}}
		for _, s := range states {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{})
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{State: s})
		}
		return p
	}
	now, before := since.Truncate(time.Second), since.Add(-time.Hour)
	leaving := pod(corev1.PodRunning, corev1.RestartPolicyAlways, ended(137))
	leaving.DeletionTimestamp = &metav1.Time{}
	unreported := pod(corev1.PodPending, corev1.RestartPolicyAlways, running(now))
	unreported.Status.ContainerStatuses = nil
	looping := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	for name, c := range map[string]struct {
		pod              corev1.Pod
		back, fresh, all int
	}{
		"started again":        {pod(corev1.PodRunning, corev1.RestartPolicyAlways, running(now), running(now)), 1, 1, 1},
		"one of two":           {pod(corev1.PodRunning, corev1.RestartPolicyAlways, running(now), ended(137)), 0, 0, 1},
		"older than the start": {pod(corev1.PodRunning, corev1.RestartPolicyAlways, running(before)), 1, 0, 1},
		"in Error":             {pod(corev1.PodRunning, corev1.RestartPolicyAlways, ended(137)), 0, 0, 1},
		"restarted when done":  {pod(corev1.PodRunning, corev1.RestartPolicyAlways, ended(0)), 0, 0, 1},
		"half done":            {pod(corev1.PodRunning, corev1.RestartPolicyOnFailure, ended(0), running(now)), 1, 1, 1},
		"never ran":            {unreported, 0, 0, 0},
		"in a crash loop":      {pod(corev1.PodRunning, corev1.RestartPolicyAlways, running(now), looping), 0, 0, 0},
		"done":                 {pod(corev1.PodSucceeded, corev1.RestartPolicyNever, ended(0)), 0, 0, 0},
		"failed for good":      {pod(corev1.PodFailed, corev1.RestartPolicyNever, ended(1)), 0, 0, 0},
		"being deleted":        {leaving, 0, 0, 0},
	} {
		if back, fresh, all := returned([]corev1.Pod{c.pod}, since); back != c.back || fresh != c.fresh || all != c.all {
			t.Errorf("%s: %d and %d of %d, want %d and %d of %d", name, back, fresh, all, c.back, c.fresh, c.all)
		}
	}
}

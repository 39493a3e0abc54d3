package conformance

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var workloadCases = []Case{
	{Name: "workloads/deployment", Stands: "Deployment should run the lifecycle of a Deployment", Run: workloadDeployment},
	{Name: "workloads/rollout", Stands: "Deployment RollingUpdateDeployment should delete old pods and create new ones", Run: workloadRollout},
	{Name: "workloads/scaling", Stands: "Deployment should scale up and down", Run: workloadScaling},
	{Name: "workloads/adoption", Stands: "ReplicaSet should adopt matching pods on creation and release no longer matching pods", Run: workloadAdoption},
	{Name: "workloads/replacement", Stands: "ReplicaSet should replace a pod that is deleted", Run: workloadReplacement},
	{Name: "workloads/cascade", Stands: "Garbage collector should delete RS created by deployment when not orphaning", Run: workloadCascade},
}

// replicaSets waits until a Deployment has n ReplicaSets.
func replicaSets(ctx context.Context, e *Env, n int) (sets []appsv1.ReplicaSet, err error) {
	err = eventually(ctx, func() error {
		l, err := e.Client.AppsV1().ReplicaSets(e.Namespace).List(ctx, list)
		if err != nil {
			return err
		}
		sets = l.Items
		return same("number of ReplicaSets", len(sets), n)
	})
	return sets, err
}

// pods waits until n pods that are not being deleted match a selector.
func pods(ctx context.Context, e *Env, selector string, n int) (out []corev1.Pod, err error) {
	err = eventually(ctx, func() error {
		l, err := e.Client.CoreV1().Pods(e.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		out = nil
		for _, p := range l.Items {
			if p.DeletionTimestamp == nil {
				out = append(out, p)
			}
		}
		return same("number of pods of "+selector, len(out), n)
	})
	return out, err
}

func workloadDeployment(ctx context.Context, e *Env) error {
	d, err := e.Client.AppsV1().Deployments(e.Namespace).Create(ctx, deployment("web", 3), create)
	if err != nil {
		return err
	}
	sets, err := replicaSets(ctx, e, 1)
	if err != nil {
		return err
	}
	rs := sets[0]
	ps, err := pods(ctx, e, "app=web", 3)
	if err != nil {
		return err
	}
	hash := rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	errs := []error{
		owned("the ReplicaSet", &rs, "Deployment", d.UID), same("name of the ReplicaSet", rs.Name, "web-"+hash),
		same("its selector", rs.Spec.Selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey], hash),
		same("its revision", rs.Annotations["deployment.kubernetes.io/revision"], "1"),
	}
	for _, p := range ps {
		errs = append(errs, owned("pod "+p.Name, &p, "ReplicaSet", rs.UID), same("hash of pod "+p.Name, p.Labels[appsv1.DefaultDeploymentUniqueLabelKey], hash))
	}
	return errors.Join(append(errs, eventually(ctx, func() error {
		d, err := e.Client.AppsV1().Deployments(e.Namespace).Get(ctx, "web", get)
		if err != nil {
			return err
		}
		return errors.Join(same("status.observedGeneration", d.Status.ObservedGeneration, d.Generation), same("status.replicas", d.Status.Replicas, 3),
			same("status.updatedReplicas", d.Status.UpdatedReplicas, 3), same("status.unavailableReplicas", d.Status.UnavailableReplicas, 3), same("revision", d.Annotations["deployment.kubernetes.io/revision"], "1"))
	}))...)
}

func owned(what string, o metav1.Object, kind string, uid types.UID) error {
	ref := metav1.GetControllerOf(o)
	if ref == nil || ref.Kind != kind || ref.UID != uid {
		return fmt.Errorf("%s has controller %+v, want %s %s", what, ref, kind, uid)
	}
	return nil
}

func workloadRollout(ctx context.Context, e *Env) error {
	c := e.Client.AppsV1().Deployments(e.Namespace)
	if _, err := c.Create(ctx, deployment("web", 4), create); err != nil {
		return err
	}
	old, err := pods(ctx, e, "app=web", 4)
	if err != nil {
		return err
	}
	for _, p := range old {
		if err := setReady(ctx, e, p.Name, ""); err != nil {
			return err
		}
	}
	if err := eventually(ctx, func() error {
		d, err := c.Get(ctx, "web", get)
		if err != nil {
			return err
		}
		return same("availableReplicas", d.Status.AvailableReplicas, 4)
	}); err != nil {
		return err
	}
	if _, err := c.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"registry.invalid/none:2"}]}}}}`), patch); err != nil {
		return err
	}
	// A quarter of four may be added and a quarter may be missing; the new
	// ones do not become ready, so three old ones stay.
	if err := eventually(ctx, func() error {
		l, err := e.Client.AppsV1().ReplicaSets(e.Namespace).List(ctx, list)
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, rs := range l.Items {
			got[rs.Spec.Template.Spec.Containers[0].Image] = fmt.Sprintf("%d, revision %s", *rs.Spec.Replicas, rs.Annotations["deployment.kubernetes.io/revision"])
		}
		return errors.Join(same("old replicas", got["registry.invalid/none:1"], "3, revision 1"), same("new replicas", got["registry.invalid/none:2"], "2, revision 2"))
	}); err != nil {
		return err
	}
	// New ones that become ready let the rollout finish.
	return eventually(ctx, func() error {
		l, err := e.Client.CoreV1().Pods(e.Namespace).List(ctx, list)
		if err != nil {
			return err
		}
		updated := 0
		for _, p := range l.Items {
			if p.Spec.Containers[0].Image == "registry.invalid/none:2" {
				updated++
				if p.Status.Phase != corev1.PodRunning {
					if err := setReady(ctx, e, p.Name, ""); err != nil {
						return err
					}
				}
			}
		}
		return errors.Join(same("pods", len(l.Items), 4), same("new pods", updated, 4))
	})
}

// setReady does what a pod's node would: it reports the pod as running.
func setReady(ctx context.Context, e *Env, name, ip string) error {
	status := `{"phase":"Running","conditions":[{"type":"Ready","status":"True"},{"type":"ContainersReady","status":"True"}]`
	if ip != "" {
		status += fmt.Sprintf(`,"podIP":%q,"podIPs":[{"ip":%q}]`, ip, ip)
	}
	_, err := e.Client.CoreV1().Pods(e.Namespace).Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"status":`+status+`}}`), patch, "status")
	return err
}

func workloadScaling(ctx context.Context, e *Env) error {
	c := e.Client.AppsV1().Deployments(e.Namespace)
	if _, err := c.Create(ctx, deployment("web", 2), create); err != nil {
		return err
	}
	if _, err := pods(ctx, e, "app=web", 2); err != nil {
		return err
	}
	for _, n := range []int{6, 1, 0} {
		if _, err := c.Patch(ctx, "web", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), patch); err != nil {
			return err
		}
		if _, err := pods(ctx, e, "app=web", n); err != nil {
			return fmt.Errorf("scaled to %d: %w", n, err)
		}
	}
	_, err := replicaSets(ctx, e, 1)
	return err
}

func workloadAdoption(ctx context.Context, e *Env) error {
	labels := map[string]string{"app": "adopted"}
	c := e.Client.CoreV1().Pods(e.Namespace)
	if _, err := c.Create(ctx, pod("orphan", labels), create); err != nil {
		return err
	}
	two := int32(2)
	rs, err := e.Client.AppsV1().ReplicaSets(e.Namespace).Create(ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "rs"}, Spec: appsv1.ReplicaSetSpec{
		Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: idle()}}}, create)
	if err != nil {
		return err
	}
	if err := eventually(ctx, func() error {
		p, err := c.Get(ctx, "orphan", get)
		if err != nil {
			return err
		}
		return owned("the orphan", p, "ReplicaSet", rs.UID)
	}); err != nil {
		return err
	}
	if _, err := pods(ctx, e, "app=adopted", 2); err != nil {
		return fmt.Errorf("with one adopted: %w", err)
	}
	if _, err := c.Patch(ctx, "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"free"}}}`), patch); err != nil {
		return err
	}
	_, err = pods(ctx, e, "app=adopted", 2)
	return errors.Join(err, eventually(ctx, func() error {
		p, err := c.Get(ctx, "orphan", get)
		if err != nil {
			return err
		}
		return same("owners of the pod that was released", len(p.OwnerReferences), 0)
	}))
}

func workloadReplacement(ctx context.Context, e *Env) error {
	if _, err := e.Client.AppsV1().Deployments(e.Namespace).Create(ctx, deployment("web", 2), create); err != nil {
		return err
	}
	ps, err := pods(ctx, e, "app=web", 2)
	if err != nil {
		return err
	}
	if err := e.Client.CoreV1().Pods(e.Namespace).Delete(ctx, ps[0].Name, remove); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		now, err := pods(ctx, e, "app=web", 2)
		if err != nil {
			return err
		}
		for _, p := range now {
			if p.UID == ps[0].UID {
				return fmt.Errorf("pod %s is still there", p.Name)
			}
		}
		return nil
	})
}

func workloadCascade(ctx context.Context, e *Env) error {
	c := e.Client.AppsV1().Deployments(e.Namespace)
	if _, err := c.Create(ctx, deployment("web", 2), create); err != nil {
		return err
	}
	if _, err := pods(ctx, e, "app=web", 2); err != nil {
		return err
	}
	if err := c.Delete(ctx, "web", propagation(metav1.DeletePropagationBackground)); err != nil {
		return err
	}
	if _, err := replicaSets(ctx, e, 0); err != nil {
		return err
	}
	_, err := pods(ctx, e, "app=web", 0)
	return err
}

package scenario

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const fewNodes = 100

var statefulSet = Scenario{
	Name: "statefulset", What: "StatefulSet of %d replicas, parallel, until all are ready by its status",
	Size: 500, Unit: "pods", Nodes: fewNodes,
	Kind: func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.AppsV1().StatefulSets(Namespace).Create(ctx, newStatefulSet(1), dryRun)
		return err
	},
	Arm: func(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error) {
		create := func(ctx context.Context) error {
			_, err := c.AppsV1().StatefulSets(Namespace).Create(ctx, newStatefulSet(size), metav1.CreateOptions{})
			return err
		}
		return object(ctx, c, c.AppsV1().RESTClient(), "statefulsets", &appsv1.StatefulSet{}, create, func(o any) bool {
			s := o.(*appsv1.StatefulSet)
			return s.Status.ObservedGeneration == s.Generation && s.Status.ReadyReplicas == int32(size)
		})
	},
}

func newStatefulSet(size int) *appsv1.StatefulSet {
	n := int32(size)
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "set"}, Spec: appsv1.StatefulSetSpec{
		Replicas: &n, ServiceName: "set", Selector: of("set"), Template: template("set", corev1.RestartPolicyAlways),
		PodManagementPolicy: appsv1.ParallelPodManagement,
	}}
}

var job = Scenario{
	Name: "job", What: "Job of %d completions, a tenth of them in parallel, until it is complete",
	Size: 5000, Unit: "pods", Nodes: fewNodes,
	Kind: func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.BatchV1().Jobs(Namespace).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: newJob(1)}, dryRun)
		return err
	},
	Arm: func(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error) {
		create := func(ctx context.Context) error {
			j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: newJob(size)}
			_, err := c.BatchV1().Jobs(Namespace).Create(ctx, j, metav1.CreateOptions{})
			return err
		}
		return object(ctx, c, c.BatchV1().RESTClient(), "jobs", &batchv1.Job{}, create, complete)
	},
}

func newJob(size int) batchv1.JobSpec {
	n, parallel := int32(size), int32(max(1, size/10))
	return batchv1.JobSpec{Completions: &n, Parallelism: &parallel, Template: template("job", corev1.RestartPolicyNever)}
}

// complete says whether a Job is.
func complete(o any) bool {
	for _, c := range o.(*batchv1.Job).Status.Conditions {
		if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

var daemonSet = Scenario{
	Name: "daemonset", What: "DaemonSet over %d nodes, until all are ready by its status",
	Size: 5000, Unit: "pods", Nodes: 5000,
	Kind: func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.AppsV1().DaemonSets(Namespace).Create(ctx, newDaemonSet(), dryRun)
		return err
	},
	Arm: func(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error) {
		create := func(ctx context.Context) error {
			_, err := c.AppsV1().DaemonSets(Namespace).Create(ctx, newDaemonSet(), metav1.CreateOptions{})
			return err
		}
		return object(ctx, c, c.AppsV1().RESTClient(), "daemonsets", &appsv1.DaemonSet{}, create, func(o any) bool {
			s := o.(*appsv1.DaemonSet).Status
			return s.DesiredNumberScheduled == int32(size) && s.NumberReady == int32(size)
		})
	},
}

func newDaemonSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "daemons"}, Spec: appsv1.DaemonSetSpec{
		Selector: of("daemons"), Template: template("daemons", corev1.RestartPolicyAlways),
	}}
}

// object is the scenario that one object is created and comes to be as wished.
func object(ctx context.Context, c kubernetes.Interface, client cache.Getter, resource string, kind runtime.Object, create func(context.Context) error, wished func(any) bool) (*Armed, error) {
	t, err := track(ctx, client, resource, Namespace, kind, wished)
	if err != nil {
		return nil, err
	}
	pods, err := track(ctx, c.CoreV1().RESTClient(), "pods", Namespace, &corev1.Pod{}, func(o any) bool {
		return o.(*corev1.Pod).Status.Phase != corev1.PodPending
	})
	if err != nil {
		return nil, err
	}
	return &Armed{
		Do: func(ctx context.Context) error {
			if err := create(ctx); err != nil {
				return err
			}
			return t.until(ctx, func(_, wished int) bool { return wished == 1 })
		},
		Progress: func() string {
			all, begun := pods.Counts()
			return fmt.Sprintf("%d pods, %d of them begun", all, begun)
		},
	}, nil
}

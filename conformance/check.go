package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// eventually asks until the answer is nil, or the case's time is over.
func eventually(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// refused checks that a request failed with a code and a reason.
func refused(what string, err error, code int32, reason metav1.StatusReason) error {
	if err == nil {
		return fmt.Errorf("%s: accepted, want %d %s", what, code, reason)
	}
	var st apierrors.APIStatus
	if !errors.As(err, &st) {
		return fmt.Errorf("%s: %w, want a Status of %d %s", what, err, code, reason)
	}
	if s := st.Status(); s.Code != code || s.Reason != reason {
		return fmt.Errorf("%s: answered %d %s (%s), want %d %s", what, s.Code, s.Reason, s.Message, code, reason)
	}
	return nil
}

func conflict(what string, err error) error {
	return refused(what, err, http.StatusConflict, metav1.StatusReasonConflict)
}

func invalid(what string, err error) error {
	return refused(what, err, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid)
}

func missing(what string, err error) error {
	return refused(what, err, http.StatusNotFound, metav1.StatusReasonNotFound)
}

func forbidden(what string, err error) error {
	return refused(what, err, http.StatusForbidden, metav1.StatusReasonForbidden)
}

func notFoundIsFine(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// same checks a value.
func same[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s is %v, want %v", what, got, want)
}

// events reads as many events as are wanted and compares type and name.
// Bookmarks are passed over.
func events(ctx context.Context, w watch.Interface, want ...string) error {
	for i := 0; i < len(want); {
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				return fmt.Errorf("the watch ended before event %d (%s)", i, want[i])
			}
			if e.Type == watch.Bookmark {
				continue
			}
			if got := describe(e); got != want[i] {
				return fmt.Errorf("event %d is %s, want %s", i, got, want[i])
			}
			i++
		case <-ctx.Done():
			return fmt.Errorf("no event %d, want %s", i, want[i])
		}
	}
	return nil
}

// describe is an event's type and the object's name.
func describe(e watch.Event) string {
	if st, ok := e.Object.(*metav1.Status); ok {
		return fmt.Sprintf("%s %d %s", e.Type, st.Code, st.Reason)
	}
	o, ok := e.Object.(metav1.Object)
	if !ok {
		return fmt.Sprintf("%s %T", e.Type, e.Object)
	}
	return string(e.Type) + " " + o.GetName()
}

// configMap makes an object with the pairs of its data.
func configMap(name string, pairs ...string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		c.Data[pairs[i]] = pairs[i+1]
	}
	return c
}

// nobody is a scheduler that does not exist: its pods stay where they are.
const nobody = "conformance-nobody"

// pod is a pod that nobody schedules.
func pod(name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: idle()}
}

func idle() corev1.PodSpec {
	zero := int64(0)
	return corev1.PodSpec{SchedulerName: nobody, TerminationGracePeriodSeconds: &zero, Containers: []corev1.Container{{Name: "c", Image: "registry.invalid/none:1"}}}
}

// deployment is one whose pods nobody schedules.
func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: idle()}},
	}
}

// paperNode makes a Node that nothing runs on and nobody is scheduled to. It
// has the name of the case's namespace; done removes it.
func paperNode(ctx context.Context, e *Env) (name string, done func(), err error) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: e.Namespace}, Spec: corev1.NodeSpec{Unschedulable: true}}
	if _, err := e.Client.CoreV1().Nodes().Create(ctx, n, create); err != nil {
		return "", nil, err
	}
	return n.Name, func() {
		// What a cluster does with a Node that is left over is its own affair.
		_ = e.Client.CoreV1().Nodes().Delete(context.WithoutCancel(ctx), n.Name, remove)
	}, nil
}

var (
	get, list, create, update, patch, remove = metav1.GetOptions{}, metav1.ListOptions{}, metav1.CreateOptions{}, metav1.UpdateOptions{}, metav1.PatchOptions{}, metav1.DeleteOptions{}
)

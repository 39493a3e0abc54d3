package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

var patchCases = []Case{
	{Name: "patch/json", Stands: "RFC 6902; API concepts: JSON patch", Run: patchJSON},
	{Name: "patch/merge", Stands: "RFC 7386; API concepts: merge patch", Run: patchMerge},
	{Name: "patch/strategic", Stands: "API concepts: strategic merge patch; Deployment should be patched", Run: patchStrategic},
	{Name: "patch/status", Stands: "Services should complete a service status lifecycle", Run: patchStatus},
	{Name: "patch/scale", Stands: "Deployment should have a working scale subresource", Run: patchScale},
}

func patchJSON(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	a := configMap("a", "k", "1")
	a.Annotations = map[string]string{"example.com/z": "2"}
	if _, err := c.Create(ctx, a, create); err != nil {
		return err
	}
	o, err := c.Patch(ctx, "a", types.JSONPatchType, []byte(`[
		{"op":"test","path":"/data/k","value":"1"},
		{"op":"replace","path":"/data/k","value":"3"},
		{"op":"move","from":"/metadata/annotations/example.com~1z","path":"/data/z"}]`), patch)
	if err != nil {
		return err
	}
	_, failed := c.Patch(ctx, "a", types.JSONPatchType, []byte(`[{"op":"test","path":"/data/k","value":"1"},{"op":"remove","path":"/data/z"}]`), patch)
	_, malformed := c.Patch(ctx, "a", types.JSONPatchType, []byte(`{"op":"remove"}`), patch)
	read, err := c.Get(ctx, "a", get)
	return errors.Join(err, same("data", fmt.Sprint(o.Data), "map[k:3 z:2]"), invalid("a test that fails", failed),
		refused("a patch that is no list", malformed, 400, metav1.StatusReasonBadRequest), same("data after refusals", fmt.Sprint(read.Data), "map[k:3 z:2]"))
}

func patchMerge(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	if _, err := c.Create(ctx, configMap("a", "k", "1", "l", "2"), create); err != nil {
		return err
	}
	o, err := c.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"k":null,"m":"3"}}`), patch)
	if err != nil {
		return err
	}
	_, renamed := c.Patch(ctx, "a", types.MergePatchType, []byte(`{"metadata":{"name":"b"}}`), patch)
	_, absent := c.Patch(ctx, "none", types.MergePatchType, []byte(`{}`), patch)
	return errors.Join(same("data", fmt.Sprint(o.Data), "map[l:2 m:3]"), refused("a patch of the name", renamed, 400, metav1.StatusReasonBadRequest),
		missing("a patch of no object", absent))
}

func patchStrategic(ctx context.Context, e *Env) error {
	c := e.Client.AppsV1().Deployments(e.Namespace)
	d := deployment("web", 0)
	d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: "side", Image: "registry.invalid/side:1"})
	if _, err := c.Create(ctx, d, create); err != nil {
		return err
	}
	first, err := c.Get(ctx, "web", get)
	if err != nil {
		return err
	}
	d, err = c.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{
		"containers":[{"name":"c","env":[{"name":"A","value":"1"}]},{"$patch":"delete","name":"side"}],
		"tolerations":[{"key":"a","operator":"Exists"}]}}}}`), patch)
	if err != nil {
		return err
	}
	cs := d.Spec.Template.Spec.Containers
	if len(cs) != 1 || cs[0].Image != "registry.invalid/none:1" || len(cs[0].Env) != 1 {
		return fmt.Errorf("containers are %+v, want c alone, with its image and one variable", cs)
	}
	second := d.Generation
	d, err = c.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"registry.invalid/d:1"}]}}}}`), patch)
	if err != nil {
		return err
	}
	cs = d.Spec.Template.Spec.Containers
	return errors.Join(same("containers after a merge patch", len(cs), 1), same("their name: a merge patch replaces lists", cs[0].Name, "d"),
		// The controller's annotation counts, too: how often is not ours to say.
		same("generation grows with each change of the spec", first.Generation < second && second < d.Generation, true))
}

func patchStatus(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Services(e.Namespace)
	class := "example.com/internal-vip" // nobody's, who would write the status, too
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: &class, Ports: []corev1.ServicePort{{Port: 80}}}}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}
	made, err := c.Create(ctx, s, create)
	if err != nil {
		return err
	}
	errs := []error{same("addresses after create, which leaves status alone", len(made.Status.LoadBalancer.Ingress), 0)}
	o, err := c.Patch(ctx, "s", types.MergePatchType, []byte(`{"spec":{"sessionAffinity":"ClientIP"},"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.2"}]}}}`), patch, "status")
	if err != nil {
		return err
	}
	errs = append(errs, same("addresses", len(o.Status.LoadBalancer.Ingress), 1), same("spec through status", o.Spec.SessionAffinity, corev1.ServiceAffinityNone))
	o.Status = corev1.ServiceStatus{}
	o.Labels = map[string]string{"a": "b"}
	o, err = c.Update(ctx, o, update)
	if err != nil {
		return err
	}
	read, err := c.Get(ctx, "s", get)
	return errors.Join(append(errs, err, same("addresses after an update of the main resource", len(o.Status.LoadBalancer.Ingress), 1),
		same("addresses read", len(read.Status.LoadBalancer.Ingress), 1))...)
}

func patchScale(ctx context.Context, e *Env) error {
	c := e.Client.AppsV1().Deployments(e.Namespace)
	if _, err := c.Create(ctx, deployment("web", 0), create); err != nil {
		return err
	}
	scale, err := c.GetScale(ctx, "web", get)
	if err != nil {
		return err
	}
	errs := []error{same("replicas", scale.Spec.Replicas, 0), same("selector", scale.Status.Selector, "app=web")}
	// The Deployment's controller writes it, too, and may have been quicker.
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := c.GetScale(ctx, "web", get)
		if err != nil {
			return err
		}
		now.Spec.Replicas = 1
		scale, err = c.UpdateScale(ctx, "web", now, update)
		return err
	})
	if err != nil {
		return err
	}
	errs = append(errs, same("replicas in the answer", scale.Spec.Replicas, 1))
	body, err := json.Marshal(map[string]any{"spec": map[string]any{"replicas": 2}})
	if err != nil {
		return err
	}
	if _, err = c.Patch(ctx, "web", types.MergePatchType, body, patch, "scale"); err != nil {
		return err
	}
	d, err := c.Get(ctx, "web", get)
	if err != nil {
		return err
	}
	_, negative := c.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":-1}}`), patch, "scale")
	return errors.Join(append(errs, same("replicas of the Deployment", *d.Spec.Replicas, 2), invalid("replicas -1", negative))...)
}

// Package suite is the plugin that the host suite runs in every host: one
// plugin that serves every point, and misbehaves when it is asked to.
package suite

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	authenticationv1 "github.com/pintle-io/pintle/sdk/api/authentication/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/conversion"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "suite", Version: "1.2.3", New: open})
	sdk.Register(sdk.Plugin{Name: "other", New: func([]byte) (sdk.Points, error) { return nil, nil }})
}

func open(config []byte) (sdk.Points, error) {
	switch string(config) {
	case "refuse":
		return nil, errors.New("this config is refused")
	case "panic":
		panic("no config")
	case "declares":
		return declaring, nil
	}
	return sdk.Join(
		&scheduling.Points{
			Scope:  scheduling.Cluster,
			Filter: filter,
			Score:  func(_ *scheduling.Pod, n scheduling.Node) int64 { return int64(len(n.Name())) },
		},
		&admission.Points{
			Validate: validate,
			Mutate:   mutate,
			Match: []admission.MatchRule{{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/pods", "apps/*/*"},
				ExceptNamespaces: []string{"kube-system"}, Present: []string{"metadata.name"}}},
			Implements: []string{"v1/limitranges"},
		},
		&controller.Points{
			Workers:   3,
			Reconcile: reconcile,
			Watches: []controller.Watch{
				{Resource: "apps/v1/deployments"},
				{Resource: "v1/pods", Map: controller.Owner("apps/v1/Deployment")},
				{Resource: "v1/configmaps", Map: controller.Func(mapConfigMap), Present: []string{"data.for"}},
				{Resource: "v1/nodes", Map: controller.Constant(controller.Request{Namespace: "a", Name: "b"})},
			},
		},
		&conversion.Points{Convert: convert},
	), nil
}

// convert changes an object's version and nothing else, unless it is told to.
func convert(r conversion.Request) ([]byte, error) {
	switch {
	case bytes.Contains(r.Object, []byte(`"refuse"`)):
		return nil, errors.New("spec.size: cannot be less than nothing")
	case bytes.Contains(r.Object, []byte(`"panic"`)):
		panic("no such version")
	}
	return bytes.Replace(r.Object, []byte("shop.example/v1"), []byte(r.To), 1), nil
}

// declaring are points that say what they read.
var declaring = sdk.Join(
	&admission.Points{Fields: []string{"metadata.name", "spec.containers.image"}, Validate: func(r *admission.Review) error {
		r.Warn("%s %s", r.Object.Get("metadata.name").String(), r.Object.Get("spec.containers[0].image").String())
		if r.Name == "undeclared" {
			r.Warn("on %s", r.Object.Get("spec.nodeName").String())
		}
		return nil
	}},
	&controller.Points{
		Watches:   []controller.Watch{{Resource: "v1/configmaps", Map: controller.Func(mapConfigMap), Fields: []string{"data.for", "metadata.namespace"}}},
		Reconcile: reconcile,
	},
)

func filter(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
	if strings.HasSuffix(n.Name(), "0") {
		return refused
	}
	return nil
}

var refused = scheduling.Unschedulable("node ends with 0")

func validate(r *admission.Review) error {
	switch r.Name {
	case "panic":
		var m map[string]int
		m[r.Name] = 1
	case "error":
		return errors.New("cannot decide")
	case "charge":
		r.Charge(admission.Charge{Object: admission.ObjectRef{Resource: "v1/resourcequotas", Namespace: r.Namespace, Name: "q"}, UID: "u", Totals: "status.used",
			Limits: "status.hard", Amounts: map[string]resource.Quantity{"pods": "1", "cpu": "500m"}, Bounds: map[string]resource.Quantity{"pods": "2", "cpu": "1"}})
	case "print":
		fmt.Println("seen", r.Namespace, r.User, r.Groups, r.DryRun)
	}
	if name, ok := strings.CutPrefix(r.Name, "reads-"); ok {
		return reads(r, name)
	}
	for i, c := range r.Object.Get("spec.containers").Items() {
		image := c.Get("image").String()
		if strings.HasSuffix(image, ":latest") {
			return r.Deny("spec.containers[%d].image: %s is not pinned", i, image)
		}
	}
	if r.Operation == admission.Update && r.Old.Get("metadata.labels[app.kubernetes.io/name]").String() != r.Object.Get("metadata.labels[app.kubernetes.io/name]").String() {
		r.Warn("the name changes")
	}
	return nil
}

// reads asks for another object.
func reads(r *admission.Review, name string) error {
	var cm corev1.ConfigMap
	err := r.Reader.Get(&cm, r.Namespace, name)
	if client.IsNotFound(err) {
		r.Await(&cm, r.Namespace, name)
		return r.Forbid("no %s", name)
	}
	if err == nil {
		r.Warn("%s", cm.Data["text"])
	}
	return err
}

func mutate(r *admission.Review) error {
	if n := r.Object.Get("spec.size").Int(); n > 0 {
		return r.Set("metadata.annotations.payload", strings.Repeat("x", int(n)))
	}
	var meta metav1.ObjectMeta
	if err := r.Object.Get("metadata").Decode(&meta); err != nil {
		return err
	}
	if err := r.Set("metadata.labels[seen.by/suite]", meta.Name); err != nil {
		return err
	}
	return r.Remove("spec.nodeName")
}

func mapConfigMap(o sdk.Value) []controller.Request {
	var out []controller.Request
	for _, name := range strings.Fields(o.Get("data.for").String()) {
		out = append(out, controller.Request{Namespace: o.Get("metadata.namespace").String(), Name: name})
	}
	return out
}

// reconcile uses every verb of the client on the named Deployment.
func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if q.Name == "panic" {
		panic("reconcile")
	}
	var d appsv1.Deployment
	if err := c.Get(&d, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	var pods []*corev1.Pod
	if err := c.List(&pods, client.ListOptions{Namespace: q.Namespace, Owner: client.OwnedBy(d.UID)}); err != nil {
		return controller.Result{}, err
	}
	want, err := ceiling(c, &d)
	if err != nil {
		return controller.Result{}, err
	}
	var ops []client.Op
	for i := len(pods); i < want; i++ {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: q.Namespace, Name: fmt.Sprintf("%s-%d", q.Name, i),
			OwnerReferences: []metav1.OwnerReference{metav1.NewControllerRef(&d, "apps/v1", "Deployment")}}, Spec: d.Spec.Template.Spec}
		ops = append(ops, client.Op{Verb: client.VerbCreate, Object: p})
	}
	for i := want; i < len(pods); i++ {
		ops = append(ops, client.Op{Verb: client.VerbDelete, Object: client.Clone(pods[i])})
	}
	if len(ops) > 0 {
		errs, err := c.Batch(ops, false)
		if err := errors.Join(append(errs, err)...); err != nil {
			return controller.Result{}, err
		}
		c.Event(&d, client.Note{Reason: "Scaled", Message: fmt.Sprintf("from %d to %d", len(pods), want)})
	}
	return controller.Result{RequeueAfter: time.Minute}, finish(c, &d, want)
}

// ceiling is how many replicas there are to be: the scale's, brought down to what
// somebody serves as the most.
func ceiling(c client.Client, d *appsv1.Deployment) (int, error) {
	resource, err := c.ResourceOf("apps/v1", "Deployment")
	if err != nil {
		return 0, err
	}
	scale, err := c.GetScale(resource, d.Namespace, d.Name)
	if err != nil {
		return 0, err
	}
	var most struct {
		Items []struct {
			Most int32 `json:"most"`
		} `json:"items"`
	}
	err = c.Fetch(&most, client.FetchOptions{Resource: "example.com/v1/ceilings", Namespace: d.Namespace, Labels: scale.Status.Selector, Params: map[string]string{"of": d.Name}})
	switch {
	case client.IsUnsupported(err):
		return int(scale.Spec.Replicas), nil
	case err != nil:
		return 0, err
	}
	if n := most.Items[0].Most; scale.Spec.Replicas > n {
		scale.Spec.Replicas = n
		if err := c.UpdateScale(resource, scale); err != nil {
			return 0, err
		}
		if err := c.Get(d, d.Namespace, d.Name); err != nil {
			return 0, err
		}
	}
	return int(scale.Spec.Replicas), nil
}

// finish brings status, annotations and a config map up to date.
func finish(c client.Client, d *appsv1.Deployment, replicas int) error {
	if d.Status.Replicas != int32(replicas) {
		d.Status.Replicas = int32(replicas)
		if err := c.UpdateStatus(d); err != nil {
			return err
		}
	}
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{"replicas": fmt.Sprint(replicas)}}}
	if err := c.Patch(d, client.Patch{Data: patch}); err != nil {
		return err
	}
	ask := &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name}, Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"suite"}}}
	if err := c.CreateSubresource("apps/v1/deployments", "token", ask, ask); err != nil {
		return err
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name}, Data: map[string]string{"revision": d.ResourceVersion, "token": ask.Status.Token}}
	err := c.Create(cm)
	if client.IsAlreadyExists(err) {
		if err = c.Delete(cm, client.DeleteOptions{}); err == nil {
			err = c.Create(cm)
		}
	}
	return err
}

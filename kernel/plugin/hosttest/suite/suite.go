// Package suite is the plugin that the host suite runs in every host: one
// plugin that serves every point, and misbehaves when it is asked to.
package suite

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "suite", Version: "1.2.3", New: open})
	sdk.Register(sdk.Plugin{Name: "other", New: func([]byte) (*sdk.Points, error) { return nil, nil }})
}

func open(config []byte) (*sdk.Points, error) {
	switch string(config) {
	case "refuse":
		return nil, errors.New("this config is refused")
	case "panic":
		panic("no config")
	}
	return &sdk.Points{
		Scope:    sdk.Cluster,
		Filter:   filter,
		Score:    func(_ *sdk.Pod, n sdk.Node) int64 { return int64(len(n.Name())) },
		Validate: validate,
		Mutate:   mutate,
		Match: []sdk.MatchRule{{Operations: []sdk.Operation{sdk.Create}, Resources: []string{"v1/pods", "apps/*/*"},
			ExceptNamespaces: []string{"kube-system"}, Present: []string{"metadata.name"}}},
		Controller: &sdk.Controller{
			Workers:   3,
			Reconcile: reconcile,
			Watches: []sdk.Watch{
				{Resource: "apps/v1/deployments"},
				{Resource: "v1/pods", Map: sdk.Owner("apps/v1/Deployment")},
				{Resource: "v1/configmaps", Map: sdk.Func(mapConfigMap), Present: []string{"data.for"}},
				{Resource: "v1/nodes", Map: sdk.Constant(sdk.Request{Namespace: "a", Name: "b"})},
			},
		},
	}, nil
}

func filter(p *sdk.Pod, n sdk.Node) *sdk.Status {
	if strings.HasSuffix(n.Name(), "0") {
		return refused
	}
	return nil
}

var refused = sdk.Unschedulable("node ends with 0")

func validate(r *sdk.Review) error {
	switch r.Name {
	case "panic":
		var m map[string]int
		m[r.Name] = 1
	case "error":
		return errors.New("cannot decide")
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
	if r.Operation == sdk.Update && r.Old.Get("metadata.labels[app.kubernetes.io/name]").String() != r.Object.Get("metadata.labels[app.kubernetes.io/name]").String() {
		r.Warn("the name changes")
	}
	return nil
}

// reads asks for another object.
func reads(r *sdk.Review, name string) error {
	var cm corev1.ConfigMap
	err := r.Reader.Get(&cm, r.Namespace, name)
	if sdk.IsNotFound(err) {
		r.Await(&cm, r.Namespace, name)
		return r.Forbid("no %s", name)
	}
	if err == nil {
		r.Warn("%s", cm.Data["text"])
	}
	return err
}

func mutate(r *sdk.Review) error {
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

func mapConfigMap(o sdk.Value) []sdk.Request {
	var out []sdk.Request
	for _, name := range strings.Fields(o.Get("data.for").String()) {
		out = append(out, sdk.Request{Namespace: o.Get("metadata.namespace").String(), Name: name})
	}
	return out
}

// reconcile uses every verb of the client on the named Deployment.
func reconcile(c sdk.Client, q sdk.Request) (sdk.Result, error) {
	if q.Name == "panic" {
		panic("reconcile")
	}
	var d appsv1.Deployment
	if err := c.Get(&d, q.Namespace, q.Name); err != nil {
		if sdk.IsNotFound(err) {
			return sdk.Result{}, nil
		}
		return sdk.Result{}, err
	}
	var pods []*corev1.Pod
	if err := c.List(&pods, sdk.ListOptions{Namespace: q.Namespace, OwnerUID: d.UID}); err != nil {
		return sdk.Result{}, err
	}
	want := int(*d.Spec.Replicas)
	var ops []sdk.Op
	for i := len(pods); i < want; i++ {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: q.Namespace, Name: fmt.Sprintf("%s-%d", q.Name, i),
			OwnerReferences: []metav1.OwnerReference{metav1.NewControllerRef(&d, "apps/v1", "Deployment")}}, Spec: d.Spec.Template.Spec}
		ops = append(ops, sdk.Op{Verb: sdk.VerbCreate, Object: p})
	}
	for i := want; i < len(pods); i++ {
		ops = append(ops, sdk.Op{Verb: sdk.VerbDelete, Object: sdk.Clone(pods[i])})
	}
	if len(ops) > 0 {
		errs, err := c.Batch(ops, false)
		if err := errors.Join(append(errs, err)...); err != nil {
			return sdk.Result{}, err
		}
		c.Event(&d, sdk.Note{Reason: "Scaled", Message: fmt.Sprintf("from %d to %d", len(pods), want)})
	}
	return sdk.Result{RequeueAfter: time.Minute}, finish(c, &d, want)
}

// finish brings status, annotations and a config map up to date.
func finish(c sdk.Client, d *appsv1.Deployment, replicas int) error {
	if d.Status.Replicas != int32(replicas) {
		d.Status.Replicas = int32(replicas)
		if err := c.UpdateStatus(d); err != nil {
			return err
		}
	}
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{"replicas": fmt.Sprint(replicas)}}}
	if err := c.Patch(d, sdk.Patch{Data: patch}); err != nil {
		return err
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name}, Data: map[string]string{"revision": d.ResourceVersion}}
	err := c.Create(cm)
	if sdk.IsAlreadyExists(err) {
		if err = c.Delete(cm, sdk.DeleteOptions{}); err == nil {
			err = c.Create(cm)
		}
	}
	return err
}

package scenario

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/conformance/differential/peers/nodes"
)

// Pods are left out of the namespace: upstream's controller waits half their
// grace period, which would be all that is measured.
var namespace = Scenario{
	Name: "namespace", What: "namespace with %d objects (five ConfigMaps to three Secrets to two ServiceAccounts) deleted, until it is gone",
	Size: 5000, Unit: "objects", Nodes: 1,
	Arm: func(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error) {
		core := c.CoreV1()
		spaces, err := track(ctx, core.RESTClient(), "namespaces", "", &corev1.Namespace{}, func(o any) bool {
			return o.(*corev1.Namespace).Name == Namespace
		})
		if err != nil {
			return nil, err
		}
		maps, err := track(ctx, core.RESTClient(), "configmaps", Namespace, &corev1.ConfigMap{}, func(any) bool { return true })
		if err != nil {
			return nil, err
		}
		if err := nodes.Each(ctx, size, func(ctx context.Context, i int) (err error) {
			meta := metav1.ObjectMeta{Name: fmt.Sprintf("object-%05d", i)}
			switch {
			case i%10 < 5:
				_, err = core.ConfigMaps(Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: data}, metav1.CreateOptions{})
			case i%10 < 8:
				_, err = core.Secrets(Namespace).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: data}, metav1.CreateOptions{})
			default:
				_, err = core.ServiceAccounts(Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
			}
			return err
		}); err != nil {
			return nil, err
		}
		return &Armed{
			Do: func(ctx context.Context) error {
				if err := core.Namespaces().Delete(ctx, Namespace, metav1.DeleteOptions{}); err != nil {
					return err
				}
				return spaces.until(ctx, func(_, wished int) bool { return wished == 0 })
			},
			Progress: func() string {
				left, _ := maps.Counts()
				return fmt.Sprintf("%d ConfigMaps are left", left)
			},
		}, nil
	},
}

var orphans = Scenario{
	Name: "orphans", What: "%d ConfigMaps whose only owner is deleted, until all are collected",
	Size: 10000, Unit: "objects", Nodes: 1,
	Arm: func(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error) {
		maps := c.CoreV1().ConfigMaps(Namespace)
		owner, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		owned := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
		if err := nodes.Each(ctx, size, func(ctx context.Context, i int) error {
			o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("owned-%05d", i), OwnerReferences: owned}, Data: data}
			_, err := maps.Create(ctx, o, metav1.CreateOptions{})
			return err
		}); err != nil {
			return nil, err
		}
		t, err := track(ctx, c.CoreV1().RESTClient(), "configmaps", Namespace, &corev1.ConfigMap{}, func(o any) bool {
			return len(o.(*corev1.ConfigMap).OwnerReferences) > 0
		})
		if err != nil {
			return nil, err
		}
		return &Armed{
			Do: func(ctx context.Context) error {
				background := metav1.DeletePropagationBackground
				if err := maps.Delete(ctx, owner.Name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
					return err
				}
				return t.until(ctx, func(_, wished int) bool { return wished == 0 })
			},
			Progress: func() string {
				_, left := t.Counts()
				return fmt.Sprintf("%d are left", left)
			},
		}, nil
	},
}

// data is what each object holds.
var data = map[string]string{"text": "A controller deletes this without a look at what it says, as long as somebody asked for it."}

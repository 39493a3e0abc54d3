package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var lifecycleCases = []Case{
	{Name: "deletion/finalizers", Stands: "Finalizers: how they work", Run: deletionFinalizers},
	{Name: "deletion/background", Stands: "Garbage collector should delete dependents if not orphaning", Run: deletionBackground},
	{Name: "deletion/orphan", Stands: "Garbage collector should orphan dependents when deleteOptions.PropagationPolicy is Orphan", Run: deletionOrphan},
	{Name: "deletion/foreground", Stands: "Garbage collector should keep the owner around until all its dependents are deleted if the deleteOptions says so", Run: deletionForeground},
	{Name: "deletion/two-owners", Stands: "Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted", Run: deletionTwoOwners},
	{Name: "deletion/grace-period", Stands: "Pods: termination; a pod without a node goes at once", Run: deletionGrace},
}

func deletionFinalizers(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	o := configMap("a")
	o.Finalizers = []string{"example.com/one", "example.com/two"}
	if _, err := c.Create(ctx, o, create); err != nil {
		return err
	}
	if err := c.Delete(ctx, "a", remove); err != nil {
		return err
	}
	o, err := c.Get(ctx, "a", get)
	if err != nil {
		return fmt.Errorf("after delete: %w", err)
	}
	errs := []error{same("deletionTimestamp is set", o.DeletionTimestamp != nil, true)}
	grow := o.DeepCopy()
	grow.Finalizers = append(grow.Finalizers, "example.com/three")
	_, err = c.Update(ctx, grow, update)
	errs = append(errs, invalid("a new finalizer of an object being deleted", err))
	for _, left := range []string{`["example.com/two"]`, `[]`} {
		if _, err := c.Patch(ctx, "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":`+left+`}}`), patch); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	_, err = c.Get(ctx, "a", get)
	return errors.Join(append(errs, missing("the object after its last finalizer", err))...)
}

// family creates an owner and three dependents.
func family(ctx context.Context, e *Env, owners ...string) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	var refs []metav1.OwnerReference
	block := true
	for _, name := range owners {
		o, err := c.Create(ctx, configMap(name), create)
		if err != nil {
			return err
		}
		refs = append(refs, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: o.Name, UID: o.UID, BlockOwnerDeletion: &block})
	}
	for i := range 3 {
		o := configMap(fmt.Sprint("child", i))
		o.OwnerReferences, o.Labels = refs, map[string]string{"ours": "yes"}
		if _, err := c.Create(ctx, o, create); err != nil {
			return err
		}
	}
	return nil
}

// children checks how many dependents there are.
func children(ctx context.Context, e *Env, want int) error {
	l, err := e.Client.CoreV1().ConfigMaps(e.Namespace).List(ctx, ours(list))
	if err != nil {
		return err
	}
	return same("number of dependents", len(l.Items), want)
}

func propagation(p metav1.DeletionPropagation) metav1.DeleteOptions {
	return metav1.DeleteOptions{PropagationPolicy: &p}
}

func deletionBackground(ctx context.Context, e *Env) error {
	if err := family(ctx, e, "owner"); err != nil {
		return err
	}
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	if err := c.Delete(ctx, "owner", propagation(metav1.DeletePropagationBackground)); err != nil {
		return err
	}
	_, err := c.Get(ctx, "owner", get)
	return errors.Join(missing("the owner", err), eventually(ctx, func() error { return children(ctx, e, 0) }))
}

func deletionOrphan(ctx context.Context, e *Env) error {
	if err := family(ctx, e, "owner"); err != nil {
		return err
	}
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	if err := c.Delete(ctx, "owner", propagation(metav1.DeletePropagationOrphan)); err != nil {
		return err
	}
	if err := eventually(ctx, func() error {
		_, err := c.Get(ctx, "owner", get)
		return missing("the owner", err)
	}); err != nil {
		return err
	}
	l, err := c.List(ctx, ours(list))
	if err != nil {
		return err
	}
	errs := []error{same("dependents left", len(l.Items), 3)}
	for _, o := range l.Items {
		errs = append(errs, same("owners of "+o.Name, len(o.OwnerReferences), 0))
	}
	return errors.Join(errs...)
}

func deletionForeground(ctx context.Context, e *Env) error {
	if err := family(ctx, e, "owner"); err != nil {
		return err
	}
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	// A dependent that does not go yet keeps the owner.
	if _, err := c.Patch(ctx, "child0", types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/hold"]}}`), patch); err != nil {
		return err
	}
	if err := c.Delete(ctx, "owner", propagation(metav1.DeletePropagationForeground)); err != nil {
		return err
	}
	if err := eventually(ctx, func() error { return children(ctx, e, 1) }); err != nil {
		return err
	}
	owner, err := c.Get(ctx, "owner", get)
	if err != nil {
		return fmt.Errorf("the owner went before its dependent: %w", err)
	}
	errs := []error{same("finalizers of the owner", fmt.Sprint(owner.Finalizers), "["+metav1.FinalizerDeleteDependents+"]")}
	if _, err := c.Patch(ctx, "child0", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), patch); err != nil {
		return err
	}
	return errors.Join(append(errs, eventually(ctx, func() error {
		_, err := c.Get(ctx, "owner", get)
		return missing("the owner after its dependents", err)
	}))...)
}

func deletionTwoOwners(ctx context.Context, e *Env) error {
	if err := family(ctx, e, "stays", "goes"); err != nil {
		return err
	}
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	if err := c.Delete(ctx, "goes", propagation(metav1.DeletePropagationForeground)); err != nil {
		return err
	}
	if err := eventually(ctx, func() error {
		_, err := c.Get(ctx, "goes", get)
		return missing("the owner that was deleted", err)
	}); err != nil {
		return err
	}
	select { // time for a collector that is wrong
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
	}
	return children(ctx, e, 3)
}

func deletionGrace(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Pods(e.Namespace)
	p := pod("a", nil)
	thirty := int64(30)
	p.Spec.TerminationGracePeriodSeconds = &thirty
	if _, err := c.Create(ctx, p, create); err != nil {
		return err
	}
	if err := c.Delete(ctx, "a", remove); err != nil {
		return err
	}
	_, err := c.Get(ctx, "a", get)
	errs := []error{missing("a pod that was on no node", err)}
	node, done, err := paperNode(ctx, e)
	if err != nil {
		return err
	}
	defer done()
	p.Spec.NodeName = node
	if _, err := c.Create(ctx, p, create); err != nil {
		return err
	}
	if err := c.Delete(ctx, "a", remove); err != nil {
		return err
	}
	p, err = c.Get(ctx, "a", get)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("a pod on a node went before its node said so: %w", err))...)
	}
	errs = append(errs, same("deletionTimestamp is set", p.DeletionTimestamp != nil, true))
	if p.DeletionGracePeriodSeconds != nil {
		errs = append(errs, same("deletionGracePeriodSeconds", *p.DeletionGracePeriodSeconds, 30))
	}
	zero := int64(0)
	if err := c.Delete(ctx, "a", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		return err
	}
	_, err = c.Get(ctx, "a", get)
	return errors.Join(append(errs, missing("a pod deleted with grace period 0", err), same("phase kept", p.Status.Phase, corev1.PodPending))...)
}

package conformance

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

var namespaceCases = []Case{
	{Name: "namespaces/patch", Stands: "Namespaces should patch a Namespace", Run: namespacePatch},
	{Name: "namespaces/removal", Stands: "Namespaces should ensure that all services are removed when a namespace is removed", Run: namespaceRemoval},
	{Name: "namespaces/terminating", Stands: "API concepts: a namespace that terminates takes no new objects", Run: namespaceTerminating},
	{Name: "namespaces/furniture", Stands: "ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace", Run: namespaceFurniture},
}

func namespacePatch(ctx context.Context, e *Env) error {
	ns, err := e.Client.CoreV1().Namespaces().Patch(ctx, e.Namespace, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), patch)
	if err != nil {
		return err
	}
	return errors.Join(
		same("label", ns.Labels["patched"], "yes"),
		same("label kubernetes.io/metadata.name", ns.Labels[corev1.LabelMetadataName], e.Namespace),
		same("phase", ns.Status.Phase, corev1.NamespaceActive),
	)
}

func namespaceRemoval(ctx context.Context, e *Env) error {
	core := e.Client.CoreV1()
	if _, err := core.ConfigMaps(e.Namespace).Create(ctx, configMap("one"), create); err != nil {
		return err
	}
	svc := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	svc.Name = "two"
	if _, err := core.Services(e.Namespace).Create(ctx, svc, create); err != nil {
		return err
	}
	if err := core.Namespaces().Delete(ctx, e.Namespace, remove); err != nil {
		return err
	}
	err := eventually(ctx, func() error {
		_, err := core.Namespaces().Get(ctx, e.Namespace, get)
		return missing("the namespace after its deletion", err)
	})
	_, one := core.ConfigMaps(e.Namespace).Get(ctx, "one", get)
	_, two := core.Services(e.Namespace).Get(ctx, "two", get)
	return errors.Join(err, missing("a ConfigMap of it", one), missing("a Service of it", two))
}

func namespaceTerminating(ctx context.Context, e *Env) error {
	core := e.Client.CoreV1()
	held := configMap("held")
	held.Finalizers = []string{"example.com/hold"}
	if _, err := core.ConfigMaps(e.Namespace).Create(ctx, held, create); err != nil {
		return err
	}
	if err := core.Namespaces().Delete(ctx, e.Namespace, remove); err != nil {
		return err
	}
	ns, err := core.Namespaces().Get(ctx, e.Namespace, get)
	if err != nil {
		return fmt.Errorf("the namespace went although an object of it has a finalizer: %w", err)
	}
	_, err = core.ConfigMaps(e.Namespace).Create(ctx, configMap("late"), create)
	errs := []error{same("phase", ns.Status.Phase, corev1.NamespaceTerminating), forbidden("create in a terminating namespace", err)}
	if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		errs = append(errs, fmt.Errorf("the refusal %v lacks the cause %s", err, corev1.NamespaceTerminatingCause))
	}
	if _, err := core.ConfigMaps(e.Namespace).Patch(ctx, "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), patch); err != nil {
		return errors.Join(append(errs, fmt.Errorf("release the object: %w", err))...)
	}
	return errors.Join(append(errs, eventually(ctx, func() error {
		_, err := core.Namespaces().Get(ctx, e.Namespace, get)
		return missing("the namespace after the last finalizer", err)
	}))...)
}

// namespaceFurniture: what controllers put into every namespace, and put back.
func namespaceFurniture(ctx context.Context, e *Env) error {
	core := e.Client.CoreV1()
	const ca = "kube-root-ca.crt"
	there := func() error {
		c, err := core.ConfigMaps(e.Namespace).Get(ctx, ca, get)
		if err != nil {
			return err
		}
		if len(c.Data["ca.crt"]) < 100 {
			return fmt.Errorf("%s has %d bytes of ca.crt", ca, len(c.Data["ca.crt"]))
		}
		_, err = core.ServiceAccounts(e.Namespace).Get(ctx, "default", get)
		return err
	}
	if err := eventually(ctx, there); err != nil {
		return err
	}
	if err := core.ConfigMaps(e.Namespace).Delete(ctx, ca, remove); err != nil {
		return err
	}
	if err := eventually(ctx, there); err != nil {
		return fmt.Errorf("after its deletion: %w", err)
	}
	if _, err := core.ConfigMaps(e.Namespace).Patch(ctx, ca, types.MergePatchType, []byte(`{"data":{"ca.crt":""}}`), patch); err != nil {
		return err
	}
	if err := eventually(ctx, there); err != nil {
		return fmt.Errorf("after it was overwritten: %w", err)
	}
	return nil
}

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var applyCases = []Case{
	{Name: "apply/create", Stands: "ServerSideApply should create an applied object if it does not already exist", Run: applyCreate},
	{Name: "apply/conflict", Stands: "ServerSideApply should give up ownership of a field; conflicts", Run: applyConflict},
	{Name: "apply/removal", Stands: "ServerSideApply should remove a field if it is owned but removed in the apply request", Run: applyRemoval},
	{Name: "apply/lists", Stands: "ServerSideApply should work for merging lists by key", Run: applyLists},
}

func apply(ctx context.Context, e *Env, name, manager, body string, force bool) (*corev1.ConfigMap, error) {
	head := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q},`, name)
	return e.Client.CoreV1().ConfigMaps(e.Namespace).Patch(ctx, name, types.ApplyPatchType, []byte(head+body+"}"), metav1.PatchOptions{FieldManager: manager, Force: &force})
}

func applyCreate(ctx context.Context, e *Env) error {
	o, err := apply(ctx, e, "a", "one", `"data":{"k":"1"}`, false)
	if err != nil {
		return err
	}
	errs := []error{same("data", o.Data["k"], "1"), same("entries of managedFields", len(o.ManagedFields), 1)}
	if len(o.ManagedFields) == 1 {
		m := o.ManagedFields[0]
		errs = append(errs, same("manager", m.Manager, "one"), same("operation", m.Operation, metav1.ManagedFieldsOperationApply), same("apiVersion", m.APIVersion, "v1"),
			same("fields", string(m.FieldsV1.GetRawString()), `{"f:data":{"f:k":{}}}`))
	}
	again, err := apply(ctx, e, "a", "one", `"data":{"k":"1"}`, false)
	if err != nil {
		return err
	}
	_, anonymous := apply(ctx, e, "a", "", `"data":{"k":"1"}`, false)
	return errors.Join(append(errs, same("resourceVersion after the same again", again.ResourceVersion, o.ResourceVersion), invalid("apply without fieldManager", anonymous))...)
}

func applyConflict(ctx context.Context, e *Env) error {
	if _, err := apply(ctx, e, "a", "one", `"data":{"k":"1","l":"1"}`, false); err != nil {
		return err
	}
	_, clash := apply(ctx, e, "a", "two", `"data":{"k":"2"}`, false)
	errs := []error{conflict("apply of another's field", clash)}
	if !apierrors.HasStatusCause(clash, metav1.CauseTypeFieldManagerConflict) || !strings.Contains(clash.Error(), `conflict with "one": .data.k`) {
		errs = append(errs, fmt.Errorf("the conflict names neither manager nor field: %w", clash))
	}
	if _, err := apply(ctx, e, "a", "two", `"data":{"l":"1"}`, false); err != nil {
		errs = append(errs, fmt.Errorf("apply of another's field with the same value: %w", err))
	}
	o, err := apply(ctx, e, "a", "two", `"data":{"k":"2","l":"1"}`, true)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("forced: %w", err))...)
	}
	errs = append(errs, same("forced value", o.Data["k"], "2"))
	_, back := apply(ctx, e, "a", "one", `"data":{"k":"1","l":"1"}`, false)
	return errors.Join(append(errs, conflict("apply by the manager that lost the field", back))...)
}

func applyRemoval(ctx context.Context, e *Env) error {
	if _, err := apply(ctx, e, "a", "one", `"data":{"mine":"1","shared":"1","given":"1"}`, false); err != nil {
		return err
	}
	if _, err := apply(ctx, e, "a", "two", `"data":{"shared":"1"}`, false); err != nil {
		return err
	}
	// An update takes a field over.
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	o, err := c.Get(ctx, "a", get)
	if err != nil {
		return err
	}
	o.Data["given"], o.Data["theirs"] = "2", "2"
	if _, err := c.Update(ctx, o, metav1.UpdateOptions{FieldManager: "three"}); err != nil {
		return err
	}
	o, err = apply(ctx, e, "a", "one", `"data":{}`, false)
	if err != nil {
		return err
	}
	return same("data after the first manager applied nothing", fmt.Sprint(o.Data), "map[given:2 shared:1 theirs:2]")
}

func applyLists(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Services(e.Namespace)
	send := func(manager, ports string) (*corev1.Service, error) {
		return c.Patch(ctx, "s", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":`+ports+`}}`), metav1.PatchOptions{FieldManager: manager})
	}
	if _, err := send("one", `[{"name":"a","port":80,"protocol":"TCP"}]`); err != nil {
		return err
	}
	s, err := send("two", `[{"name":"b","port":81,"protocol":"TCP"}]`)
	if err != nil {
		return err
	}
	errs := []error{same("ports of two managers", len(s.Spec.Ports), 2)}
	if s, err = send("two", `[{"name":"c","port":82,"protocol":"TCP"}]`); err != nil {
		return err
	}
	var names []string
	for _, p := range s.Spec.Ports {
		names = append(names, p.Name)
	}
	return errors.Join(append(errs, same("ports", fmt.Sprint(names), "[a c]"))...)
}

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var objectCases = []Case{
	{Name: "objects/lifecycle", Stands: "ConfigMap should run through a ConfigMap lifecycle", Run: objectLifecycle},
	{Name: "objects/locking", Stands: "API concepts: updates to existing resources, resourceVersion", Run: objectLocking},
	{Name: "objects/generate-name", Stands: "ServerSideApply and API conventions: generateName", Run: objectGenerateName},
	{Name: "objects/dry-run", Stands: "API concepts: dry-run", Run: objectDryRun},
	{Name: "objects/preconditions", Stands: "DeleteOptions: preconditions", Run: objectPreconditions},
	{Name: "objects/collection", Stands: "ConfigMap should be deleted by a collection", Run: objectCollection},
	{Name: "objects/immutable", Stands: "ConfigMap should be immutable if `immutable` field is set", Run: objectImmutable},
	{Name: "objects/secrets", Stands: "Secrets should patch a secret", Run: objectSecrets},
}

func objectLifecycle(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	made, err := c.Create(ctx, configMap("a", "k", "1"), create)
	if err != nil {
		return err
	}
	errs := []error{same("namespace", made.Namespace, e.Namespace)}
	if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() {
		errs = append(errs, fmt.Errorf("uid %q, resourceVersion %q or creationTimestamp %s is empty", made.UID, made.ResourceVersion, made.CreationTimestamp))
	}
	read, err := c.Get(ctx, "a", get)
	if err != nil {
		return err
	}
	errs = append(errs, same("resourceVersion read", read.ResourceVersion, made.ResourceVersion))
	read.Data["k"] = "2"
	wrote, err := c.Update(ctx, read, update)
	if err != nil {
		return err
	}
	errs = append(errs, same("data", wrote.Data["k"], "2"), same("uid", wrote.UID, made.UID), same("new resourceVersion", wrote.ResourceVersion != made.ResourceVersion, true))
	again, err := c.Update(ctx, wrote, update)
	if err != nil {
		return err
	}
	errs = append(errs, same("resourceVersion after an update without a change", again.ResourceVersion, wrote.ResourceVersion), c.Delete(ctx, "a", remove))
	_, err = c.Get(ctx, "a", get)
	return errors.Join(append(errs, missing("read after delete", err))...)
}

func objectLocking(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	old, err := c.Create(ctx, configMap("a", "k", "1"), create)
	if err != nil {
		return err
	}
	next := old.DeepCopy()
	next.Data["k"] = "2"
	if _, err := c.Update(ctx, next, update); err != nil {
		return err
	}
	old.Data["k"] = "3"
	_, stale := c.Update(ctx, old, update)
	other := configMap("a", "k", "4")
	other.UID = types.UID("11111111-2222-3333-4444-555555555555")
	_, foreign := c.Update(ctx, other, update)
	_, patched := c.Patch(ctx, "a", types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q}, "data":{"k":"5"}}`, old.ResourceVersion), patch)
	free, err := c.Update(ctx, configMap("a", "k", "6"), update)
	return errors.Join(conflict("update of a stale version", stale), conflict("update with another uid", foreign), conflict("patch of a stale version", patched),
		err, same("data after an update without a version", free.Data["k"], "6"))
}

func objectGenerateName(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	seen := map[string]bool{}
	for range 5 {
		o := configMap("")
		o.GenerateName = "many-"
		made, err := c.Create(ctx, o, create)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(made.Name, "many-") || len(made.Name) != len("many-")+5 || seen[made.Name] {
			return fmt.Errorf("generated name %q: want many- and five characters, new each time", made.Name)
		}
		seen[made.Name] = true
	}
	_, err := c.Create(ctx, configMap(""), create)
	return invalid("create without name and generateName", err)
}

func objectDryRun(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	all := []string{metav1.DryRunAll}
	made, err := c.Create(ctx, configMap("a"), metav1.CreateOptions{DryRun: all})
	if err != nil {
		return err
	}
	_, gone := c.Get(ctx, "a", get)
	errs := []error{same("uid is given", made.UID != "", true), missing("read after a dry run of create", gone)}
	if _, err := c.Create(ctx, configMap("a", "k", "1"), create); err != nil {
		return err
	}
	_, twice := c.Create(ctx, configMap("a"), metav1.CreateOptions{DryRun: all})
	errs = append(errs, refused("dry run of a second create", twice, 409, metav1.StatusReasonAlreadyExists))
	next, err := c.Update(ctx, configMap("a", "k", "2"), metav1.UpdateOptions{DryRun: all})
	if err != nil {
		return err
	}
	errs = append(errs, same("answer of a dry run", next.Data["k"], "2"), c.Delete(ctx, "a", metav1.DeleteOptions{DryRun: all}))
	read, err := c.Get(ctx, "a", get)
	if err != nil {
		return fmt.Errorf("after a dry run of delete: %w", err)
	}
	_, odd := c.Create(ctx, configMap("b"), metav1.CreateOptions{DryRun: []string{"Some"}})
	return errors.Join(append(errs, same("data after dry runs", read.Data["k"], "1"), invalid("dryRun=Some", odd))...)
}

func objectPreconditions(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	o, err := c.Create(ctx, configMap("a"), create)
	if err != nil {
		return err
	}
	wrongUID, wrongVersion := types.UID("other"), "1"
	byUID := c.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrongUID}})
	byVersion := c.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &wrongVersion}})
	right := c.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion}})
	return errors.Join(conflict("delete with another uid", byUID), conflict("delete with another resourceVersion", byVersion), right)
}

func objectCollection(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	for _, name := range []string{"a", "b", "c"} {
		o := configMap(name)
		o.Labels = map[string]string{"set": map[bool]string{true: "kept", false: "gone"}[name == "c"]}
		if _, err := c.Create(ctx, o, create); err != nil {
			return err
		}
	}
	if err := c.DeleteCollection(ctx, remove, metav1.ListOptions{LabelSelector: "set=gone"}); err != nil {
		return err
	}
	l, err := c.List(ctx, metav1.ListOptions{LabelSelector: "set"})
	if err != nil {
		return err
	}
	if len(l.Items) != 1 || l.Items[0].Name != "c" {
		return fmt.Errorf("%d objects are left, want c alone", len(l.Items))
	}
	return nil
}

func objectImmutable(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	yes := true
	o := configMap("a", "k", "1")
	o.Immutable = &yes
	made, err := c.Create(ctx, o, create)
	if err != nil {
		return err
	}
	change := made.DeepCopy()
	change.Data["k"] = "2"
	_, data := c.Update(ctx, change, update)
	change = made.DeepCopy()
	change.Immutable = nil
	_, unlock := c.Update(ctx, change, update)
	made.Labels = map[string]string{"a": "b"}
	_, labels := c.Update(ctx, made, update)
	return errors.Join(invalid("change of data", data), invalid("unsetting immutable", unlock), labels)
}

func objectSecrets(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Secrets(e.Namespace)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"k": "text"}, Data: map[string][]byte{"b": {0, 255}}}
	made, err := c.Create(ctx, s, create)
	if err != nil {
		return err
	}
	errs := []error{same("type", made.Type, corev1.SecretTypeOpaque), same("data of stringData", string(made.Data["k"]), "text"),
		same("binary data", string(made.Data["b"]), "\x00\xff"), same("stringData in the answer", len(made.StringData), 0)}
	made.Type = "example.com/other"
	_, err = c.Update(ctx, made, update)
	return errors.Join(append(errs, invalid("change of type", err))...)
}

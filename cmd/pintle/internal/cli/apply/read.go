package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// nothing ends every error of what is found before the batch is sent.
const nothing = "nothing was written"

// read takes the objects out of the files, and finds what no batch can do.
func (a *atomic) read(ctx context.Context) error {
	var err error
	if a.infos, err = a.GetObjects(); err != nil {
		return undefined(a.infos, err)
	}
	switch n := len(a.infos); {
	case n == 0:
		return errors.New("no objects passed to apply")
	case n > v1alpha1.MaxBatchItems:
		return fmt.Errorf("%d objects, and a batch has at most %d: apply fewer at a time, or without --atomic; %s", n, v1alpha1.MaxBatchItems, nothing)
	}
	for _, info := range a.infos {
		if err := a.Recorder.Record(info.Object); err != nil { // --record, which kubectl has deprecated
			return fmt.Errorf("%s: %w", title(info), err)
		}
	}
	return errors.Join(named(a.infos), twice(a.infos), a.namespaces(ctx))
}

// undefined adds to the errors of kinds that the server does not know which object
// would define them.
func undefined(infos []*resource.Info, err error) error {
	all := []error{err}
	if agg, ok := errors.AsType[utilerrors.Aggregate](err); ok {
		all = utilerrors.Flatten(agg).Errors()
	}
	var lines []string
	told := map[schema.GroupKind]bool{}
	for _, e := range all {
		lines = append(lines, e.Error())
		none, ok := errors.AsType[*meta.NoKindMatchError](e)
		if !ok || told[none.GroupKind] {
			continue
		}
		told[none.GroupKind] = true
		for _, info := range infos {
			if defines(info, none.GroupKind) {
				lines = append(lines, fmt.Sprintf("%s defines it, and an object of a batch does not see what the others write: apply that first, then `pintle kubectl wait --for=condition=Established crd/%s`, then the rest",
					at(info), info.Name))
			}
		}
	}
	return fmt.Errorf("%s\n%s", strings.Join(lines, "\n"), nothing)
}

func defines(info *resource.Info, gk schema.GroupKind) bool {
	crd, ok := info.Object.(*unstructured.Unstructured)
	if !ok || crd.GetKind() != "CustomResourceDefinition" {
		return false
	}
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return group == gk.Group && kind == gk.Kind
}

// named refuses objects without a name.
func named(infos []*resource.Info) error {
	var errs []error
	for _, info := range infos {
		if m, err := meta.Accessor(info.Object); err == nil && info.Name == "" {
			errs = append(errs, fmt.Errorf("%s: from %s: cannot use generate name with apply; %s", at(info), m.GetGenerateName(), nothing))
		}
	}
	return errors.Join(errs...)
}

// twice refuses an object that is there twice: a batch writes it once.
func twice(infos []*resource.Info) error {
	type key struct {
		schema.GroupResource
		namespace, name string
	}
	seen := map[key]*resource.Info{}
	var errs []error
	for _, info := range infos {
		k := key{info.Mapping.Resource.GroupResource(), info.Namespace, info.Name}
		if first := seen[k]; first != nil && info.Name != "" {
			errs = append(errs, fmt.Errorf("%s is in %s already, and a batch writes an object once; %s", at(info), first.Source, nothing))
		}
		seen[k] = info
	}
	return errors.Join(errs...)
}

// namespaces refuses a new namespace together with what is to be in it.
func (a *atomic) namespaces(ctx context.Context) error {
	users := map[string][]*resource.Info{}
	for _, info := range a.infos {
		users[info.Namespace] = append(users[info.Namespace], info)
	}
	var errs []error
	for _, info := range a.infos {
		if info.Mapping.Resource.GroupResource() != (schema.GroupResource{Resource: "namespaces"}) || len(users[info.Name]) == 0 {
			continue
		}
		_, err := a.DynamicClient.Resource(info.Mapping.Resource).Get(ctx, info.Name, metav1.GetOptions{})
		switch inside := users[info.Name]; {
		case apierrors.IsNotFound(err):
			errs = append(errs, fmt.Errorf("%s is not there yet, and an object of a batch does not see what the others write (%s and %d more are in it): apply the namespace first, then the rest; %s",
				at(info), at(inside[0]), len(inside)-1, nothing))
		case err != nil && !apierrors.IsForbidden(err): // who may not look is told by the batch
			return err
		}
	}
	return errors.Join(errs...)
}

// title names an object as kubectl's lines do.
func title(info *resource.Info) string {
	kind := strings.ToLower(info.Mapping.GroupVersionKind.Kind)
	if g := info.Mapping.GroupVersionKind.Group; g != "" {
		kind += "." + g
	}
	return kind + "/" + info.Name
}

// at names an object and where it was read.
func at(info *resource.Info) string {
	if info.Source == "" {
		return title(info)
	}
	return info.Source + ": " + title(info)
}

package apply

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/util/csaupgrade"
	upstream "k8s.io/kubectl/pkg/cmd/apply"
	"k8s.io/kubectl/pkg/cmd/diff"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/utils/exec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// print says of each object what was done with it, or would be; with -o it prints them.
func (a *atomic) print(answer *v1alpha1.Batch) error {
	changes, err := a.take(answer)
	if err != nil {
		return err
	}
	if out := *a.PrintFlags.OutputFormat; out != "" && out != "name" {
		return a.PostProcessorFn() // which prints all of them as one list
	}
	for i, info := range a.infos {
		operation := "serverside-applied"
		if changes != nil {
			operation = changes[i].operation()
		}
		p, err := a.ToPrinter(operation)
		if err != nil {
			return err
		}
		if err := p.PrintObj(info.Object, a.Out); err != nil {
			return err
		}
	}
	if *a.PrintFlags.OutputFormat == "name" {
		return nil
	}
	return show(changes, genericiooptions.IOStreams{Out: a.Out, ErrOut: a.ErrOut})
}

// take makes the objects those of the answer, and warns about them. In a dry run it
// returns what would change.
func (a *atomic) take(answer *v1alpha1.Batch) (changes []*change, err error) {
	for i, info := range a.infos {
		item := &answer.Status.Items[i]
		for _, text := range item.Warnings {
			fmt.Fprintf(a.ErrOut, "Warning: %s: %s\n", at(info), text)
		}
		if item.Object == nil {
			return nil, fmt.Errorf("the server's answer has no %s", title(info))
		}
		obj, err := runtime.Decode(unstructured.UnstructuredJSONScheme, item.Object.Raw)
		if err != nil {
			return nil, fmt.Errorf("the server's answer: %s: %w", title(info), err)
		}
		if a.DryRunStrategy == cmdutil.DryRunServer {
			c := &change{info: info, after: obj}
			if item.Code != http.StatusCreated {
				if c.before, err = resource.NewHelper(info.Client, info.Mapping).Get(info.Namespace, info.Name); err != nil {
					return nil, fmt.Errorf("%s, which would change: %w", title(info), err)
				}
			}
			changes = append(changes, c)
		}
		if err := info.Refresh(obj, true); err != nil {
			return nil, err
		}
		upstream.WarnIfDeleting(info.Object, a.ErrOut)
		if a.clientSide(obj) {
			fmt.Fprintf(a.ErrOut, "Warning: %s was applied without --server-side before, and fields of then stay when they leave the file: `pintle apply --server-side` makes them those of the file.\n", at(info))
		}
	}
	return changes, nil
}

// lastApplied is what the manager of a client-side apply has.
var lastApplied = fieldpath.NewSet(fieldpath.MakePathOrDie("metadata", "annotations", corev1.LastAppliedConfigAnnotation))

// clientSide tells whether client-side apply has fields of an object. kubectl moves
// them to the new manager by further writes, which no batch can have beside the first.
func (a *atomic) clientSide(obj runtime.Object) bool {
	m, err := meta.Accessor(obj)
	return err == nil && len(csaupgrade.FindFieldsOwners(m.GetManagedFields(), metav1.ManagedFieldsOperationUpdate, lastApplied)) > 0
}

// change is an object before and after; before is nil if it is new. It is a
// diff.Object.
type change struct {
	info          *resource.Info
	before, after runtime.Object
}

func (c *change) operation() string {
	switch {
	case c.before == nil:
		return "created"
	case reflect.DeepEqual(plain(c.before), plain(c.after)):
		return "unchanged"
	}
	return "configured"
}

// plain is an object without what is kept of who has its fields. The annotation of a
// client-side apply is such, and has all of a Secret in clear.
func plain(o runtime.Object) runtime.Object {
	o = o.DeepCopyObject()
	if m, err := meta.Accessor(o); err == nil {
		m.SetManagedFields(nil)
		notes := m.GetAnnotations()
		if delete(notes, corev1.LastAppliedConfigAnnotation); len(notes) == 0 {
			notes = nil
		}
		m.SetAnnotations(notes)
	}
	return o
}

// Live implements diff.Object.
func (c *change) Live() runtime.Object {
	if c.before == nil {
		return nil
	}
	return plain(c.before)
}

// Merged implements diff.Object.
func (c *change) Merged() (runtime.Object, error) { return plain(c.after), nil }

// Name implements diff.Object, as kubectl diff names them.
func (c *change) Name() string {
	return diff.InfoObject{Info: c.info}.Name()
}

// show prints what would change as kubectl diff does, by the same program.
func show(changes []*change, streams genericiooptions.IOStreams) error {
	if len(changes) == 0 {
		return nil
	}
	d, err := diff.NewDiffer("LIVE", "MERGED")
	if err != nil {
		return err
	}
	defer d.TearDown()
	for _, c := range changes {
		if err := d.Diff(c, diff.Printer{}, false, false); err != nil {
			return fmt.Errorf("%s: %w", title(c.info), err)
		}
	}
	err = d.Run(&diff.DiffProgram{Exec: exec.New(), IOStreams: streams})
	if e, ok := errors.AsType[exec.ExitError](err); ok && e.ExitStatus() == 1 {
		return nil // it found differences
	}
	if err != nil {
		fmt.Fprintf(streams.ErrOut, "Warning: what would change cannot be shown: %v (install diff, or name another program in $KUBECTL_EXTERNAL_DIFF)\n", err)
	}
	return nil
}

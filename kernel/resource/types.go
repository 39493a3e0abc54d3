package resource

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
)

// Types makes, names, defaults and converts objects. *runtime.Scheme is one,
// for kinds that are Go types. A definition whose objects are unstructured
// brings its own, which has to know every version that was ever stored, for
// New, Recognizes and ConvertToVersion, and its list kind, for New. An empty
// object of New is a pointer that nobody else has.
type Types interface {
	runtime.ObjectCreater
	runtime.ObjectTyper
	runtime.ObjectDefaulter
	runtime.ObjectConvertor
}

// Pruner is what Types may be besides: it knows which fields a version has.
type Pruner interface {
	// Prune drops, in place, what the object's version does not have, and
	// returns a complaint for each, as strict field validation words it.
	// It is called before defaults are set, for what clients send and for what
	// is read from the store. An error says that the object is none: its metadata
	// is not metadata, for example. Of what is stored it drops such parts.
	Prune(obj runtime.Object, stored bool) (unknown []error, err error)
}

// Deferrer is what Types may be besides: their conversions ask somebody outside of
// the process, and may fail.
type Deferrer interface {
	// Defers tells that objects are kept in the version in which they were stored,
	// and converted for whoever wants them in another: reading what is stored must
	// wait for nobody. The objects say themselves in which version they are.
	Defers() bool
	// ConvertAll is ConvertToVersion of objects that are asked about together, in as few
	// questions as may be. It ends with ctx. What it returns, in the order of in, may share
	// memory with that.
	ConvertAll(ctx context.Context, in []runtime.Object, gv schema.GroupVersion) ([]runtime.Object, error)
	// FieldsIn are the selectable fields of objects as clients of a version see them, in
	// the order of in.
	FieldsIn(ctx context.Context, in []runtime.Object, gv schema.GroupVersion) ([]fields.Set, error)
}

// Defers tells whether an object of these types may be of another version than the
// hub's, although it is held as if it were not.
func Defers(t Types) bool {
	d, ok := t.(Deferrer)
	return ok && d.Defers()
}

// OutsiderError is an answer to a client for what a program of the cluster's people
// did: a webhook that cannot be reached, or that answers nonsense. The client is told
// as of any failure; the server's log is not, for which it would be one of its own.
type OutsiderError struct{ *apierrors.StatusError }

// Unwrap is the answer.
func (e *OutsiderError) Unwrap() error { return e.StatusError }

// OfOutsider makes an OutsiderError of an answer to a client; another error stays as
// it is.
func OfOutsider(err error) error {
	var known *OutsiderError
	var answer *apierrors.StatusError
	if errors.As(err, &known) || !errors.As(err, &answer) {
		return err
	}
	return &OutsiderError{answer}
}

// IsOutsiders tells that an error is the fault of an outsider.
func IsOutsiders(err error) bool {
	_, ok := errors.AsType[*OutsiderError](err)
	return ok
}

// Columns prints objects of the hub version as `kubectl get` shows them. list
// is a hub list or a single hub object. A nil table stands for the columns that
// every object has: name and age.
type Columns func(list runtime.Object, opts metav1.TableOptions) (*metav1.Table, error)

// TypesOf are the types of a definition's objects.
func (t *Table) TypesOf(d *Definition) Types {
	if d.Types != nil {
		return d.Types
	}
	return t.Scheme
}

// ColumnsOf prints a definition's objects for a client of a version; nil means
// name and age.
func (t *Table) ColumnsOf(d *Definition, version string) Columns {
	switch {
	case d.VersionColumns != nil:
		return d.VersionColumns(version)
	case d.Columns != nil || d.Types != nil:
		return d.Columns
	}
	return t.Columns
}

// TypeConverterOf serves server-side apply of a definition's objects; nil when
// nothing is known of their fields.
func (t *Table) TypeConverterOf(d *Definition) managedfields.TypeConverter {
	if d.TypeConverter != nil || d.Types != nil {
		return d.TypeConverter
	}
	return t.TypeConverter
}

// unsafeConvertor spares copies where the types can: *runtime.Scheme.
func unsafeConvertor(t Types) runtime.ObjectConvertor {
	if s, ok := t.(*runtime.Scheme); ok {
		return runtime.UnsafeObjectConvertor(s)
	}
	return t
}

var _ Types = (*runtime.Scheme)(nil)

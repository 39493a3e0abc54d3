package render

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// writeTable answers with objects as `kubectl get` shows them.
func (s *Renderer) writeTable(c *endpoint.Request, code int, a negotiation.Accepted, objs []*watch.Object, lm metav1.ListMeta, list bool) error {
	o, err := TableOptions(c.R)
	if err != nil {
		return err
	}
	t, err := s.MakeTable(c, a.As.Version, objs, o, list)
	if err != nil {
		return err
	}
	t.ListMeta = lm
	response.Record(c.R, t)
	data, err := response.EncodeMeta(t, a)
	if err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	response.WriteBytes(c.W, c.R, code, a.Media, data)
	return nil
}

// MakeTable shows objects as `kubectl get` does; list tells that they are items
// of a list.
func (s *Renderer) MakeTable(c *endpoint.Request, version string, objs []*watch.Object, o metav1.TableOptions, list bool) (*metav1.Table, error) {
	v, err := s.convert(c, c.GVK.GroupVersion(), objs, func(*watch.Object) bool { return false })
	if err != nil {
		return nil, err
	}
	t, err := s.columns(c, objs, v, o, list)
	if err != nil {
		return nil, err
	}
	t.TypeMeta = metav1.TypeMeta{Kind: "Table", APIVersion: metav1.GroupName + "/" + version}
	if o.NoHeaders {
		t.ColumnDefinitions = nil
	}
	if len(t.Rows) != len(objs) {
		return nil, fmt.Errorf("%d rows for %d objects of %s", len(t.Rows), len(objs), c.Def.GroupResource())
	}
	for i := range t.Rows {
		ext := runtime.RawExtension{}
		switch {
		case o.IncludeObject == metav1.IncludeNone && !endsInitialEvents(objs[i]):
		case o.IncludeObject == metav1.IncludeObject:
			ext.Raw, err = s.encode(c.GVK.GroupVersion(), negotiation.JSON, objs[i], v)
		default:
			ext.Raw, err = EncodePartial(version, negotiation.JSON, objs[i])
		}
		if err != nil {
			return nil, named(objs[i], err)
		}
		t.Rows[i].Object = ext
	}
	return t, nil
}

// endsInitialEvents tells of a bookmark that its metadata is what it is for.
func endsInitialEvents(o *watch.Object) bool {
	m, err := meta.Accessor(o.Obj)
	return err == nil && m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}

// columns prints objects as their kind has it, and as any object otherwise.
func (s *Renderer) columns(c *endpoint.Request, objs []*watch.Object, v versions, o metav1.TableOptions, list bool) (*metav1.Table, error) {
	if print := s.Catalog.Snapshot().ColumnsOf(c.Def, c.Version); print != nil {
		if t, err := s.printed(c, print, objs, v, o, list); t != nil || err != nil {
			return t, err
		}
	}
	return defaultTable(objs), nil
}

// printed is what a kind's printer makes of objects; nil: it has nothing to say
// about them.
func (s *Renderer) printed(c *endpoint.Request, print resource.Columns, objs []*watch.Object, v versions, o metav1.TableOptions, list bool) (*metav1.Table, error) {
	if !list && len(objs) == 1 { // of the hub's kind, or a subresource's
		return print(v.of(objs[0]), o)
	}
	hub := c.Def.Hub()
	l, err := s.New(c.Def, hub.GroupVersion().WithKind(listKind(c.Def)))
	if err != nil {
		return nil, nil // a kind without a list type has no printer either
	}
	items := make([]runtime.Object, len(objs))
	for i, o := range objs {
		items[i] = v.of(o)
	}
	if err := meta.SetList(l, items); err != nil {
		return nil, fmt.Errorf("list of %s: %w", c.Def.GroupResource(), err)
	}
	return print(l, o)
}

// defaultTable shows what every object has.
func defaultTable(objs []*watch.Object) *metav1.Table {
	t := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: "Name must be unique within a namespace."},
		{Name: "Created At", Type: "date", Description: "The time at which the server created the object."},
	}}
	for _, o := range objs {
		created := any(nil)
		if m, err := meta.Accessor(o.Obj); err == nil {
			created = m.GetCreationTimestamp().Time.UTC().Format("2006-01-02T15:04:05Z")
		}
		t.Rows = append(t.Rows, metav1.TableRow{Cells: []any{o.Name, created}})
	}
	return t
}

// TableOptions reads what a table's rows shall include.
func TableOptions(r *http.Request) (metav1.TableOptions, error) {
	o := metav1.TableOptions{IncludeObject: metav1.IncludeObjectPolicy(r.URL.Query().Get("includeObject"))}
	switch o.IncludeObject {
	case "", metav1.IncludeNone, metav1.IncludeMetadata, metav1.IncludeObject:
		return o, nil
	}
	return o, apierrors.NewBadRequest("Unable to convert to Table as requested: " +
		field.Invalid(field.NewPath("includeObject"), o.IncludeObject, "must be 'Metadata', 'Object', 'None', or empty").Error())
}

package apiserver

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/watch"
)

// writeTable answers with objects as `kubectl get` shows them.
func (s *Server) writeTable(c *call, code int, a accept, objs []*watch.Object, lm metav1.ListMeta, list bool) error {
	o, err := tableOptions(c.r)
	if err != nil {
		return err
	}
	t, err := s.table(c, a.as.Version, objs, o, list)
	if err != nil {
		return err
	}
	t.ListMeta = lm
	data, err := encodeMeta(t, a)
	if err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	writeBytes(c.w, c.r, code, a.media, data)
	return nil
}

func (s *Server) table(c *call, version string, objs []*watch.Object, o metav1.TableOptions, list bool) (*metav1.Table, error) {
	t, err := s.columns(c, objs, o, list)
	if err != nil {
		return nil, err
	}
	t.TypeMeta = metav1.TypeMeta{Kind: "Table", APIVersion: metav1.GroupName + "/" + version}
	if o.NoHeaders {
		t.ColumnDefinitions = nil
	}
	if t.Rows == nil {
		t.Rows = []metav1.TableRow{}
	}
	if len(t.Rows) != len(objs) {
		return nil, fmt.Errorf("%d rows for %d objects of %s", len(t.Rows), len(objs), c.def.GroupResource())
	}
	for i := range t.Rows {
		ext := runtime.RawExtension{}
		switch o.IncludeObject {
		case metav1.IncludeNone:
		case metav1.IncludeObject:
			ext.Raw, err = s.encodeObject(c.gvk.GroupVersion(), mediaJSON, objs[i])
		default:
			ext.Raw, err = encodePartial(version, mediaJSON, objs[i])
		}
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", objs[i].Key, err)
		}
		t.Rows[i].Object = ext
	}
	return t, nil
}

// columns prints objects by the table's printer, or by name and age.
func (s *Server) columns(c *call, objs []*watch.Object, o metav1.TableOptions, list bool) (*metav1.Table, error) {
	if s.Table.Columns == nil {
		return defaultTable(objs), nil
	}
	if !list && len(objs) == 1 { // of the hub's kind, or a subresource's
		return s.Table.Columns(objs[0].Obj, o)
	}
	hub := c.def.Hub()
	kind := c.def.ListKind
	if kind == "" {
		kind = hub.Kind + "List"
	}
	l, err := s.Table.Scheme.New(schema.GroupVersionKind{Group: hub.Group, Version: hub.Version, Kind: kind})
	if err != nil {
		return defaultTable(objs), nil // a kind without a list type has no printer either
	}
	items := make([]runtime.Object, len(objs))
	for i, o := range objs {
		items[i] = o.Obj
	}
	if err := meta.SetList(l, items); err != nil {
		return nil, fmt.Errorf("list of %s: %w", c.def.GroupResource(), err)
	}
	return s.Table.Columns(l, o)
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

// Package render answers with objects of the API: as their own kind, as metadata,
// or as the rows of a table. An object is encoded at most once per revision,
// version and media type; lists are concatenations of these bytes.
package render

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Codec is what rendering needs of resource.Codec.
type Codec interface {
	// Encode writes an object in a version as a media type.
	Encode(obj runtime.Object, gv schema.GroupVersion, mediaType string) ([]byte, error)
}

// Renderer renders the kinds of a catalog. It is immutable and safe for concurrent
// use.
type Renderer struct {
	Catalog *resource.Catalog
	Codec   Codec
}

// New makes an empty object of a definition's kind, or of its list's.
func (s *Renderer) New(d *resource.Definition, gvk schema.GroupVersionKind) (runtime.Object, error) {
	return s.Catalog.Snapshot().TypesOf(d).New(gvk)
}

// Offer is what a path can answer with. No router stands before custom kinds,
// upstream.
func (s *Renderer) Offer(c *endpoint.Request) negotiation.Offer {
	o := negotiation.Objects(!(c.Def.JSONStored && c.GVK.Kind == c.Def.Kind), c.HasTable())
	switch {
	case c.Def.Types != nil:
	case endpoint.Info(c.R).Verb == "list" || endpoint.Info(c.R).Verb == "watch":
		o.Routed = negotiation.Listed
	default:
		o.Routed = negotiation.MediaTypes
	}
	return o
}

// EncodePartial returns an object's metadata, encoded once as well.
func EncodePartial(version, media string, o *watch.Object) ([]byte, error) {
	return o.Encoding(version, media+";as=PartialObjectMetadata", func(obj runtime.Object) ([]byte, error) {
		p, err := partial(obj, version)
		if err != nil {
			return nil, err
		}
		b, err := response.EncodeMeta(p, negotiation.Accepted{Media: media})
		return Trimmed(media, b), err
	})
}

func encodePartials(version, media string, objs []*watch.Object) ([][]byte, error) {
	out := make([][]byte, 0, len(objs))
	for _, o := range objs {
		b, err := EncodePartial(version, media, o)
		if err != nil {
			return nil, named(o, err)
		}
		out = append(out, b)
	}
	return out, nil
}

func partial(obj runtime.Object, version string) (*metav1.PartialObjectMetadata, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	p := meta.AsPartialObjectMetadata(m)
	p.TypeMeta = metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: metav1.GroupName + "/" + version}
	return p, nil
}

// cached is the media type in which an answer's parts are kept: YAML is made
// from JSON, for the few who ask.
func cached(media string) string {
	if media == negotiation.YAML {
		return negotiation.JSON
	}
	return media
}

// Trimmed drops the newline that encoders put behind JSON.
func Trimmed(media string, b []byte) []byte {
	if media == negotiation.Protobuf {
		return b
	}
	return bytes.TrimRight(b, "\n")
}

// WriteObject answers with one stored object.
func (s *Renderer) WriteObject(c *endpoint.Request, code int, a negotiation.Accepted, o *watch.Object) error {
	switch a.As.Kind {
	case "Table":
		return s.writeTable(c, code, a, []*watch.Object{o}, atRevision(o.Revision), false)
	case "PartialObjectMetadata", "":
	default:
		return negotiation.Untransformable(a.As.Kind, "not a list", s.goType(c.Def, o.Obj, c.Def.Kind))
	}
	data, err := s.encodeAs(c, a, cached(a.Media), o)
	if err != nil {
		return err
	}
	if q := audit.From(c.R.Context()); q.WantsResponse() {
		q.Response(s.encodeAs(c, a, negotiation.JSON, o))
	}
	return finish(c, code, a, response.Of(data))
}

// encodeAs returns an object's shared bytes as its own kind or as metadata.
func (s *Renderer) encodeAs(c *endpoint.Request, a negotiation.Accepted, media string, o *watch.Object) ([]byte, error) {
	if a.As.Kind == "" {
		data, err := s.Objects(c, c.GV(), media, o)
		if err != nil {
			return nil, err
		}
		return data[0], nil
	}
	data, err := EncodePartial(a.As.Version, media, o)
	if err != nil {
		return nil, named(o, err)
	}
	return data, nil
}

// writeNothing answers with the metadata of no objects. As upstream's, its items are
// null: nothing was ever added to them.
func (s *Renderer) writeNothing(c *endpoint.Request, a negotiation.Accepted, lm metav1.ListMeta) error {
	l := &metav1.PartialObjectMetadataList{ListMeta: lm, TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: metav1.GroupName + "/" + a.As.Version}}
	response.Record(c.R, l)
	data, err := response.EncodeMeta(l, a)
	if err != nil {
		return fmt.Errorf("encode %s: %w", l.Kind, err)
	}
	response.WriteBytes(c.W, c.R, http.StatusOK, a.Media, data)
	return nil
}

// goType is what upstream calls the Go type of an object or list of a kind: the
// internal version's, where there is one.
func (s *Renderer) goType(d *resource.Definition, obj runtime.Object, kind string) string {
	t := s.Catalog.Snapshot()
	if internal, err := t.Scheme.New(schema.GroupVersionKind{Group: d.Group, Version: runtime.APIVersionInternal, Kind: kind}); err == nil && d.Types == nil {
		obj = internal
	}
	if obj == nil {
		if l, err := t.TypesOf(d).New(schema.GroupVersionKind{Group: d.Group, Version: d.Hub().Version, Kind: kind}); err == nil {
			obj = l
		}
	}
	return fmt.Sprintf("%T", obj)
}

// named says which object could not be encoded.
func named(o *watch.Object, err error) error { return fmt.Errorf("encode %s: %w", o.Key, err) }

// finish turns ready pieces into what was asked for and writes them.
func finish(c *endpoint.Request, code int, a negotiation.Accepted, b *response.Body) error {
	switch {
	case a.Media == negotiation.YAML:
		data, err := yaml.JSONToYAML(b.Bytes())
		if err != nil {
			return fmt.Errorf("encode yaml: %w", err)
		}
		b = response.Of(data)
	case a.Media == negotiation.JSON && a.Pretty:
		data := response.Indent(b.Bytes())
		b = response.Of(data)
	case a.Media == negotiation.JSON:
		b.Add([]byte{'\n'})
	}
	response.WriteBody(c.W, c.R, code, a.Media, b)
	return nil
}

// WriteAnswer answers with an object that is not stored: a Status, a Scale, a
// review.
func (s *Renderer) WriteAnswer(c *endpoint.Request, code int, a negotiation.Accepted, obj runtime.Object) error {
	if st, ok := obj.(*metav1.Status); ok {
		cp := *st
		cp.Kind, cp.APIVersion = "Status", "v1"
		if cp.Code != 0 {
			code = int(cp.Code)
		}
		response.Record(c.R, &cp)
		data, err := response.EncodeMeta(&cp, a)
		if err != nil {
			return err
		}
		response.WriteBytes(c.W, c.R, code, a.Media, data)
		return nil
	}
	if a.As.Kind == "Table" {
		o := &watch.Object{Obj: obj}
		lm := metav1.ListMeta{}
		if m, err := meta.Accessor(obj); err == nil {
			o.Name, o.Namespace = m.GetName(), m.GetNamespace()
			lm.ResourceVersion = m.GetResourceVersion()
		}
		return s.writeTable(c, code, a, []*watch.Object{o}, lm, false)
	}
	kinds, _, err := s.Catalog.Snapshot().Scheme.ObjectKinds(obj)
	if err != nil {
		return err
	}
	gv := kinds[0].GroupVersion()
	if a.As.Empty() {
		data, err := s.Codec.Encode(obj, gv, cached(a.Media))
		if err != nil {
			return fmt.Errorf("encode %s: %w", kinds[0], err)
		}
		data = Trimmed(cached(a.Media), data)
		if q := audit.From(c.R.Context()); q.WantsResponse() {
			q.Response(s.Codec.Encode(obj, gv, negotiation.JSON))
		}
		return finish(c, code, a, response.Of(data))
	}
	if a.As.Kind != "PartialObjectMetadata" {
		return negotiation.Untransformable(a.As.Kind, "not a list", fmt.Sprintf("%T", obj))
	}
	p, err := partial(obj, a.As.Version)
	if err != nil {
		return err
	}
	response.Record(c.R, p)
	data, err := response.EncodeMeta(p, a)
	if err != nil {
		return err
	}
	response.WriteBytes(c.W, c.R, code, a.Media, data)
	return nil
}

// atRevision is the metadata of what is of a revision; of what was not stored, a
// dry run's, it has none.
func atRevision(rev int64) (lm metav1.ListMeta) {
	if rev > 0 {
		lm.ResourceVersion = strconv.FormatInt(rev, 10)
	}
	return lm
}

// WriteList answers with a list made of its items' shared bytes.
func (s *Renderer) WriteList(c *endpoint.Request, a negotiation.Accepted, l *registry.List) error {
	lm := atRevision(l.Revision)
	lm.Continue, lm.RemainingItemCount = l.Continue, l.Remaining
	if a.As.Kind == "Table" {
		return s.writeTable(c, http.StatusOK, a, l.Items, lm, true)
	}
	if a.As.Kind == "PartialObjectMetadata" {
		return negotiation.Untransformable(a.As.Kind, "a list", s.goType(c.Def, nil, listKind(c.Def)))
	}
	if !a.As.Empty() && len(l.Items) == 0 {
		return s.writeNothing(c, a, lm)
	}
	b, err := s.list(c, a, cached(a.Media), l, lm)
	if err != nil {
		return err
	}
	if q := audit.From(c.R.Context()); q.WantsResponse() {
		if a.Media == negotiation.Protobuf {
			q.Response(bytesOf(s.list(c, a, negotiation.JSON, l, lm)))
		} else {
			q.Response(b.Bytes(), nil)
		}
	}
	return finish(c, http.StatusOK, a, b)
}

func listKind(d *resource.Definition) string { return cmp.Or(d.ListKind, d.Kind+"List") }

func bytesOf(b *response.Body, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// list puts the shared bytes of objects together, as their own kind or as metadata.
func (s *Renderer) list(c *endpoint.Request, a negotiation.Accepted, media string, l *registry.List, lm metav1.ListMeta) (*response.Body, error) {
	list, item := c.GV().WithKind(listKind(c.Def)), c.GV().WithKind(c.Def.Kind)
	encode := func() ([][]byte, error) { return s.Objects(c, c.GV(), media, l.Items...) }
	if !a.As.Empty() {
		list = schema.GroupVersionKind{Group: metav1.GroupName, Version: a.As.Version, Kind: "PartialObjectMetadataList"}
		item = schema.GroupVersionKind{} // as upstream's, each says that it is metadata
		encode = func() ([][]byte, error) { return encodePartials(a.As.Version, media, l.Items) }
	}
	items, err := encode()
	if err != nil {
		return nil, err
	}
	b := &response.Body{}
	if err := resource.WriteList(b, media, list, item, lm, items); err != nil {
		return nil, fmt.Errorf("encode %s: %w", list, err)
	}
	return b, nil
}

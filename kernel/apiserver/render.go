package apiserver

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

func accessor(obj runtime.Object) (metav1.Object, error) { return meta.Accessor(obj) }

// encodeObject returns an object's shared bytes in the request's version. The
// group counts, too: an Event is of two groups with a version v1 each.
func (s *Server) encodeObject(gv schema.GroupVersion, media string, o *watch.Object) ([]byte, error) {
	return o.Encoding(gv.String(), media, func(obj runtime.Object) ([]byte, error) {
		b, err := s.Codec.Encode(obj, gv, media)
		return trimmed(media, b), err
	})
}

// encodePartial returns an object's metadata, encoded once as well.
func encodePartial(version, media string, o *watch.Object) ([]byte, error) {
	return o.Encoding(version, media+";as=PartialObjectMetadata", func(obj runtime.Object) ([]byte, error) {
		p, err := partial(obj, version)
		if err != nil {
			return nil, err
		}
		b, err := encodeMeta(p, accept{media: media})
		return trimmed(media, b), err
	})
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
	if media == mediaYAML {
		return mediaJSON
	}
	return media
}

// trimmed drops the newline that encoders put behind JSON.
func trimmed(media string, b []byte) []byte {
	if media == mediaProtobuf {
		return b
	}
	return bytes.TrimRight(b, "\n")
}

// writeObject answers with one stored object.
func (s *Server) writeObject(c *call, code int, a accept, o *watch.Object) error {
	var data []byte
	var err error
	switch a.as.Kind {
	case "Table":
		return s.writeTable(c, code, a, []*watch.Object{o}, metav1.ListMeta{ResourceVersion: strconv.FormatInt(o.Revision, 10)}, false)
	case "PartialObjectMetadata":
		data, err = encodePartial(a.as.Version, cached(a.media), o)
	case "":
		data, err = s.encodeObject(c.gv(), cached(a.media), o)
	default:
		return fmt.Errorf("a single object cannot be sent as %s", a.as.Kind)
	}
	if err != nil {
		return fmt.Errorf("encode %s: %w", o.Key, err)
	}
	return finish(c, code, a, &body{pieces: [][]byte{data}, size: len(data)})
}

// finish turns ready pieces into what was asked for and writes them.
func finish(c *call, code int, a accept, b *body) error {
	switch {
	case a.media == mediaYAML:
		data, err := yaml.JSONToYAML(bytes.Join(b.pieces, nil))
		if err != nil {
			return fmt.Errorf("encode yaml: %w", err)
		}
		b = &body{pieces: [][]byte{data}, size: len(data)}
	case a.media == mediaJSON && a.pretty:
		data := indent(bytes.Join(b.pieces, nil))
		b = &body{pieces: [][]byte{data}, size: len(data)}
	case a.media == mediaJSON:
		b.add([]byte{'\n'})
	}
	writeBody(c.w, c.r, code, a.media, b)
	return nil
}

// writeAnswer answers with an object that is not stored: a Status, a Scale, a
// review.
func (s *Server) writeAnswer(c *call, code int, a accept, obj runtime.Object) error {
	if st, ok := obj.(*metav1.Status); ok {
		cp := *st
		cp.Kind, cp.APIVersion = "Status", "v1"
		if cp.Code != 0 {
			code = int(cp.Code)
		}
		data, err := encodeMeta(&cp, a)
		if err != nil {
			return err
		}
		writeBytes(c.w, c.r, code, a.media, data)
		return nil
	}
	if a.as.Kind == "Table" {
		o := &watch.Object{Obj: obj}
		lm := metav1.ListMeta{}
		if m, err := meta.Accessor(obj); err == nil {
			o.Name, o.Namespace = m.GetName(), m.GetNamespace()
			lm.ResourceVersion = m.GetResourceVersion()
		}
		return s.writeTable(c, code, a, []*watch.Object{o}, lm, false)
	}
	kinds, _, err := s.Table.Scheme.ObjectKinds(obj)
	if err != nil {
		return err
	}
	gv := kinds[0].GroupVersion()
	if a.as.Empty() {
		data, err := s.Codec.Encode(obj, gv, cached(a.media))
		if err != nil {
			return fmt.Errorf("encode %s: %w", kinds[0], err)
		}
		data = trimmed(cached(a.media), data)
		return finish(c, code, a, &body{pieces: [][]byte{data}, size: len(data)})
	}
	p, err := partial(obj, a.as.Version)
	if err != nil {
		return err
	}
	data, err := encodeMeta(p, a)
	if err != nil {
		return err
	}
	writeBytes(c.w, c.r, code, a.media, data)
	return nil
}

// writeList answers with a list made of its items' shared bytes.
func (s *Server) writeList(c *call, a accept, l *registry.List) error {
	lm := metav1.ListMeta{Continue: l.Continue, RemainingItemCount: l.Remaining}
	if l.Revision > 0 {
		lm.ResourceVersion = strconv.FormatInt(l.Revision, 10)
	}
	if a.as.Kind == "Table" {
		return s.writeTable(c, http.StatusOK, a, l.Items, lm, true)
	}
	list, item := c.gv().WithKind(c.def.ListKind), c.gv().WithKind(c.def.Kind)
	if list.Kind == "" {
		list.Kind = c.def.Kind + "List"
	}
	encode := func(o *watch.Object) ([]byte, error) { return s.encodeObject(c.gv(), cached(a.media), o) }
	if !a.as.Empty() {
		item = schema.GroupVersionKind{Group: metav1.GroupName, Version: a.as.Version, Kind: "PartialObjectMetadata"}
		list = item.GroupVersion().WithKind("PartialObjectMetadataList")
		encode = func(o *watch.Object) ([]byte, error) { return encodePartial(a.as.Version, cached(a.media), o) }
	}
	items := make([][]byte, 0, len(l.Items))
	for _, o := range l.Items {
		b, err := encode(o)
		if err != nil {
			return fmt.Errorf("encode %s: %w", o.Key, err)
		}
		items = append(items, b)
	}
	b := &body{}
	if err := resource.WriteList(b, cached(a.media), list, item, lm, items); err != nil {
		return fmt.Errorf("encode %s: %w", list, err)
	}
	return finish(c, http.StatusOK, a, b)
}

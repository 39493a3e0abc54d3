package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
)

// v3Documents are those of one snapshot of the catalog.
type v3Documents struct {
	of        *endpoint.Snapshot
	byVersion map[*endpoint.GroupVersion]*named // nil: it cannot be described
	byPath    map[string]*named                 // below /openapi/v3: "api/v1", "apis/apps/v1"
	index     v3Index
}

// v3Index is what /openapi/v3 answers.
type v3Index struct {
	json []byte
	etag string // of json, quoted
}

// mergedIndex is an index, and of what it was made.
type mergedIndex struct {
	v3Index
	docs   *v3Documents
	others map[string]string
}

// currentV3 returns the newest documents. Those of group versions that have not
// changed are taken over.
func (o *Documents) currentV3() (*v3Documents, error) {
	if d := o.v3.Load(); d != nil && d.of == o.catalog.Snapshot() {
		return d, nil
	}
	o.next.Lock()
	defer o.next.Unlock()
	old, now := o.v3.Load(), o.catalog.Snapshot()
	if old == nil {
		old = &v3Documents{}
	} else if old.of == now {
		return old, nil
	}
	next := &v3Documents{of: now, byVersion: map[*endpoint.GroupVersion]*named{}, byPath: map[string]*named{}}
	for _, gv := range versions(now) {
		d, known := old.byVersion[gv]
		if !known {
			d = o.nameV3(gv)
		}
		if next.byVersion[gv] = d; d != nil {
			next.byPath[pathOf(gv.GroupVersion)] = d
		}
	}
	var err error
	if next.index, err = next.indexWith(nil); err != nil {
		return nil, err
	}
	o.v3.Store(next)
	return next, nil
}

// merged is the index of docs with what others have: it is made and hashed anew when
// either has changed.
func (o *Documents) merged(docs *v3Documents, others map[string]string) (v3Index, error) {
	if len(others) == 0 {
		return docs.index, nil
	}
	if m := o.with.Load(); m != nil && m.docs == docs && maps.Equal(m.others, others) {
		return m.v3Index, nil
	}
	index, err := docs.indexWith(others)
	if err != nil {
		return v3Index{}, err
	}
	o.with.Store(&mergedIndex{index, docs, others})
	return index, nil
}

// indexWith is the index with documents that others have: by path, and their hashes.
func (d *v3Documents) indexWith(others map[string]string) (v3Index, error) {
	type entry struct {
		URL string `json:"serverRelativeURL"`
	}
	all := struct {
		Paths map[string]entry `json:"paths"`
	}{map[string]entry{}}
	add := func(path, hash string) {
		u := url.URL{Path: "/openapi/v3/" + path}
		if hash != "" {
			u.RawQuery = url.Values{"hash": {hash}}.Encode()
		}
		all.Paths[path] = entry{u.String()}
	}
	for path, doc := range d.byPath {
		add(path, doc.etag)
	}
	for path, hash := range others {
		add(path, hash)
	}
	index, err := json.Marshal(all)
	if err != nil {
		return v3Index{}, err
	}
	return v3Index{index, fmt.Sprintf("%q", hash(index))}, nil
}

// nameV3 makes the document of a group version, or prepares to. It is nil when the
// document had to be made and could not: others are served without it.
func (o *Documents) nameV3(gv *endpoint.GroupVersion) *named {
	get := sync.OnceValues(func() (d *document, err error) {
		err = o.build(func(b *builder) error {
			data, err := b.v3(gv)
			if err != nil {
				return err
			}
			d, err = newDocument(data, toProtoV3)
			return err
		})
		if err != nil {
			o.log.Warn("a group version cannot be described", "document", "/openapi/v3", "groupVersion", gv.String(), "error", err)
		}
		return d, err
	})
	if name, ok := o.nameOf("v3", gv); ok {
		return &named{name, get}
	}
	d, err := get()
	if err != nil {
		return nil
	}
	data, err := decompress(d.json)
	if err != nil {
		return nil
	}
	return &named{hash(data), get}
}

func versions(s *endpoint.Snapshot) []*endpoint.GroupVersion {
	var out []*endpoint.GroupVersion
	for _, g := range s.Groups() {
		out = append(out, g.Versions...)
	}
	return out
}

// pathOf is a group version's path below the root: "api/v1", "apis/apps/v1".
func pathOf(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

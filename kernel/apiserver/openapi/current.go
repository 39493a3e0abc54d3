package openapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
)

// v3Documents are those of one snapshot of the catalog.
type v3Documents struct {
	of        *endpoint.Snapshot
	byVersion map[*endpoint.GroupVersion]*document
	byPath    map[string]*document // below /openapi/v3: "api/v1", "apis/apps/v1"
	index     []byte
}

// currentV3 returns the newest documents. Those of group versions that have not
// changed are taken over.
func (o *Documents) currentV3() (*v3Documents, error) {
	if d := o.v3.Load(); d != nil && d.of == o.catalog.Snapshot() {
		return d, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old, now := o.v3.Load(), o.catalog.Snapshot()
	if old == nil {
		old = &v3Documents{}
	} else if old.of == now {
		return old, nil
	}
	next := &v3Documents{of: now, byVersion: map[*endpoint.GroupVersion]*document{}, byPath: map[string]*document{}}
	b := newBuilder(now.Table, o.version)
	for _, gv := range versions(now) {
		d := old.byVersion[gv]
		if d == nil {
			var err error
			if d, err = b.v3(gv); err != nil {
				return nil, err
			}
		}
		next.byVersion[gv], next.byPath[pathOf(gv.GroupVersion)] = d, d
	}
	type entry struct {
		URL string `json:"serverRelativeURL"`
	}
	index := struct {
		Paths map[string]entry `json:"paths"`
	}{map[string]entry{}}
	for path, d := range next.byPath {
		u := url.URL{Path: "/openapi/v3/" + path, RawQuery: url.Values{"hash": {d.etag}}.Encode()}
		index.Paths[path] = entry{u.String()}
	}
	var err error
	if next.index, err = json.Marshal(index); err != nil {
		return nil, err
	}
	o.v3.Store(next)
	return next, nil
}

// v2Document is the one document of everything: a part for all group versions
// of kinds that are Go types, and one for each of the others.
type v2Document struct {
	*document
	of    *endpoint.Snapshot
	base  []*endpoint.GroupVersion // what the first part is made of
	parts map[*endpoint.GroupVersion]*document
	first *document
}

// currentV2 returns the newest document. Parts that have not changed are taken
// over.
func (o *Documents) currentV2() (*document, error) {
	if d := o.v2.Load(); d != nil && d.of == o.catalog.Snapshot() {
		return d.document, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old, now := o.v2.Load(), o.catalog.Snapshot()
	if old == nil {
		old = &v2Document{}
	} else if old.of == now {
		return old.document, nil
	}
	next := &v2Document{of: now, parts: map[*endpoint.GroupVersion]*document{}}
	b := newBuilder(now.Table, o.version)
	var custom []*document
	for _, gv := range versions(now) {
		if !gv.Custom() {
			next.base = append(next.base, gv)
			continue
		}
		part := old.parts[gv]
		if part == nil {
			var err error
			if part, err = b.v2([]*endpoint.GroupVersion{gv}); err != nil {
				return nil, err
			}
		}
		next.parts[gv], custom = part, append(custom, part)
	}
	if next.first = old.first; next.first == nil || !slices.Equal(old.base, next.base) {
		var err error
		if next.first, err = b.v2(next.base); err != nil {
			return nil, err
		}
	}
	var err error
	if next.document, err = joinV2(next.first, custom); err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	o.v2.Store(next)
	return next.document, nil
}

// joinV2 adds the paths and models of the others to the first document.
func joinV2(first *document, others []*document) (*document, error) {
	if len(others) == 0 {
		return first, nil
	}
	var all map[string]json.RawMessage
	joined := map[string]map[string]json.RawMessage{}
	for i, d := range append([]*document{first}, others...) {
		plain, err := decompress(d.json)
		if err != nil {
			return nil, err
		}
		var top map[string]json.RawMessage
		if err := json.Unmarshal(plain, &top); err != nil {
			return nil, err
		}
		if i == 0 {
			all = top
		}
		for _, section := range []string{"paths", "definitions"} {
			var entries map[string]json.RawMessage
			if top[section] == nil {
				continue
			}
			if err := json.Unmarshal(top[section], &entries); err != nil {
				return nil, err
			}
			if joined[section] == nil {
				joined[section] = map[string]json.RawMessage{}
			}
			for name, e := range entries {
				if _, ok := joined[section][name]; !ok {
					joined[section][name] = e
				}
			}
		}
	}
	for section, entries := range joined {
		raw, err := json.Marshal(entries)
		if err != nil {
			return nil, err
		}
		all[section] = raw
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return newDocument(data, toProtoV2)
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

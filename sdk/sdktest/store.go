package sdktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

// Store is a small store of objects for controllers under test. [Store.Client]
// is what Reconcile takes.
//
// It knows create, update, status, merge patch, delete, conflicts by
// resourceVersion, and lists by namespace, owner and labels given as "a=b".
// A list of all resources is of those that have objects.
// An object with finalizers that is deleted gets a deletionTimestamp, and goes
// with the write that removes the last of them.
// An object with spec.replicas has a scale, whose resource may be named by a kind.
// It does not validate, set defaults, collect garbage or keep fields of apply
// apart.
type Store struct {
	objects  map[string]map[string]any // by resource/namespace/name
	revision int

	// Notes are the events recorded, as "name reason: message".
	Notes []string
	// Forbidden are resources ("v1/pods") that may not be read, as when the Plugin's
	// permissions lack them; "apps/v1/deployments/scale" may neither be read nor written.
	Forbidden []string
	// Served answers what is fetched, by a value that is encoded as JSON; nil: nobody
	// serves anything.
	Served func(client.FetchOptions) (any, error)
	// Posted answers what is posted to a subresource ("v1/serviceaccounts", "token"), of an
	// object that there is, by a value that is encoded as JSON; nil: no resource has one.
	Posted func(resource, subresource string, body []byte) (any, error)
	// Clock is what its clients' Now answers; nil: the real time.
	Clock func() time.Time
}

// NewStore makes a store that holds objects.
func NewStore(objects ...client.Object) (*Store, error) {
	s := &Store{objects: map[string]map[string]any{}}
	c := s.Client()
	for _, o := range objects {
		if err := c.Create(o); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Client is a client of the store.
func (s *Store) Client() client.Client { return remote.NewClientAt(s.call, s.now) }

func (s *Store) now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

// Keys are the objects held, as "resource/namespace/name", sorted.
func (s *Store) Keys() []string {
	out := make([]string, 0, len(s.objects))
	for k := range s.objects {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func key(resource, namespace, name string) string { return resource + "/" + namespace + "/" + name }

func (s *Store) may(resource string) error {
	if slices.Contains(s.Forbidden, resource) {
		return wire.Errorf(wire.KindForbidden, "%s may not be read", resource)
	}
	return nil
}

// call serves a client as a kernel would.
func (s *Store) call(op wire.HostOp, req []byte) ([]byte, error) {
	r := wire.NewReader(req)
	switch op {
	case wire.HostGet:
		q := r.GetRequest()
		if err := s.may(q.Resource); err != nil {
			return nil, err
		}
		o, err := s.get(q.Resource, q.Namespace, q.Name)
		if err != nil {
			return nil, err
		}
		return encode(o, q.Only)
	case wire.HostList:
		q := r.ListRequest()
		if err := s.may(q.Resource); err != nil {
			return nil, err
		}
		return s.list(q)
	case wire.HostWrite:
		return s.write(r.WriteRequest())
	case wire.HostPatch:
		return s.patch(r.PatchRequest())
	case wire.HostDelete:
		return nil, s.delete(r.DeleteRequest())
	case wire.HostBatch:
		return s.batch(r.BatchRequest())
	case wire.HostSubresource:
		q := r.SubresourceRequest()
		o, err := s.scale(q.Resource, q.Subresource, q.Namespace, q.Name)
		if err != nil {
			return nil, err
		}
		return encode(scaleOf(o), q.Only)
	case wire.HostFetch:
		return s.fetch(r.FetchRequest())
	case wire.HostResource:
		return wire.AppendString(nil, s.resourceOf(r.Str())), nil
	case wire.HostEvent:
		q := r.EventRequest()
		s.Notes = append(s.Notes, fmt.Sprintf("%s %s: %s", q.Name, q.Reason, q.Message))
		return nil, nil
	}
	return nil, wire.Errorf(wire.KindUnsupported, "host operation %d", op)
}

func (s *Store) get(resource, namespace, name string) (map[string]any, error) {
	if o := s.objects[key(resource, namespace, name)]; o != nil {
		return o, nil
	}
	return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", resource, name)
}

// encoder makes the records that objects are answered as.
var encoder = record.NewEncoder(nil)

func encode(o map[string]any, only string) ([]byte, error) {
	f, err := record.ParseFields(only)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	return encoder.Plan(f).Append(nil, o)
}

func text(m map[string]any, field string) string {
	v, _ := m[field].(string)
	return v
}

func metadata(o map[string]any) map[string]any {
	m, ok := o["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		o["metadata"] = m
	}
	return m
}

// put stores an object at a new revision.
func (s *Store) put(resource string, o map[string]any, only string) ([]byte, error) {
	s.revision++
	m := metadata(o)
	if text(m, "name") == "" && text(m, "generateName") != "" {
		m["name"] = fmt.Sprintf("%s%05d", text(m, "generateName"), s.revision)
	}
	if text(m, "name") == "" {
		return nil, wire.Errorf(wire.KindInvalid, "%s: metadata.name: Required value", resource)
	}
	if text(m, "uid") == "" {
		m["uid"] = fmt.Sprintf("uid-%d", s.revision)
	}
	m["resourceVersion"] = fmt.Sprint(s.revision)
	s.objects[key(resource, text(m, "namespace"), text(m, "name"))] = o
	return encode(o, only)
}

func (s *Store) write(q wire.WriteRequest) ([]byte, error) {
	var o map[string]any
	if err := json.Unmarshal(q.Object, &o); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	if q.Subresource == scale {
		return s.writeScale(q, o)
	}
	m := metadata(o)
	old := s.objects[key(q.Resource, text(m, "namespace"), text(m, "name"))]
	switch {
	case q.Verb == "create" && q.Subresource != "":
		return s.post(q, old, text(m, "name"))
	case q.Verb == "create" && old != nil:
		return nil, wire.Errorf(wire.KindAlreadyExists, "%s %q already exists", q.Resource, text(m, "name"))
	case q.Verb == "update" && old == nil:
		return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", q.Resource, text(m, "name"))
	case q.Verb == "update" && isOther(m, metadata(old)):
		return nil, wire.Errorf(wire.KindConflict, "%s %q has changed", q.Resource, text(m, "name"))
	case q.Verb == "update" && q.Subresource == "status":
		next := merge(map[string]any{}, old)
		next["status"] = o["status"]
		o = next
	case q.Verb == "update":
		m["uid"] = metadata(old)["uid"]
		o["status"] = old["status"]
	case q.Verb == "apply" && old != nil:
		o = merge(merge(map[string]any{}, old), o)
	}
	return s.replace(q.Resource, old, o, q.Only)
}

// isOther tells that what is written names another version than the stored one, or another
// object of the name.
func isOther(written, stored map[string]any) bool {
	for _, field := range []string{"resourceVersion", "uid"} {
		if want := text(written, field); want != "" && want != text(stored, field) {
			return true
		}
	}
	return false
}

// merge applies a JSON merge patch.
func merge(to, patch map[string]any) map[string]any {
	for k, v := range patch {
		switch x := v.(type) {
		case nil:
			delete(to, k)
		case map[string]any:
			sub, _ := to[k].(map[string]any)
			to[k] = merge(merge(map[string]any{}, sub), x)
		default:
			to[k] = v
		}
	}
	return to
}

func (s *Store) patch(q wire.PatchRequest) ([]byte, error) {
	old, err := s.get(q.Resource, q.Namespace, q.Name)
	if err != nil {
		return nil, err
	}
	if q.Type == string(client.JSONPatch) {
		return nil, wire.Errorf(wire.KindUnsupported, "this store takes merge patches only")
	}
	var p map[string]any
	if err := json.Unmarshal(q.Data, &p); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	if m, ok := p["metadata"].(map[string]any); ok && isOther(m, metadata(old)) {
		return nil, wire.Errorf(wire.KindConflict, "%s %q has changed", q.Resource, q.Name)
	}
	return s.replace(q.Resource, old, merge(merge(map[string]any{}, old), p), q.Only)
}

// replace stores an object in place of old, which may be nil. One that is being
// deleted goes with its last finalizer.
func (s *Store) replace(resource string, old, o map[string]any, only string) ([]byte, error) {
	m := metadata(o)
	if old == nil {
		return s.put(resource, o, only)
	}
	if at := metadata(old)["deletionTimestamp"]; at != nil {
		m["deletionTimestamp"] = at
	}
	held := finalizers(old) > 0
	out, err := s.put(resource, o, only)
	if err == nil && held && m["deletionTimestamp"] != nil && finalizers(o) == 0 {
		delete(s.objects, key(resource, text(m, "namespace"), text(m, "name")))
	}
	return out, err
}

func finalizers(o map[string]any) int {
	list, _ := metadata(o)["finalizers"].([]any)
	return len(list)
}

func (s *Store) delete(q wire.DeleteRequest) error {
	o, err := s.get(q.Resource, q.Namespace, q.Name)
	if err != nil {
		return err
	}
	m := metadata(o)
	if q.UID != nil && *q.UID != text(m, "uid") || q.ResourceVersion != nil && *q.ResourceVersion != text(m, "resourceVersion") {
		return wire.Errorf(wire.KindConflict, "%s %q is another one", q.Resource, q.Name)
	}
	if finalizers(o) > 0 {
		if m["deletionTimestamp"] != nil {
			return nil
		}
		next := merge(map[string]any{}, o)
		metadata(next)["deletionTimestamp"] = s.now().UTC().Format(time.RFC3339)
		_, err := s.put(q.Resource, next, "")
		return err
	}
	delete(s.objects, key(q.Resource, q.Namespace, q.Name))
	return nil
}

func (s *Store) batch(q wire.BatchRequest) ([]byte, error) {
	out := wire.AppendUint(nil, uint64(len(q.Items)))
	for _, it := range q.Items {
		var body []byte
		var err error
		switch it.Write.Verb {
		case "delete":
			err = s.delete(it.Delete)
		case "patch":
			body, err = s.patch(it.Patch)
		default:
			body, err = s.write(it.Write)
		}
		out = wire.AppendBytes(out, wire.AppendResult(nil, body, err))
	}
	return out, nil
}

// of tells that a key is of a resource, or of any.
func (s *Store) of(key, resource string) bool {
	return resource == wire.AllResources || strings.HasPrefix(key, resource+"/")
}

// partial is an object as a list of all resources shows it. The store takes every
// resource for one that is collected.
func (s *Store) partial(key string, o map[string]any) map[string]any {
	m := metadata(o)
	return map[string]any{"apiVersion": o["apiVersion"], "kind": o["kind"], "metadata": m, "collected": "true", "namespaced": fmt.Sprint(text(m, "namespace") != ""),
		"resource": strings.TrimSuffix(key, "/"+text(m, "namespace")+"/"+text(m, "name"))}
}

// list answers in full each time.
func (s *Store) list(q wire.ListRequest) ([]byte, error) {
	var bodies [][]byte
	for _, k := range s.Keys() {
		o := s.objects[k]
		m := metadata(o)
		if q.Resource == wire.AllResources {
			o = s.partial(k, o)
		}
		if !s.of(k, q.Resource) || q.Namespace != "" && q.Namespace != text(m, "namespace") ||
			!owned(o, q.Owner) || !labelled(m, q.Labels) || !selected(o, q.Fields) {
			continue
		}
		b, err := encode(o, q.Only)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, b)
	}
	more := uint64(0)
	if n := uint64(len(bodies)); q.Limit > 0 && q.Limit < n {
		bodies, more = bodies[:q.Limit], n-q.Limit
	}
	n := uint64(len(bodies))
	out := wire.AppendUint(wire.AppendBool(wire.AppendUint(nil, 1), true), n)
	if n > 0 {
		out = wire.AppendUint(wire.AppendUint(wire.AppendUint(out, 0), 0), n)
	}
	for _, b := range bodies {
		out = wire.AppendBytes(out, b)
	}
	return wire.AppendUint(out, more), nil
}

func owned(o map[string]any, by wire.Owner) bool {
	m := metadata(o)
	switch by.Kind {
	case wire.ValueAt:
		path, value := by.Index()
		at, err := record.ParsePath(path)
		return err == nil && value != "" && has(o, at, value)
	case wire.OwnerUID:
		return by.UID != "" && by.UID == controller(m)
	case wire.NoController:
		return controller(m) == ""
	}
	return true
}

// has tells whether there is a text at a path; of a list, any element may have it.
func has(o any, path []record.Segment, text string) bool {
	switch v := o.(type) {
	case map[string]any:
		return len(path) > 0 && has(v[path[0].Key], path[1:], text)
	case []any:
		if len(path) > 0 && path[0].Index >= 0 {
			return path[0].Index < len(v) && has(v[path[0].Index], path[1:], text)
		}
		return slices.ContainsFunc(v, func(e any) bool { return has(e, path, text) })
	case string:
		return len(path) == 0 && v == text
	}
	return false
}

func controller(m map[string]any) string {
	refs, _ := m["ownerReferences"].([]any)
	for _, r := range refs {
		if ref, ok := r.(map[string]any); ok && ref["controller"] == true {
			return text(ref, "uid")
		}
	}
	return ""
}

func labelled(m map[string]any, selector string) bool {
	labels, _ := m["labels"].(map[string]any)
	for _, term := range strings.FieldsFunc(selector, func(r rune) bool { return r == ',' }) {
		k, v, _ := strings.Cut(term, "=")
		if text(labels, k) != strings.TrimPrefix(v, "=") {
			return false
		}
	}
	return true
}

// selected holds an object against a field selector: terms of a path and a
// value.
func selected(o map[string]any, selector string) bool {
	for _, term := range strings.FieldsFunc(selector, func(r rune) bool { return r == ',' }) {
		path, v, _ := strings.Cut(term, "=")
		steps := strings.Split(path, ".")
		at := o
		for _, step := range steps[:len(steps)-1] {
			at, _ = at[step].(map[string]any)
		}
		if text(at, steps[len(steps)-1]) != strings.TrimPrefix(v, "=") {
			return false
		}
	}
	return true
}

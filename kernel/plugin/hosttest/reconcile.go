package hosttest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/listing"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Kernel is a small store of JSON objects that serves the host operations. It
// knows no validation, no defaults and no garbage collection.
type Kernel struct {
	objects  map[string]*watch.Object // by resource/namespace/name
	bodies   map[*watch.Object]m
	revision int64
	session  listing.Session
	Events   []string
	Served   map[string]m // what is fetched, by what is asked for
}

// NewKernel makes an empty one.
func NewKernel() *Kernel {
	return &Kernel{objects: map[string]*watch.Object{}, bodies: map[*watch.Object]m{}}
}

func key(resource, namespace, name string) string { return resource + "/" + namespace + "/" + name }

// Put stores an object as it is.
func (k *Kernel) Put(resource string, body m) m {
	k.revision++
	meta := body["metadata"].(m)
	namespace, _ := meta["namespace"].(string)
	name, _ := meta["name"].(string)
	meta["resourceVersion"] = fmt.Sprint(k.revision)
	if meta["uid"] == nil {
		meta["uid"] = fmt.Sprintf("uid-%d", k.revision)
	}
	o := &watch.Object{Key: key(resource, namespace, name), Namespace: namespace, Name: name, Revision: k.revision}
	k.objects[o.Key], k.bodies[o] = o, body
	return body
}

// Names lists what is stored, by key.
func (k *Kernel) Names() []string {
	var out []string
	for n := range k.objects {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Get is the object's JSON tree; nil when there is none.
func (k *Kernel) Get(resource, namespace, name string) m {
	o := k.objects[key(resource, namespace, name)]
	if o == nil {
		return nil
	}
	return k.bodies[o]
}

// Call serves one host operation.
func (k *Kernel) Call(_ context.Context, op wire.HostOp, req []byte) ([]byte, error) {
	r := wire.NewReader(req)
	switch op {
	case wire.HostGet:
		q := r.GetRequest()
		if o := k.Get(q.Resource, q.Namespace, q.Name); o != nil {
			return encode(o, q.Only)
		}
		return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", q.Resource, q.Name)
	case wire.HostList:
		return k.list(r.ListRequest())
	case wire.HostWrite:
		return k.write(r.WriteRequest())
	case wire.HostDelete:
		return nil, k.delete(r.DeleteRequest())
	case wire.HostPatch:
		q := r.PatchRequest()
		o := k.Get(q.Resource, q.Namespace, q.Name)
		var patch m
		if err := json.Unmarshal(q.Data, &patch); err != nil {
			return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
		}
		merge(o, patch)
		return encode(k.Put(q.Resource, o), q.Only)
	case wire.HostSubresource:
		q := r.SubresourceRequest()
		if o := k.Get(q.Resource, q.Namespace, q.Name); o != nil && q.Subresource == "scale" {
			return encode(scaleOf(o), q.Only)
		}
		return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", q.Resource, q.Name)
	case wire.HostFetch:
		q := r.FetchRequest()
		asked := fmt.Sprintf("%s %s %q %q %q", q.Resource, q.Namespace, q.Name, q.Subresource, q.Params)
		if o := k.Served[asked]; o != nil {
			return encode(o, q.Only)
		}
		return nil, wire.Errorf(wire.KindUnsupported, "nobody serves %s", asked)
	case wire.HostResource:
		if s := r.Str(); s != "apps/v1, Kind=Deployment" {
			return nil, wire.Errorf(wire.KindUnsupported, "there is no kind %q", s)
		}
		return wire.AppendString(nil, "apps/v1/deployments"), nil
	case wire.HostEvent:
		q := r.EventRequest()
		k.Events = append(k.Events, fmt.Sprintf("%s %s: %s", q.Name, q.Reason, q.Message))
		return nil, nil
	case wire.HostBatch:
		return k.batch(r.BatchRequest())
	}
	return nil, wire.Errorf(wire.KindUnsupported, "host op %d", op)
}

// scaleOf is the scale of a Deployment.
func scaleOf(o m) m {
	meta := o["metadata"].(m)
	return m{"metadata": m{"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
		"spec": m{"replicas": o["spec"].(m)["replicas"]}, "status": m{"replicas": 0.0, "selector": fmt.Sprint("app=", meta["name"])}}
}

func encode(o m, only string) ([]byte, error) {
	plan, err := projection.Of(only)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	return plan.Append(nil, o)
}

func merge(into, patch m) {
	for name, v := range patch {
		if sub, ok := v.(m); ok {
			if into[name] == nil {
				into[name] = m{}
			}
			merge(into[name].(m), sub)
			continue
		}
		into[name] = v
	}
}

func (k *Kernel) list(q wire.ListRequest) ([]byte, error) {
	var items []*watch.Object
	for _, o := range k.objects {
		if strings.HasPrefix(o.Key, q.Resource+"/") && (q.Namespace == "" || o.Namespace == q.Namespace) && (q.Owner.Kind == wire.AnyOwner || owner(k.bodies[o]) == q.Owner.UID) {
			items = append(items, o)
		}
	}
	slices.SortFunc(items, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) })
	return k.session.Answer(nil, q, items, func(o *watch.Object) ([]byte, error) { return encode(k.bodies[o], q.Only) })
}

func owner(o m) string {
	refs, _ := o["metadata"].(m)["ownerReferences"].([]any)
	for _, ref := range refs {
		uid, _ := ref.(m)["uid"].(string)
		return uid
	}
	return ""
}

func (k *Kernel) write(q wire.WriteRequest) ([]byte, error) {
	var body m
	if err := json.Unmarshal(q.Object, &body); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	meta := body["metadata"].(m)
	namespace, _ := meta["namespace"].(string)
	name, _ := meta["name"].(string)
	old := k.Get(q.Resource, namespace, name)
	switch {
	case q.Verb == "create" && q.Subresource == "token" && old != nil:
		return encode(m{"kind": "TokenRequest", "status": m{"token": fmt.Sprintf("of %s for %v", name, body["spec"].(m)["audiences"])}}, q.Only)
	case q.Verb == "create" && old != nil:
		return nil, wire.Errorf(wire.KindAlreadyExists, "%s %q already exists", q.Resource, name)
	case q.Verb == "update" && old == nil:
		return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", q.Resource, name)
	case q.Verb == "update" && old["metadata"].(m)["resourceVersion"] != meta["resourceVersion"]:
		return nil, wire.Errorf(wire.KindConflict, "%s %q has changed", q.Resource, name)
	case q.Subresource == "status":
		old["status"] = body["status"]
		body = old
	case q.Subresource == "scale":
		old["spec"].(m)["replicas"] = body["spec"].(m)["replicas"]
		return encode(scaleOf(k.Put(q.Resource, old)), q.Only)
	}
	return encode(k.Put(q.Resource, body), q.Only)
}

func (k *Kernel) delete(q wire.DeleteRequest) error {
	at := key(q.Resource, q.Namespace, q.Name)
	if k.objects[at] == nil {
		return wire.Errorf(wire.KindNotFound, "%s %q not found", q.Resource, q.Name)
	}
	delete(k.objects, at)
	return nil
}

func (k *Kernel) batch(q wire.BatchRequest) ([]byte, error) {
	out := wire.AppendUint(nil, uint64(len(q.Items)))
	for _, it := range q.Items {
		var body []byte
		var err error
		if it.Write.Verb == "delete" {
			err = k.delete(it.Delete)
		} else {
			body, err = k.write(it.Write)
		}
		out = wire.AppendBytes(out, wire.AppendResult(nil, body, err))
	}
	return out, nil
}

func deployment(name string, replicas int) m {
	return m{"metadata": m{"name": name, "namespace": "default", "creationTimestamp": "2024-01-02T03:04:05Z"}, "spec": m{"replicas": float64(replicas),
		"selector": m{"matchLabels": m{"app": name}}, "template": m{"metadata": m{}, "spec": m{"containers": []any{m{"name": "c", "image": "web:1"}}}}}}
}

func testReconcile(t *testing.T, open Open) {
	k := NewKernel()
	in := mustOpen(t, open, plugin.OpenOptions{HostCall: k.Call})
	reconcile := func(name string) time.Duration {
		t.Helper()
		resp, err := in.Call(t.Context(), wire.OpReconcile, wire.Request{Namespace: "default", Name: name}.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := wire.ReconcileResult(resp)
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	if got := reconcile("nobody"); got != 0 {
		t.Errorf("a missing object is requeued after %s", got)
	}
	k.Put("apps/v1/deployments", deployment("web", 3))
	k.Put("v1/pods", pod("stranger", "web:1"))
	if got := reconcile("web"); got != time.Minute {
		t.Errorf("requeued after %s, want a minute", got)
	}
	want := []string{"apps/v1/deployments/default/web", "v1/configmaps/default/web", "v1/pods/default/stranger",
		"v1/pods/default/web-0", "v1/pods/default/web-1", "v1/pods/default/web-2"}
	if d := cmp.Diff(want, k.Names()); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	d := k.Get("apps/v1/deployments", "default", "web")
	if d["status"].(m)["replicas"] != 3.0 || d["metadata"].(m)["annotations"].(m)["replicas"] != "3" {
		t.Errorf("deployment after reconcile: %v", d)
	}
	if got := k.Get("v1/configmaps", "default", "web")["data"].(m)["token"]; got != "of web for [suite]" {
		t.Errorf("a subresource was created, and answered %q", got)
	}
	d["spec"].(m)["replicas"] = 1.0
	k.Put("apps/v1/deployments", d)
	reconcile("web")
	reconcile("web")
	if got := k.Names()[3:]; len(got) != 1 {
		t.Errorf("pods after scaling down: %v", got)
	}
	k.Served = map[string]m{`example.com/v1/ceilings default "" "" [["labelSelector" "app=web"] ["of" "web"]]`: {"items": []any{m{"most": 2.0}}}}
	d = k.Get("apps/v1/deployments", "default", "web")
	d["spec"].(m)["replicas"] = 9.0
	k.Put("apps/v1/deployments", d)
	reconcile("web")
	if n := k.Get("apps/v1/deployments", "default", "web")["spec"].(m)["replicas"]; n != 2.0 {
		t.Errorf("scaled by what is served to %v", n)
	}
	if d := cmp.Diff([]string{"web Scaled: from 0 to 3", "web Scaled: from 3 to 1", "web Scaled: from 1 to 2"}, k.Events); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

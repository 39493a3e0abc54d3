package remote

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// NewClient makes the client of one instance, which goes by the clock of this
// machine. Plugins get theirs with Reconcile and have no need of it.
func NewClient(call wire.HostCall) client.Client { return NewClientAt(call, time.Now) }

// NewClientAt is [NewClient] with a clock, which [client.Client].Now reads.
func NewClientAt(call wire.HostCall, now func() time.Time) client.Client {
	return &caller{call: call, now: now, lists: map[listKey]*heldList{}}
}

type caller struct {
	call  wire.HostCall
	now   func() time.Time
	buf   []byte // the last request, reused
	lists map[listKey]*heldList
	held  int    // bytes behind all held lists
	clock uint64 // counts uses, to find the list used longest ago
}

// Now implements client.Client.
func (c *caller) Now() time.Time { return c.now() }

// do sends a request; append writes it into the reused buffer.
func (c *caller) do(op wire.HostOp, request func([]byte) []byte) ([]byte, error) {
	c.buf = request(c.buf[:0])
	return c.call(op, c.buf)
}

func (c *caller) Get(obj client.Object, namespace, name string) error {
	resp, err := c.do(wire.HostGet, wire.GetRequest{Resource: obj.APIResource(), Namespace: namespace, Name: name, Only: onlyOf(obj)}.Append)
	if err != nil {
		return err
	}
	return replace(obj, resp)
}

func (c *caller) Create(obj client.Object) error { return c.write("create", obj, "", false) }
func (c *caller) Update(obj client.Object) error { return c.write("update", obj, "", false) }
func (c *caller) UpdateStatus(obj client.Object) error {
	return c.write("update", obj, "status", false)
}
func (c *caller) Apply(obj client.Object, force bool) error {
	return c.write("apply", obj, "", force)
}

func (c *caller) write(verb string, obj client.Object, subresource string, force bool) error {
	body, err := encode(obj)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, obj.APIResource(), err)
	}
	resp, err := c.do(wire.HostWrite, wire.WriteRequest{Verb: verb, Resource: obj.APIResource(), Subresource: subresource, Force: force, Object: body, Only: onlyOf(obj)}.Append)
	if err != nil {
		return err
	}
	return replace(obj, resp)
}

func (c *caller) Patch(obj client.Object, p client.Patch) error {
	q, err := patchRequest(obj, p)
	if err != nil {
		return err
	}
	resp, err := c.do(wire.HostPatch, q.Append)
	if err != nil {
		return err
	}
	return replace(obj, resp)
}

func patchRequest(obj client.Object, p client.Patch) (q wire.PatchRequest, err error) {
	m, err := metaOf(obj)
	if err != nil {
		return q, err
	}
	var data []byte
	switch d := p.Data.(type) {
	case []byte:
		data = d
	default:
		if data, err = json.Marshal(d); err != nil {
			return q, fmt.Errorf("patch %s: %w", obj.APIResource(), err)
		}
	}
	if p.Type == "" {
		p.Type = client.MergePatch
	}
	return wire.PatchRequest{Resource: obj.APIResource(), Namespace: m.Namespace, Name: m.Name,
		Subresource: p.Subresource, Type: string(p.Type), Data: data, Only: onlyOf(obj)}, nil
}

func (c *caller) Delete(obj client.Object, o client.DeleteOptions) error {
	q, err := deleteRequest(obj, o)
	if err != nil {
		return err
	}
	_, err = c.do(wire.HostDelete, q.Append)
	return err
}

func deleteRequest(obj client.Object, o client.DeleteOptions) (wire.DeleteRequest, error) {
	m, err := metaOf(obj)
	if err != nil {
		return wire.DeleteRequest{}, err
	}
	grace := int64(-1)
	if o.GracePeriodSeconds != nil {
		grace = *o.GracePeriodSeconds
	}
	q := wire.DeleteRequest{Resource: obj.APIResource(), Namespace: m.Namespace, Name: m.Name, Propagation: o.Propagation, Grace: grace}
	if p := o.Preconditions; p != nil {
		q.UID, q.ResourceVersion = p.UID, p.ResourceVersion
	}
	return q, nil
}

func (c *caller) Batch(ops []client.Op, atomic bool) ([]error, error) {
	q := wire.BatchRequest{Atomic: atomic}
	for i := range ops {
		it, err := batchItem(&ops[i])
		if err != nil {
			return nil, err
		}
		q.Items = append(q.Items, it)
	}
	resp, err := c.do(wire.HostBatch, q.Append)
	if err != nil {
		return nil, err
	}
	return batchResults(resp, ops)
}

func batchItem(op *client.Op) (it wire.BatchItem, err error) {
	it.Write.Verb = string(op.Verb)
	switch op.Verb {
	case client.VerbDelete:
		it.Delete, err = deleteRequest(op.Object, op.Delete)
	case client.VerbPatch:
		it.Patch, err = patchRequest(op.Object, op.Patch)
		if op.Brief {
			it.Patch.Only = briefFields
		}
	default:
		body, err := encode(op.Object)
		if err != nil {
			return it, fmt.Errorf("%s %s: %w", op.Verb, op.Object.APIResource(), err)
		}
		it.Write = wire.WriteRequest{Verb: string(op.Verb), Resource: op.Object.APIResource(), Subresource: op.Subresource, Object: body, Only: onlyOf(op.Object)}
		if op.Brief {
			it.Write.Only = briefFields
		}
	}
	return it, err
}

func batchResults(resp []byte, ops []client.Op) ([]error, error) {
	r := wire.NewReader(resp)
	if n := r.Count(1); n != len(ops) {
		return nil, wire.Errorf(wire.KindProtocol, "batch of %d answered with %d results", len(ops), n)
	}
	errs := make([]error, len(ops))
	for i := range ops {
		body, err := wire.ParseResult(r.Bytes())
		switch {
		case err != nil || ops[i].Verb == client.VerbDelete:
		case ops[i].Brief:
			err = stored(ops[i].Object, body)
		default:
			err = replace(ops[i].Object, body)
		}
		errs[i] = err
	}
	return errs, r.Err()
}

// brief is what a Brief op is answered.
type brief struct {
	Metadata struct {
		Name            string `json:"name"`
		UID             string `json:"uid"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
}

// briefFields declares them.
var briefFields = record.FieldsOf(reflect.TypeFor[brief]()).String()

// stored puts the answer to a Brief op into the object.
func stored(obj client.Object, body []byte) error {
	a, ok := obj.(metav1.Accessor)
	var b brief
	if err := record.Decode(body, &b); err != nil {
		return fmt.Errorf("decode %s: %w", obj.APIResource(), err)
	}
	if !ok {
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, obj)
	}
	m := a.GetObjectMeta()
	m.Name, m.UID, m.ResourceVersion = b.Metadata.Name, b.Metadata.UID, b.Metadata.ResourceVersion
	return nil
}

func (c *caller) Event(about client.Object, n client.Note) {
	m, err := metaOf(about)
	if err != nil {
		return
	}
	// An event is a courtesy: the kernel counts those that it cannot record.
	_, _ = c.do(wire.HostEvent, wire.EventRequest{Resource: about.APIResource(), Namespace: m.Namespace, Name: m.Name, UID: m.UID,
		ResourceVersion: m.ResourceVersion, Warning: n.Warning, Reason: n.Reason, Message: n.Message}.Append)
}

func encode(obj client.Object) ([]byte, error) {
	if e, ok := obj.(client.Encoded); ok {
		return e.EncodedJSON(), nil
	}
	return json.Marshal(obj)
}

// onlyOf names the fields that an object decodes.
func onlyOf(obj client.Object) string {
	t := reflect.TypeOf(obj)
	if t == nil || t.Kind() != reflect.Pointer {
		return ""
	}
	return record.FieldsOf(t.Elem()).String()
}

// replace decodes an object over obj. An empty body leaves obj as it is.
func replace(obj client.Object, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("%s: a pointer is needed, not %T", obj.APIResource(), obj)
	}
	v.Elem().SetZero()
	if err := record.Decode(body, obj); err != nil {
		return fmt.Errorf("decode %s: %w", obj.APIResource(), err)
	}
	return nil
}

// metaOf finds the metadata of an object, by method or through its JSON.
func metaOf(obj client.Object) (*metav1.ObjectMeta, error) {
	if a, ok := obj.(metav1.Accessor); ok {
		return a.GetObjectMeta(), nil
	}
	var m struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	b, err := json.Marshal(obj)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", obj.APIResource(), err)
	}
	return &m.Metadata, nil
}

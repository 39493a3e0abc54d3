package wire

import "strings"

// Frames of the host operations. Resources are written as in
// client.Object.APIResource. Objects that a guest sends are JSON; those that it is
// answered with are records, see package record.
//
//	HostGet    GetRequest    → object
//	HostList   ListRequest   → list answer, see below
//	HostWrite  WriteRequest  → object as stored
//	HostPatch  PatchRequest  → object as stored
//	HostDelete DeleteRequest → ()
//	HostBatch  BatchRequest  → count, then per item a response (status byte
//	           first, length-prefixed) whose payload is the object as stored
//	HostEvent  EventRequest  → ()
//	HostSubresource SubresourceRequest → object of the subresource's kind
//	HostFetch  FetchRequest  → what the API answers, one object or a list
//	HostResource resource string → resource string: that of a kind, by its plural
//
// A list answer carries changes against what the guest holds already, so that
// a list of thousands is decoded once and then only where it changed. The
// guest names the answer that it holds by the token that came with it; a host
// that does not remember that token answers in full. Layout:
//
//	token   uint   names this answer; never 0
//	full    bool   true: items are the whole list, in order
//	n       uint   number of items in the new list
//	edits          until the new list is complete, a sequence of
//	                 keep  uint   that many items of the held list are kept as they are
//	                 drop  uint   then that many of the held list are left out
//	                 add   uint   then that many new ones follow, each length-prefixed
//	more    uint   how many objects there are beyond the limit; absent: none
//
// kernel/plugin/listing implements the host's side of it, package remote the
// guest's.

// Whoever is answered with objects says in Only which fields of them it will
// look at, in the form of record.Fields; "" is all of the object.

// GetRequest asks for one object.
type GetRequest struct{ Resource, Namespace, Name, Only string }

// Append encodes the request.
func (q GetRequest) Append(b []byte) []byte {
	return AppendString(AppendString(AppendString(AppendString(b, q.Resource), q.Namespace), q.Name), q.Only)
}

// GetRequest reads a GetRequest.
func (r *Reader) GetRequest() GetRequest {
	return GetRequest{r.Str(), r.Str(), r.Str(), r.Str()}
}

// SubresourceRequest asks for the object that a subresource makes of one (the Scale of
// a Deployment).
type SubresourceRequest struct{ Resource, Namespace, Name, Subresource, Only string }

// Append encodes the request.
func (q SubresourceRequest) Append(b []byte) []byte {
	for _, s := range []string{q.Resource, q.Namespace, q.Name, q.Subresource} {
		b = AppendString(b, s)
	}
	return AppendString(b, q.Only)
}

// SubresourceRequest reads a SubresourceRequest.
func (r *Reader) SubresourceRequest() SubresourceRequest {
	return SubresourceRequest{r.Str(), r.Str(), r.Str(), r.Str(), r.Str()}
}

// FetchRequest asks the API for what it serves without keeping it: by a name (get) or
// without one (list).
type FetchRequest struct {
	Resource, Namespace, Name, Subresource string
	Params                                 [][2]string // of the query, labelSelector for example
	Only                                   string
}

// Append encodes the request.
func (q FetchRequest) Append(b []byte) []byte {
	for _, s := range []string{q.Resource, q.Namespace, q.Name, q.Subresource} {
		b = AppendString(b, s)
	}
	b = AppendUint(b, uint64(len(q.Params)))
	for _, p := range q.Params {
		b = AppendString(AppendString(b, p[0]), p[1])
	}
	return AppendString(b, q.Only)
}

// FetchRequest reads a FetchRequest.
func (r *Reader) FetchRequest() FetchRequest {
	q := FetchRequest{Resource: r.Str(), Namespace: r.Str(), Name: r.Str(), Subresource: r.Str()}
	for range r.Count(2) {
		q.Params = append(q.Params, [2]string{r.Str(), r.Str()})
	}
	q.Only = r.Str()
	return q
}

// ListRequest asks for a list, or for what changed in it since Token.
type ListRequest struct {
	Resource  string
	Namespace string
	Labels    string
	Fields    string
	Owner     Owner
	Only      string
	Token     uint64 // 0: nothing held
	Limit     uint64 // of objects in the answer; 0: none. An older guest does not send it
	Fresh     bool   // no older than the call, since 2.4
}

// Append encodes the request.
func (q ListRequest) Append(b []byte) []byte {
	for _, s := range []string{q.Resource, q.Namespace, q.Labels, q.Fields} {
		b = AppendString(b, s)
	}
	b = AppendString(append(b, byte(q.Owner.Kind)), q.Owner.UID)
	return AppendBool(AppendUint(AppendUint(AppendString(b, q.Only), q.Token), q.Limit), q.Fresh)
}

// ListRequest reads a ListRequest.
func (r *Reader) ListRequest() ListRequest {
	q := ListRequest{Resource: r.Str(), Namespace: r.Str(), Labels: r.Str(), Fields: r.Str(), Owner: Owner{OwnerKind(r.Byte()), r.Str()}, Only: r.Str(), Token: r.Uint()}
	if len(r.Rest()) > 0 {
		q.Limit = r.Uint()
	}
	if len(r.Rest()) > 0 {
		q.Fresh = r.Bool()
	}
	return q
}

// Owner narrows a list to dependents, or to what an index finds.
type Owner struct {
	Kind OwnerKind
	UID  string // of OwnerUID; of ValueAt path and value, with "=" between
}

// AtPath is the Owner of an index.
func AtPath(path, value string) Owner { return Owner{Kind: ValueAt, UID: path + "=" + value} }

// Index is what AtPath was made of.
func (o Owner) Index() (path, value string) {
	path, value, _ = strings.Cut(o.UID, "=")
	return path, value
}

// OwnerKind says how an [Owner] narrows.
type OwnerKind uint8

// The kinds of owners.
const (
	AnyOwner     OwnerKind = iota // not at all
	OwnerUID                      // to what names the uid among its owners
	NoController                  // to what no owner controls
	ValueAt                       // to what has a value at a path, since 2.4
)

// WriteRequest creates, updates or applies an object; its name and namespace
// are in the object. Since 2.4 a subresource can be created: what is posted to it names
// the object that it belongs to.
type WriteRequest struct {
	Verb        string // "create", "update", "apply"
	Resource    string
	Subresource string // "status", "scale", of a create that of an action, or ""
	Force       bool   // apply only
	Object      []byte // JSON
	Only        string // fields of the answer
}

// Append encodes the request.
func (q WriteRequest) Append(b []byte) []byte {
	b = AppendString(AppendString(AppendString(b, q.Verb), q.Resource), q.Subresource)
	return AppendString(AppendBytes(AppendBool(b, q.Force), q.Object), q.Only)
}

// WriteRequest reads a WriteRequest; Object is a part of the frame.
func (r *Reader) WriteRequest() WriteRequest {
	return WriteRequest{r.Str(), r.Str(), r.Str(), r.Bool(), r.Bytes(), r.Str()}
}

// PatchRequest patches an object.
type PatchRequest struct {
	Resource, Namespace, Name, Subresource string
	Type                                   string // media type
	Data                                   []byte
	Only                                   string // fields of the answer
}

// Append encodes the request.
func (q PatchRequest) Append(b []byte) []byte {
	for _, s := range []string{q.Resource, q.Namespace, q.Name, q.Subresource, q.Type} {
		b = AppendString(b, s)
	}
	return AppendString(AppendBytes(b, q.Data), q.Only)
}

// PatchRequest reads a PatchRequest; Data is a part of the frame.
func (r *Reader) PatchRequest() PatchRequest {
	return PatchRequest{r.Str(), r.Str(), r.Str(), r.Str(), r.Str(), r.Bytes(), r.Str()}
}

// DeleteRequest deletes an object.
type DeleteRequest struct {
	Resource, Namespace, Name string
	// UID and ResourceVersion are preconditions; nil for none.
	UID, ResourceVersion *string
	Propagation          string // "" for the default
	Grace                int64  // seconds; negative for the default
}

// Append encodes the request.
func (q DeleteRequest) Append(b []byte) []byte {
	b = AppendString(AppendString(AppendString(b, q.Resource), q.Namespace), q.Name)
	b = AppendOptional(AppendOptional(b, q.UID), q.ResourceVersion)
	return AppendInt(AppendString(b, q.Propagation), q.Grace)
}

// DeleteRequest reads a DeleteRequest.
func (r *Reader) DeleteRequest() DeleteRequest {
	return DeleteRequest{r.Str(), r.Str(), r.Str(), r.Optional(), r.Optional(), r.Str(), r.Int()}
}

// BatchRequest is many writes. In an item exactly one of Write, Delete and Patch is
// used: Delete when Write.Verb is "delete", Patch, since ABI 2.4, when it is "patch".
type BatchRequest struct {
	Atomic bool
	Items  []BatchItem
}

// BatchItem is one write of a batch.
type BatchItem struct {
	Write  WriteRequest
	Delete DeleteRequest
	Patch  PatchRequest
}

// The kinds of items, as their first byte.
const (
	itemWrite = iota
	itemDelete
	itemPatch
)

// Append encodes the request.
func (q BatchRequest) Append(b []byte) []byte {
	b = AppendUint(AppendBool(b, q.Atomic), uint64(len(q.Items)))
	for _, it := range q.Items {
		switch it.Write.Verb {
		case "delete":
			b = it.Delete.Append(append(b, itemDelete))
		case "patch":
			b = it.Patch.Append(append(b, itemPatch))
		default:
			b = it.Write.Append(append(b, itemWrite))
		}
	}
	return b
}

// BatchRequest reads a BatchRequest.
func (r *Reader) BatchRequest() BatchRequest {
	q := BatchRequest{Atomic: r.Bool()}
	for range r.Count(6) {
		var it BatchItem
		switch r.Byte() {
		case itemDelete:
			it.Delete = r.DeleteRequest()
			it.Write.Verb = "delete"
		case itemPatch:
			it.Patch = r.PatchRequest()
			it.Write.Verb = "patch"
		default:
			it.Write = r.WriteRequest()
		}
		q.Items = append(q.Items, it)
	}
	return q
}

// EventRequest records an event about an object.
type EventRequest struct {
	Resource, Namespace, Name, UID, ResourceVersion string
	Warning                                         bool
	Reason, Message                                 string
}

// Append encodes the request.
func (q EventRequest) Append(b []byte) []byte {
	for _, s := range []string{q.Resource, q.Namespace, q.Name, q.UID, q.ResourceVersion} {
		b = AppendString(b, s)
	}
	return AppendString(AppendString(AppendBool(b, q.Warning), q.Reason), q.Message)
}

// EventRequest reads an EventRequest.
func (r *Reader) EventRequest() EventRequest {
	return EventRequest{r.Str(), r.Str(), r.Str(), r.Str(), r.Str(), r.Bool(), r.Str(), r.Str()}
}

package wire

import (
	"slices"
	"strings"
	"time"
)

// Frames of the operations that a kernel asks of a guest.
//
//	OpOpen      name string, config bytes, version of the server uint → manifest
//	OpReconcile Request, now (since 2.4)  → RequeueAfter, count, requests to queue
//	OpMap       watch uint, object        → count, requests
//	OpConvert   Conversion                → count, objects as JSON
//	OpMutate, OpValidate  ReviewHeader, length and object, length and old object → Verdict

// Request names what to reconcile: an object, or with Labels all that selects
// objects with these labels.
type Request struct {
	Namespace, Name string
	Labels          LabelSet
}

// Append encodes the request.
func (q Request) Append(b []byte) []byte {
	return AppendString(AppendString(AppendString(b, q.Namespace), q.Name), string(q.Labels))
}

// Request reads a Request.
func (r *Reader) Request() Request { return Request{r.Str(), r.Str(), LabelSet(r.Str())} }

func (q Request) String() string {
	name := q.Name
	if q.Labels != "" {
		name = "{" + string(q.Labels) + "}"
	}
	if q.Namespace == "" {
		return name
	}
	return q.Namespace + "/" + name
}

// LabelSet is labels as one comparable value: "a=b,c=d", sorted by key.
type LabelSet string

// LabelSetOf makes the set of labels.
func LabelSetOf(labels map[string]string) LabelSet {
	parts := make([]string, 0, len(labels))
	for k, v := range labels {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return LabelSet(strings.Join(parts, ","))
}

// Map is the set as the labels that it was made of.
func (s LabelSet) Map() map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(string(s), ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			out[k] = v
		}
	}
	return out
}

// AppendOpen encodes an OpOpen request, with the version of this side at its end:
// by that a guest knows which fields of later versions are read.
func AppendOpen(b []byte, name string, config []byte) []byte {
	return AppendUint(AppendBytes(AppendString(b, name), config), uint64(Version(Major, Minor)))
}

// AppendReconcile encodes an OpReconcile request: what to reconcile, and what time it
// is for the server, which goes by its own clock when it counts delays.
func AppendReconcile(b []byte, q Request, now time.Time) []byte {
	return AppendInt(q.Append(b), now.UnixNano())
}

// ReconcileRequest reads an OpReconcile request. The time is zero from a server before
// ABI 2.4, which does not say it.
func ReconcileRequest(req []byte) (q Request, now time.Time, err error) {
	r := NewReader(req)
	if q = r.Request(); len(r.Rest()) > 0 {
		now = time.Unix(0, r.Int())
	}
	return q, now, r.Err()
}

// ReconcileResult reads the answer of OpReconcile.
func ReconcileResult(resp []byte) (requeueAfter time.Duration, enqueue []Request, err error) {
	r := NewReader(resp)
	return time.Duration(r.Int()), r.Requests(), r.Err()
}

// AppendReconcileResult encodes the answer of OpReconcile.
func AppendReconcileResult(b []byte, requeueAfter time.Duration, enqueue []Request) []byte {
	b = AppendInt(b, int64(requeueAfter))
	return AppendRequests(b, enqueue)
}

// AppendRequests encodes what Requests reads.
func AppendRequests(b []byte, list []Request) []byte {
	b = AppendUint(b, uint64(len(list)))
	for _, q := range list {
		b = q.Append(b)
	}
	return b
}

// AppendMap encodes an OpMap request: the index of the watch in the manifest
// and the object, as a record.
func AppendMap(b []byte, watch int, object []byte) []byte {
	return append(AppendUint(b, uint64(watch)), object...)
}

// MapRequest reads an OpMap request, which is a whole frame; object is a part of
// it.
//
// # Errors
//   - of KindProtocol when the frame is malformed
func MapRequest(req []byte) (watch int, object []byte, err error) {
	r := NewReader(req)
	watch = int(r.Uint())
	return watch, r.Rest(), r.Err()
}

// Requests reads the answer of OpMap.
func (r *Reader) Requests() []Request {
	n := r.Count(3)
	out := make([]Request, 0, n)
	for range n {
		out = append(out, r.Request())
	}
	return out
}

// ReviewHeader is an admission request without its objects.
type ReviewHeader struct {
	Operation, Resource, Subresource, Kind, Namespace, Name, User string
	Groups                                                        []string
	DryRun                                                        bool
}

// AppendReview encodes a review; object and old are records, empty when absent.
func AppendReview(b []byte, h ReviewHeader, object, old []byte) []byte {
	for _, s := range []string{h.Operation, h.Resource, h.Subresource, h.Kind, h.Namespace, h.Name, h.User} {
		b = AppendString(b, s)
	}
	b = AppendBool(AppendStrings(b, h.Groups), h.DryRun)
	return AppendBytes(AppendBytes(b, object), old)
}

// Review reads what AppendReview wrote.
func (r *Reader) Review() (h ReviewHeader, object, old []byte) {
	h = ReviewHeader{r.Str(), r.Str(), r.Str(), r.Str(), r.Str(), r.Str(), r.Str(), r.Strings(), r.Bool()}
	return h, r.Bytes(), r.Bytes()
}

// Verdict is the answer of an admission point.
type Verdict struct {
	Denied   bool
	Message  string
	Warnings []string
	Patch    []PatchOp
	// Forbidden: the refusal is worded as the API's own.
	Forbidden bool
	// Await are missing objects; when one appears soon, the verdict is asked
	// for again.
	Await []GetRequest
}

// PatchOp is one change: JSON at a path, or a removal.
type PatchOp struct {
	Remove bool
	Path   string
	Value  []byte
}

// Append encodes the verdict.
func (v Verdict) Append(b []byte) []byte {
	b = AppendStrings(AppendString(AppendBool(b, v.Denied), v.Message), v.Warnings)
	b = AppendUint(b, uint64(len(v.Patch)))
	for _, p := range v.Patch {
		b = AppendBytes(AppendString(AppendBool(b, p.Remove), p.Path), p.Value)
	}
	b = AppendUint(AppendBool(b, v.Forbidden), uint64(len(v.Await)))
	for _, q := range v.Await {
		b = q.Append(b)
	}
	return b
}

// Findings are what a verdict has more since 2.1; they stand behind it.
type Findings struct {
	// Invalid are fields for which the object is refused as the API's validation does.
	Invalid []Fault
	// Annotations are for the audit log: keys and values by turns.
	Annotations []string
	// Charges, since 2.2, are made in the commit that writes the object; of a
	// refusal they are why, and it is asked for again if they would fit by now.
	Charges []Charge
}

// Charge adds amounts to totals of an object; see admission.Charge.
type Charge struct {
	Resource, Namespace, Name, UID string
	Totals, Limits                 string // paths of maps of quantities; Limits may be ""
	Amounts, Bounds                []Amount
}

// Amount is a quantity by its key.
type Amount struct{ Key, Quantity string }

// Fault is a field that has a value that it may not have.
type Fault struct{ Field, Value, Detail string }

// Append encodes the findings.
func (f Findings) Append(b []byte) []byte {
	if len(f.Invalid) == 0 && len(f.Annotations) == 0 && len(f.Charges) == 0 {
		return b
	}
	b = AppendUint(b, uint64(len(f.Invalid)))
	for _, x := range f.Invalid {
		b = AppendString(AppendString(AppendString(b, x.Field), x.Value), x.Detail)
	}
	b = AppendStrings(b, f.Annotations)
	if len(f.Charges) == 0 {
		return b
	}
	b = AppendUint(b, uint64(len(f.Charges)))
	for _, x := range f.Charges {
		b = x.append(b)
	}
	return b
}

func (x Charge) append(b []byte) []byte {
	for _, s := range []string{x.Resource, x.Namespace, x.Name, x.UID, x.Totals, x.Limits} {
		b = AppendString(b, s)
	}
	for _, list := range [][]Amount{x.Amounts, x.Bounds} {
		b = AppendUint(b, uint64(len(list)))
		for _, a := range list {
			b = AppendString(AppendString(b, a.Key), a.Quantity)
		}
	}
	return b
}

// Findings reads what a guest of 2.1 writes behind a verdict; one of 2.0 writes
// nothing, and there are none.
func (r *Reader) Findings() (f Findings) {
	if len(r.Rest()) == 0 {
		return f
	}
	for range r.Count(3) {
		f.Invalid = append(f.Invalid, Fault{Field: r.Str(), Value: r.Str(), Detail: r.Str()})
	}
	f.Annotations = r.Strings()
	if len(r.Rest()) == 0 {
		return f
	}
	for range r.Count(8) {
		x := Charge{Resource: r.Str(), Namespace: r.Str(), Name: r.Str(), UID: r.Str(), Totals: r.Str(), Limits: r.Str()}
		x.Amounts, x.Bounds = readAmounts(r), readAmounts(r)
		f.Charges = append(f.Charges, x)
	}
	return f
}

func readAmounts(r *Reader) (list []Amount) {
	for range r.Count(2) {
		list = append(list, Amount{Key: r.Str(), Quantity: r.Str()})
	}
	return list
}

// Verdict reads a Verdict; patch values are parts of the frame.
func (r *Reader) Verdict() Verdict {
	v := Verdict{Denied: r.Bool(), Message: r.Str(), Warnings: r.Strings()}
	for range r.Count(3) {
		v.Patch = append(v.Patch, PatchOp{Remove: r.Bool(), Path: r.Str(), Value: r.Bytes()})
	}
	v.Forbidden = r.Bool()
	for range r.Count(4) {
		v.Await = append(v.Await, r.GetRequest())
	}
	return v
}

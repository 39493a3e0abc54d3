package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"
)

// Request is one request that is recorded. Nil is one that is not. It is used by
// whoever serves the request, one goroutine at a time.
type Request struct {
	ctx               context.Context // has about
	about             *audit.AuditContext
	auditor           *Auditor
	level             auditinternal.Level
	omitManagedFields bool
}

type key struct{}

// From is the request that a context belongs to; nil if it is not recorded.
func From(ctx context.Context) *Request {
	q, _ := ctx.Value(key{}).(*Request)
	return q
}

// Received is the stage RequestReceived. It reports whether the request may go on:
// not if a strict backend has lost the event.
func (q *Request) Received() bool {
	if q == nil || q.stage(auditinternal.StageRequestReceived) {
		return true
	}
	q.auditor.metrics.rejected.Inc()
	return false
}

// Answered notes the code of the answer, whose first bytes go out. Streams have a
// stage of their own then, ResponseStarted.
func (q *Request) Answered(code int, streams bool) {
	if q == nil {
		return
	}
	q.about.SetEventResponseStatusCode(int32(code))
	if streams {
		q.stage(auditinternal.StageResponseStarted)
	}
}

// Done is the stage ResponseComplete; streams tells that the answer was to have a
// ResponseStarted.
func (q *Request) Done(streams bool) {
	if q == nil {
		return
	}
	if q.about.GetEventResponseStatus() == nil { // nothing was answered
		q.about.SetEventResponseStatus(&metav1.Status{Code: http.StatusOK, Status: metav1.StatusSuccess, Message: "Connection closed early"})
		if streams {
			q.stage(auditinternal.StageResponseStarted)
		}
	}
	q.stage(auditinternal.StageResponseComplete)
}

// Panicked is the stage Panic, which is the last.
func (q *Request) Panicked(value any) {
	if q == nil {
		return
	}
	q.about.SetEventResponseStatus(&metav1.Status{Code: http.StatusInternalServerError, Status: metav1.StatusFailure,
		Reason: metav1.StatusReasonInternalError, Message: fmt.Sprintf("APIServer panic'd: %v", value)})
	q.stage(auditinternal.StagePanic)
}

func (q *Request) stage(s auditinternal.Stage) bool {
	return q.about.ProcessEventStage(q.ctx, s)
}

// Impersonates notes as whom the user acts from here on, and by which verb of
// constrained impersonation, if he does so by one.
func (q *Request) Impersonates(u user.Info, constraint string) {
	if q != nil {
		q.about.LogImpersonatedUser(u, constraint)
	}
}

// wants tells whether the request is recorded at a level, or deeper.
func (q *Request) wants(level auditinternal.Level) bool {
	return q != nil && q.level.GreaterOrEqual(level)
}

// Object is the object that a request brings. Its names complete what the event is
// about; encode makes JSON of it, or of a copy, if the event is to have it.
func (q *Request) Object(obj runtime.Object, resource schema.GroupVersionResource, subresource string, encode func(runtime.Object) ([]byte, error)) {
	if q == nil {
		return
	}
	if !q.wants(auditinternal.LevelRequest) {
		encode = nil
	}
	audit.LogRequestObject(q.ctx, obj, resource.GroupVersion(), resource, subresource, serializer{encode})
}

// Patch is what a request brings as a patch.
func (q *Request) Patch(data []byte, pt types.PatchType) {
	if !q.wants(auditinternal.LevelRequest) {
		return
	}
	if pt == types.ApplyYAMLPatchType {
		var err error
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return // it is refused
		}
	}
	if json.Valid(data) {
		q.about.LogRequestPatch(data)
	}
}

// Status is an answer that is a Status.
func (q *Request) Status(st *metav1.Status) {
	if q == nil {
		return
	}
	var body *runtime.Unknown
	if raw, err := json.Marshal(st); err == nil && q.wants(auditinternal.LevelRequestResponse) {
		body = &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}
	}
	q.about.LogResponseObject(st, body)
}

// Response is an answer that is an object, in JSON: raw, or the error of making it. It
// is worth encoding if [Request.WantsResponse].
func (q *Request) Response(raw []byte, err error) {
	if !q.wants(auditinternal.LevelRequestResponse) {
		return
	}
	if err == nil && q.omitManagedFields {
		raw, err = withoutManagedFields(raw)
	}
	if err != nil {
		return // neither has the client got it
	}
	q.about.LogResponseObject(nil, &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON})
}

// WantsResponse tells whether the event is to have what [Request.Response] takes.
func (q *Request) WantsResponse() bool { return q.wants(auditinternal.LevelRequestResponse) }

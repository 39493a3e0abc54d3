package inprocess

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// request is one that is recorded.
type request struct {
	Recorder
	about *audit.Request
	t     registry.Target
}

// begin asks the policy; nil is a request that it leaves out.
func (r recorded) begin(ctx context.Context, verb string, t registry.Target) (context.Context, *request) {
	ctx, q := r.Auditor.InProcess(ctx, func() *http.Request { return asHTTP(verb, t) }, authorizer.AttributesRecord{User: r.user, Verb: verb, ResourceRequest: true,
		Namespace: t.Namespace, Name: t.Name, APIGroup: t.Resource.Group, APIVersion: t.Resource.Version, Resource: t.Resource.Resource, Subresource: t.Subresource})
	if q == nil {
		return ctx, nil
	}
	return ctx, &request{r.Recorder, q, t}
}

// asHTTP is what the request would be over HTTP: an event names its URI and client.
func asHTTP(verb string, t registry.Target) *http.Request {
	p := "/apis/" + t.Resource.Group
	if t.Resource.Group == "" {
		p = "/api"
	}
	p += "/" + t.Resource.Version
	if t.Namespace != "" {
		p += "/namespaces/" + t.Namespace
	}
	if p += "/" + t.Resource.Resource; t.Name != "" {
		p += "/" + t.Name
	}
	if t.Subresource != "" {
		p += "/" + t.Subresource
	}
	u := &url.URL{Path: p}
	if verb == "watch" {
		u.RawQuery = "watch=true"
	}
	// Of the request the event takes these alone.
	return &http.Request{URL: u, RequestURI: u.RequestURI(), RemoteAddr: "127.0.0.1:0", Header: http.Header{"User-Agent": {"pintle"}}}
}

// brings notes the object that the request brings.
func (q *request) brings(obj runtime.Object) {
	q.about.Object(obj, q.t.Resource, q.t.Subresource, q.encode)
}

func (q *request) encode(obj runtime.Object) ([]byte, error) {
	raw, err := q.Encode(obj, q.t.Resource.GroupVersion())
	if err != nil && q.t.Subresource != "" { // which has a kind of another group
		return json.Marshal(obj)
	}
	return raw, err
}

// answer ends the request with an object, or with an error.
func (q *request) answer(obj runtime.Object, code int, err error) {
	switch st, ok := obj.(*metav1.Status); {
	case err != nil:
		st := statusOf(err)
		q.about.Answered(int(st.Code), false)
		q.about.Status(st)
	case ok:
		q.about.Answered(code, false)
		q.about.Status(st)
	default:
		q.about.Answered(code, false)
		if obj != nil && q.about.WantsResponse() {
			q.about.Response(q.encode(obj))
		}
	}
	q.about.Done(false)
}

// statusOf is an error as a client would see it.
func statusOf(err error) *metav1.Status {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	st := status.Status()
	return &st
}

func (q *request) object(obj *watch.Object, err error) {
	if obj == nil {
		q.answer(nil, http.StatusOK, err)
		return
	}
	q.answer(obj.Obj, http.StatusOK, err)
}

// result ends a write.
func (q *request) result(verb string, res *registry.Result, err error) {
	if err != nil || res == nil {
		q.answer(nil, http.StatusOK, err)
		return
	}
	code := http.StatusOK
	if verb == "create" || res.Created {
		code = http.StatusCreated
	}
	if res.Object != nil && res.Answer == nil {
		q.answer(res.Object.Obj, code, nil)
		return
	}
	q.answer(res.Answer, code, nil)
}

// list ends a list, which is recorded as clients get it.
func (q *request) list(l *registry.List, err error) {
	if err == nil && q.about.WantsResponse() {
		q.about.Response(q.encodeList(l))
	}
	q.answer(nil, http.StatusOK, err)
}

func (q *request) encodeList(l *registry.List) ([]byte, error) {
	out := struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}{metav1.TypeMeta{Kind: "List", APIVersion: "v1"}, metav1.ListMeta{ResourceVersion: strconv.FormatInt(l.Revision, 10), Continue: l.Continue}, make([]json.RawMessage, 0, len(l.Items))}
	for _, o := range l.Items {
		raw, err := q.encode(o.Obj)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, raw)
	}
	return json.Marshal(out)
}

// watch ends the request when its watch ends.
func (q *request) watch(ctx context.Context, w registry.Watcher) registry.Watcher {
	done := sync.OnceFunc(func() { q.about.Done(true) })
	q.about.Answered(http.StatusOK, true)
	return &watching{w, context.AfterFunc(ctx, done), done}
}

// watching is a watch that is recorded.
type watching struct {
	registry.Watcher
	forget func() bool
	done   func()
}

// Stop implements registry.Watcher.
func (w *watching) Stop() {
	w.Watcher.Stop()
	w.forget()
	w.done()
}

package apiserver_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/registry"
)

// by are the events of a user about objects of one namespace, when there are so many.
func (r *eventLog) by(t *testing.T, user, namespace string, n int) (out []*auditinternal.Event) {
	t.Helper()
	for range 4000 {
		r.mu.Lock()
		out = slices.DeleteFunc(slices.Clone(r.events), func(ev *auditinternal.Event) bool {
			return ev.User.Username != user || ev.ObjectRef == nil || ev.ObjectRef.Namespace != namespace
		})
		r.mu.Unlock()
		if len(out) >= n {
			return out
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d events of %s, want %d", len(out), user, n)
	return nil
}

// TestAuditInProcess: what the server's own parts ask is recorded as theirs.
func TestAuditInProcess(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, `
rules:
- {level: None, namespaces: [hidden]}
- {level: RequestResponse, namespaces: [own], omitManagedFields: true}
- {level: Metadata}
`, nil)
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	at := func(namespace, name string) registry.Target {
		return registry.Target{Resource: gvr, Namespace: namespace, Name: name}
	}
	cm := func(namespace, name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{"k": "v"}}
	}
	cs := c.Kernel.Access().As(auth.APIServer)
	for _, ns := range []string{"own", "hidden"} {
		if _, err := cs.Create(t.Context(), registry.Target{Resource: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := cs.Create(t.Context(), at(ns, ""), cm(ns, "a"), registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cs.Get(t.Context(), at("own", "nobody"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	if _, err := cs.List(t.Context(), at("own", ""), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.Patch(t.Context(), at("own", "a"), types.MergePatchType, []byte(`{"data":{"p":"q"}}`), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := cs.Watch(t.Context(), at("own", ""), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	results, err := cs.Batch(t.Context(), []registry.BatchItem{
		{Verb: "create", Target: at("own", ""), Object: cm("own", "b")},
		{Verb: "create", Target: at("own", ""), Object: cm("own", "a")},
		{Verb: "delete", Target: at("own", "a")},
		{Verb: "create", Target: at("hidden", ""), Object: cm("hidden", "c")},
	}, false)
	if err != nil || results[0].Err != nil || !apierrors.IsAlreadyExists(results[1].Err) || results[2].Err != nil {
		t.Fatal(results, err)
	}
	var got []string
	for _, ev := range events.by(t, "system:apiserver", "own", 9) {
		got = append(got, strings.TrimSpace(ev.Verb+" "+ev.ObjectRef.Name+" "+string(ev.Stage)+" "+ev.RequestURI+" "+string(ev.ResponseStatus.Reason)))
		if ev.Verb == "create" && ev.ObjectRef.Name == "b" {
			in, out := bodyIn(ev.RequestObject), bodyIn(ev.ResponseObject)
			meta, _ := out["metadata"].(map[string]any)
			if in["kind"] != "ConfigMap" || out["kind"] != "ConfigMap" || meta["uid"] == nil || meta["managedFields"] != nil || ev.ResponseStatus.Code != 201 {
				t.Errorf("%d: request %v, response %v", ev.ResponseStatus.Code, in, out)
			}
		}
		if ev.Verb == "list" {
			if items, _ := bodyIn(ev.ResponseObject)["items"].([]any); len(items) != 1 {
				t.Errorf("list %v", bodyIn(ev.ResponseObject))
			}
		}
		if ev.AuditID == "" || ev.UserAgent != "pintle" || ev.StageTimestamp.Before(&ev.RequestReceivedTimestamp) {
			t.Errorf("event %+v", ev)
		}
	}
	slices.Sort(got)
	const uri = "/api/v1/namespaces/own/configmaps"
	want := []string{
		"create a ResponseComplete " + uri,
		"create a ResponseComplete " + uri + " AlreadyExists",
		"create b ResponseComplete " + uri,
		"delete a ResponseComplete " + uri + "/a",
		"get nobody ResponseComplete " + uri + "/nobody NotFound",
		"list  ResponseComplete " + uri,
		"patch a ResponseComplete " + uri + "/a",
		"watch  ResponseComplete " + uri + "?watch=true",
		"watch  ResponseStarted " + uri + "?watch=true",
	}
	got = slices.DeleteFunc(got, func(s string) bool {
		return strings.Contains(s, "create own") || strings.Contains(s, "serviceaccounts")
	})
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if hidden := events.by(t, "system:apiserver", "hidden", 0); len(hidden) != 0 {
		t.Errorf("what the policy leaves out was recorded: %+v", hidden[0])
	}
	// Who may not is recorded, too, and so is what runs by itself.
	if _, err := c.Kernel.Access().As(auth.Scheduler).Get(t.Context(), registry.Target{Resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Namespace: "own", Name: "s"}, metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Fatal(err)
	}
	if ev := events.by(t, "system:kube-scheduler", "own", 1)[0]; ev.ResponseStatus.Code != 403 || ev.Verb != "get" {
		t.Errorf("event %+v", ev)
	}
	events.by(t, "system:serviceaccount:kube-system:clusterrole-aggregation-controller", "", 1)
}

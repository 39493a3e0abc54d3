package kinds_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

// Events are selected under both of their names, each with its own labels of
// fields; those of events.k8s.io are spelled as its objects are.
func TestEventsAreSelectedByTheirFields(t *testing.T) {
	p := start(t, kindtest.Table(t), memory.New())
	put(t, p, kindtest.Definition(t, "namespaces"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	about := corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "a", UID: "u", APIVersion: "v1", ResourceVersion: "7", FieldPath: "spec.containers{c}"}
	for _, e := range []*corev1.Event{
		{ObjectMeta: metav1.ObjectMeta{Name: "wanted", Namespace: "ns"}, InvolvedObject: about, Reason: "R", Type: "Warning",
			ReportingController: "example.com/c", ReportingInstance: "i", Action: "A", EventTime: metav1.NewMicroTime(time.Now())},
		{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "ns"}, InvolvedObject: corev1.ObjectReference{Kind: "Node", Namespace: "ns", Name: "b"}, Reason: "S", Type: "Normal"},
	} {
		put(t, p, kindtest.Definition(t, "events"), e)
	}
	core, own := corev1.SchemeGroupVersion.WithResource("events"), eventsv1.SchemeGroupVersion.WithResource("events")
	for _, tc := range []struct {
		target   registry.Target
		selector string
		wrong    bool
	}{
		{target: registry.Target{Resource: own}, selector: "regarding.kind=Pod"},
		{target: registry.Target{Resource: own}, selector: "regarding.namespace=ns,regarding.name=a"},
		{target: registry.Target{Resource: own}, selector: "regarding.uid=u"},
		{target: registry.Target{Resource: own}, selector: "regarding.apiVersion=v1"},
		{target: registry.Target{Resource: own}, selector: "regarding.resourceVersion=7"},
		{target: registry.Target{Resource: own}, selector: "regarding.fieldPath=spec.containers{c}"},
		{target: registry.Target{Resource: own}, selector: "reportingController=example.com/c"},
		{target: registry.Target{Resource: own}, selector: "reason!=S"},
		{target: registry.Target{Resource: own}, selector: "type=Warning,metadata.name=wanted"},
		{target: registry.Target{Resource: own}, selector: "involvedObject.kind=Pod", wrong: true},
		{target: registry.Target{Resource: own}, selector: "source=example.com/c", wrong: true},
		{target: registry.Target{Resource: core}, selector: "involvedObject.kind=Pod"},
		{target: registry.Target{Resource: core}, selector: "reportingComponent=example.com/c"},
		{target: registry.Target{Resource: core}, selector: "source=example.com/c"},
		{target: registry.Target{Resource: core}, selector: "regarding.kind=Pod", wrong: true},
		{target: registry.Target{Resource: core}, selector: "reportingController=example.com/c", wrong: true},
	} {
		for _, namespace := range []string{"", "ns"} {
			at := tc.target
			at.Namespace = namespace
			list, err := p.List(t.Context(), at, metav1.ListOptions{FieldSelector: tc.selector})
			if tc.wrong {
				if !apierrors.IsBadRequest(err) {
					t.Errorf("%s by %s: got %v, %v, want a bad request", at.Resource, tc.selector, list, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s by %s: %v", at.Resource, tc.selector, err)
				continue
			}
			if len(list.Items) != 1 || list.Items[0].Name != "wanted" {
				t.Errorf("%s by %s in %q: %d events", at.Resource, tc.selector, namespace, len(list.Items))
			}
			w, err := p.Watch(t.Context(), at, metav1.ListOptions{FieldSelector: tc.selector})
			if err != nil {
				t.Errorf("watch %s by %s: %v", at.Resource, tc.selector, err)
				continue
			}
			if e := <-w.Events(); e.Object.Name != "wanted" {
				t.Errorf("watch %s by %s: %s comes first", at.Resource, tc.selector, e.Object.Name)
			}
			w.Stop()
		}
	}
}

package events_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

// Events have two names and one store.
func TestEventsAreOneResource(t *testing.T) {
	tab := kindtest.Table(t)
	c := resource.NewCodec(resource.NewCatalog(tab))
	core, group := kindtest.Definition(t, "events"), kindtest.Definition(t, "events.events.k8s.io")
	if core.Hub() != group.Hub() || core.Stored() != group.Stored() {
		t.Fatalf("hubs %s and %s", core.Hub(), group.Hub())
	}
	obj, _, _, err := c.DecodeRequest([]byte(`{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e","namespace":"ns"},"regarding":{"kind":"Pod","name":"p","namespace":"ns"},"reason":"r","action":"a","type":"Normal","note":"n","reportingController":"example.com/c","reportingInstance":"i","eventTime":"2026-01-01T00:00:00.000000Z"}`), resource.JSON, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	hub, err := c.Convert(obj, group.Hub().GroupVersion())
	if err != nil {
		t.Fatal(err)
	}
	if e := hub.(*corev1.Event); e.InvolvedObject.Name != "p" || e.Message != "n" {
		t.Errorf("as a core event: %+v", e)
	}
	if errs := kindtest.Create(t, group, hub); len(errs) > 0 {
		t.Error(errs)
	}
	back, err := c.Convert(hub, eventsv1.SchemeGroupVersion)
	if err != nil || back.(*eventsv1.Event).Regarding.Name != "p" {
		t.Errorf("as an event of events.k8s.io: %+v, %v", back, err)
	}
	b, err := c.Encode(hub, eventsv1.SchemeGroupVersion, resource.JSON)
	if err != nil || !strings.HasPrefix(string(b), `{"kind":"Event","apiVersion":"events.k8s.io/v1",`) {
		t.Errorf("encoded: %s, %v", b, err)
	}
	label, _, err := tab.Scheme.ConvertFieldLabel(eventsv1.SchemeGroupVersion.WithKind("Event"), "regarding.name", "p")
	if err != nil || group.Strategy.Fields(hub).Get(label) != "p" {
		t.Errorf("field label %q: %v", label, err)
	}
	hub.(*corev1.Event).ReportingController = ""
	if errs := group.Strategy.Validate(t.Context(), hub); len(errs) == 0 {
		t.Error("events.k8s.io must refuse an event without reportingController")
	}
}

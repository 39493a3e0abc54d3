package resources_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
)

func TestNamespaceLife(t *testing.T) {
	d := definition(t, "namespaces")
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", ResourceVersion: "1"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}
	if errs := create(t, d, n); len(errs) > 0 {
		t.Fatal(errs)
	}
	if n.Status.Phase != corev1.NamespaceActive || !cmp.Equal(n.Spec.Finalizers, []corev1.FinalizerName{"kubernetes"}) || n.Labels["kubernetes.io/metadata.name"] != "ns" {
		t.Errorf("new namespace %+v", n)
	}
	same := n.DeepCopy()
	same.Spec.Finalizers = nil
	if errs := update(t, d, same, n); len(errs) > 0 || len(same.Spec.Finalizers) != 1 {
		t.Errorf("an update removed the finalizer: %v, %v", errs, same.Spec.Finalizers)
	}
	marked := n.DeepCopy()
	d.Strategy.PrepareForDelete(t.Context(), marked)
	if marked.Status.Phase != corev1.NamespaceTerminating || !d.Strategy.Held(marked) {
		t.Errorf("marked for deletion: phase %s, held %v", marked.Status.Phase, d.Strategy.Held(marked))
	}
	now := metav1.Now()
	marked.DeletionTimestamp = &now
	final := marked.DeepCopy()
	final.Spec.Finalizers = nil
	final.Status.Phase = corev1.NamespaceActive
	if errs := updateSub(t, d, "finalize", final, marked); len(errs) > 0 || d.Strategy.Held(final) || final.Status.Phase != corev1.NamespaceTerminating {
		t.Errorf("finalized: %v, held %v, phase %s", errs, d.Strategy.Held(final), final.Status.Phase)
	}
}

func TestImmutableSecretsAndConfigMaps(t *testing.T) {
	old := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns", ResourceVersion: "1"}, Immutable: ptr.To(true), StringData: map[string]string{"a": "b"}}
	d := definition(t, "secrets")
	if errs := create(t, d, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if string(old.Data["a"]) != "b" || old.StringData != nil || old.Type != corev1.SecretTypeOpaque {
		t.Errorf("stringData is write only: %+v", old)
	}
	next := old.DeepCopy()
	next.Data = map[string][]byte{"a": []byte("c")}
	if errs := update(t, d, next, old); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "data: Forbidden: field is immutable when `immutable` is set") {
		t.Errorf("secret: %v", errs.ToAggregate())
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns", ResourceVersion: "1"}, Immutable: ptr.To(true)}
	nextCM := cm.DeepCopy()
	nextCM.Immutable = nil
	if errs := update(t, definition(t, "configmaps"), nextCM, cm); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "immutable: Forbidden") {
		t.Errorf("config map: %v", errs.ToAggregate())
	}
}

func TestSigningRequestsRecordWhoAsks(t *testing.T) {
	d := definition(t, "certificatesigningrequests.certificates.k8s.io")
	csr := func() *certificatesv1.CertificateSigningRequest {
		return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "c", ResourceVersion: "1"},
			Spec: certificatesv1.CertificateSigningRequestSpec{Username: "somebody", SignerName: "example.com/signer", Request: testCSR(t), Usages: []certificatesv1.KeyUsage{"client auth"}}}
	}
	old := csr()
	ctx := t.Context()
	d.Strategy.Requested(old, &user.DefaultInfo{Name: "jane", UID: "7", Groups: []string{"dev"}, Extra: map[string][]string{"k": {"v"}}})
	d.Strategy.PrepareForCreate(ctx, old)
	if errs := d.Strategy.Validate(ctx, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if s := old.Spec; s.Username != "jane" || s.UID != "7" || s.Groups[0] != "dev" || s.Extra["k"][0] != "v" {
		t.Errorf("asked by %+v", s)
	}
	approve := func(c *certificatesv1.CertificateSigningRequest) {
		c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "r"}}
	}
	// Only the approval subresource approves; it cannot issue.
	approved := old.DeepCopy()
	approve(approved)
	approved.Status.Certificate = []byte("x")
	approved.Spec.SignerName = "other/signer"
	if errs := updateSub(t, d, "approval", approved, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(approved.Status.Conditions) != 1 || approved.Status.Conditions[0].LastTransitionTime.IsZero() || approved.Status.Certificate != nil || approved.Spec.SignerName != "example.com/signer" {
		t.Errorf("approved: %+v", approved)
	}
	sneaky := old.DeepCopy()
	approve(sneaky)
	if errs := updateSub(t, d, "status", sneaky, old); len(errs) == 0 {
		t.Error("a status update approved a request")
	}
	sneaky = old.DeepCopy()
	approve(sneaky)
	sneaky.Spec.Username = "root"
	if errs := update(t, d, sneaky, old); len(errs) > 0 || len(sneaky.Status.Conditions) > 0 || sneaky.Spec.Username != "jane" {
		t.Errorf("an update changed spec or status: %v %+v", errs, sneaky)
	}
}

func TestLeases(t *testing.T) {
	s := definition(t, "leases.coordination.k8s.io").Strategy
	if !s.AllowCreateOnUpdate || s.AllowUnconditionalUpdate {
		t.Error("a lease is created by update, and never without a resourceVersion")
	}
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l", Namespace: "ns"}, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: ptr.To[int32](0)}}
	if errs := create(t, definition(t, "leases.coordination.k8s.io"), l); len(errs) == 0 {
		t.Error("a lease of no duration was accepted")
	}
}

func TestRoleValidation(t *testing.T) {
	r := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "ns"}, Rules: []rbacv1.PolicyRule{{Resources: []string{"pods"}, APIGroups: []string{""}}}}
	if errs := create(t, definition(t, "roles.rbac.authorization.k8s.io"), r); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), "rules[0].verbs: Required value") {
		t.Errorf("got %v", errs.ToAggregate())
	}
}

func TestEndpointSliceGeneration(t *testing.T) {
	d := definition(t, "endpointslices.discovery.k8s.io")
	old := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "ns", ResourceVersion: "1"}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, DeprecatedTopology: map[string]string{"a": "b"}}}}
	if errs := create(t, d, old); len(errs) > 0 || old.Endpoints[0].DeprecatedTopology != nil {
		t.Fatal(errs, old)
	}
	for name, tc := range map[string]struct {
		edit func(*discoveryv1.EndpointSlice)
		want int64
	}{
		"annotation": {func(s *discoveryv1.EndpointSlice) { s.Annotations = map[string]string{"a": "b"} }, 1},
		"label":      {func(s *discoveryv1.EndpointSlice) { s.Labels = map[string]string{"a": "b"} }, 2},
		"endpoint":   {func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil }, 2},
	} {
		next := old.DeepCopy()
		tc.edit(next)
		if errs := update(t, d, next, old); len(errs) > 0 || next.Generation != tc.want {
			t.Errorf("%s: %v, generation %d, want %d", name, errs, next.Generation, tc.want)
		}
	}
}

// Events have two names and one store.
func TestEventsAreOneResource(t *testing.T) {
	tab := table(t)
	c := resource.NewCodec(resource.NewCatalog(tab))
	core, group := definition(t, "events"), definition(t, "events.events.k8s.io")
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
	if errs := create(t, group, hub); len(errs) > 0 {
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

func TestColumns(t *testing.T) {
	tab := table(t)
	pod := storedPod(t, onNode, func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", Ready: true, RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	})
	svc := newService("web", withIP("10.96.0.9"))
	svc.Spec.ClusterIPs = []string{"10.96.0.9"}
	tab.Scheme.Default(svc)
	dep := deployment(func(d *appsv1.Deployment) { d.Status.ReadyReplicas = 1 })
	tab.Scheme.Default(dep)
	for _, tc := range []struct {
		list    runtime.Object
		columns string
		cells   []any
	}{
		{&corev1.PodList{Items: []corev1.Pod{*pod}}, "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates", []any{"p", "1/1", "Running", "2"}},
		{pod, "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates", []any{"p", "1/1", "Running", "2"}},
		{&appsv1.DeploymentList{Items: []appsv1.Deployment{*dep}}, "Name Ready Up-to-date Available Age Containers Images Selector", []any{"d", "1/1", int64(0), int64(0)}},
		{&corev1.ServiceList{Items: []corev1.Service{*svc}}, "Name Type Cluster-IP External-IP Port(s) Age Selector", []any{"web", "ClusterIP", "10.96.0.9", "<none>", "80/TCP"}},
		{&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, "Name Desired Available Age", []any{"d", int64(3), int64(0)}},
	} {
		got, err := tab.Columns(tc.list, metav1.TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range got.ColumnDefinitions {
			names = append(names, c.Name)
		}
		if s := strings.Join(names, " "); s != tc.columns {
			t.Errorf("columns %q, want %q", s, tc.columns)
		}
		if len(got.Rows) != 1 || !cmp.Equal(tc.cells, got.Rows[0].Cells[:len(tc.cells)]) {
			t.Errorf("%T: rows %+v, want %v", tc.list, got.Rows, tc.cells)
		}
		if _, ok := got.Rows[0].Object.Object.(*metav1.PartialObjectMetadata); !ok || got.Kind != "Table" {
			t.Errorf("a row of %s holds %T", got.Kind, got.Rows[0].Object.Object)
		}
	}
	whole, err := tab.Columns(pod, metav1.TableOptions{IncludeObject: metav1.IncludeObject, NoHeaders: true})
	if err != nil || whole.Rows[0].Object.Object != runtime.Object(pod) || len(whole.ColumnDefinitions) > 0 {
		t.Errorf("includeObject=Object without headers: %+v, %v", whole, err)
	}
}

func TestEveryKindPrints(t *testing.T) {
	tab := table(t)
	for _, d := range stored(t) {
		list, err := tab.Scheme.New(schema.GroupVersionKind{Group: d.Hub().Group, Version: d.StorageVersion, Kind: d.ListKind})
		if err != nil {
			if len(d.Versions) == 0 {
				continue // never listed
			}
			t.Errorf("%s: %v", d.GroupResource(), err)
			continue
		}
		got, err := tab.Columns(list, metav1.TableOptions{})
		if err != nil || len(got.ColumnDefinitions) == 0 || got.ColumnDefinitions[0].Name != "Name" && d.Kind != "Event" {
			t.Errorf("%s: %+v, %v", d.GroupResource(), got, err)
		}
	}
}

package hostclient_test

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/custom"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	lightmeta "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// gadget is an author's type of a custom kind; it need not say which.
type gadget struct {
	APIVersion string               `json:"apiVersion,omitempty"`
	Kind       string               `json:"kind,omitempty"`
	Metadata   lightmeta.ObjectMeta `json:"metadata"`
	Spec       map[string]string    `json:"spec,omitempty"`
	Status     map[string]string    `json:"status,omitempty"`
}

func (*gadget) APIResource() string { return "free.example/v1/gadgets" }

var gadgets = registry.Target{Resource: schema.GroupVersionResource{Group: "free.example", Version: "v1", Resource: "gadgets"}, Namespace: "default"}

// define makes the catalog know gadgets.
func (b *bench) define(t *testing.T) {
	t.Helper()
	keep, pods := true, ".status.pods"
	free := &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &keep}
	names := apiextensionsv1.CustomResourceDefinitionNames{Plural: "gadgets", Singular: "gadget", Kind: "Gadget", ListKind: "GadgetList"}
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "gadgets.free.example"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: "free.example", Scope: apiextensionsv1.NamespaceScoped, Names: names,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true,
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{},
					Scale: &apiextensionsv1.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.n", StatusReplicasPath: ".status.n", LabelSelectorPath: &pods}},
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: free}}}}}
	at := registry.Target{Resource: custom.Definitions}
	res, err := b.Create(t.Context(), at, crd, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.Codec.Convert(res.Object.Obj, apiextensionsv1.SchemeGroupVersion)
	if err != nil {
		t.Fatal(err)
	}
	crd = made.DeepCopyObject().(*apiextensionsv1.CustomResourceDefinition)
	crd.Status = apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: names, StoredVersions: []string{"v1"}, Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{
		{Type: apiextensionsv1.NamesAccepted, Status: apiextensionsv1.ConditionTrue}, {Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}}}
	at.Name, at.Subresource = crd.Name, "status"
	if _, err := b.Update(t.Context(), at, crd, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	kinds := custom.New(custom.Config{Catalog: b.Catalog, Codec: b.Codec, Registry: b.Registry})
	registrytest.Run(t, "custom kinds", kinds.Run)
	if err := kinds.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCustomKind: an object of a custom kind is one without naming its kind, in every
// verb; one that names another is refused.
func TestCustomKind(t *testing.T) {
	b := newBench(t)
	b.define(t)
	g := &gadget{Metadata: lightmeta.ObjectMeta{Namespace: "default", Name: "g"}, Spec: map[string]string{"v": "one"}}
	if err := b.c.Create(g); err != nil {
		t.Fatal(err)
	}
	g.APIVersion, g.Kind, g.Spec["v"] = "", "", "two"
	if err := b.c.Update(g); err != nil || g.Spec["v"] != "two" {
		t.Errorf("update: %v, %v", err, g.Spec)
	}
	g.APIVersion, g.Kind, g.Status = "", "", map[string]string{"s": "up"}
	if err := b.c.UpdateStatus(g); err != nil || g.Status["s"] != "up" {
		t.Errorf("update of the status: %v, %v", err, g.Status)
	}
	applied := &gadget{Metadata: lightmeta.ObjectMeta{Namespace: "default", Name: "g"}, Spec: map[string]string{"w": "three"}}
	if err := b.c.Apply(applied, true); err != nil || applied.Spec["w"] != "three" {
		t.Errorf("apply: %v, %v", err, applied.Spec)
	}
	errs, err := b.c.Batch([]client.Op{{Verb: client.VerbCreate, Object: &gadget{Metadata: lightmeta.ObjectMeta{Namespace: "default", Name: "h"}}}}, true)
	if err != nil || errs[0] != nil {
		t.Errorf("batch: %v, %v", err, errs)
	}
	at := gadgets
	at.Name = "g"
	o, err := b.Get(t.Context(), at, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if u := o.Obj.(*unstructured.Unstructured); u.GetKind() != "Gadget" || u.GetAPIVersion() != "free.example/v1" {
		t.Errorf("stored as %s of %s", u.GetKind(), u.GetAPIVersion())
	}
	for _, tt := range []struct{ apiVersion, kind string }{{"free.example/v1", "Widget"}, {"free.example/v2", "Gadget"}, {"v1", "ConfigMap"}} {
		bad := &gadget{APIVersion: tt.apiVersion, Kind: tt.kind, Metadata: lightmeta.ObjectMeta{Namespace: "default", Name: "bad"}}
		for what, err := range map[string]error{"create": b.c.Create(bad), "apply": b.c.Apply(bad, true)} {
			if !errors.Is(err, wire.ErrBadRequest) {
				t.Errorf("%s of %s in %s: %v, want a bad request", what, tt.kind, tt.apiVersion, err)
			}
		}
	}
}

// typedConfig is a config map that says what it is.
type typedConfig struct{ corev1.ConfigMap }

func (*typedConfig) APIResource() string { return "v1/configmaps" }

// TestBuiltInKind: what is not of the resource is refused for built-in kinds, too.
func TestBuiltInKind(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		apiVersion, kind string
		ok               bool
	}{{"", "", true}, {"v1", "ConfigMap", true}, {"v1", "Secret", false}, {"apps/v1", "ConfigMap", false}} {
		m := &typedConfig{}
		m.Namespace, m.GenerateName, m.APIVersion, m.Kind = "default", "m-", tt.apiVersion, tt.kind
		if err := b.c.Create(m); (err == nil) != tt.ok || err != nil && !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%s in %s: %v", tt.kind, tt.apiVersion, err)
		}
	}
}

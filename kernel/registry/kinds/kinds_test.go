package kinds_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/resource"
)

var configMaps = schema.GroupResource{Resource: "configmaps"}

func define(plural, kind string) *resource.Definition {
	return &resource.Definition{Resource: plural, Singular: plural[:len(plural)-1], Kind: kind, ListKind: kind + "List", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/" + plural}
}

func newKinds(t *testing.T, d ...*resource.Definition) (*kinds.Kinds, *resource.Catalog) {
	t.Helper()
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	table := &resource.Table{Scheme: s, Definitions: d}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	catalog := resource.NewCatalog(table)
	codec := resource.NewCodec(catalog)
	x, err := kinds.New(catalog, codec, fieldmanager.Shared{Scheme: s, Convert: codec})
	if err != nil {
		t.Fatal(err)
	}
	return x, catalog
}

// Kinds come and go with the catalog; what did not change is the same value, with
// all that was learned of it.
func TestFollowCatalog(t *testing.T) {
	x, catalog := newKinds(t, define("configmaps", "ConfigMap"))
	before := x.Get(configMaps)
	secrets := schema.GroupResource{Resource: "secrets"}
	if before == nil || x.Get(secrets) != nil || x.Definition(secrets) != nil {
		t.Fatalf("configmaps %v, secrets %v", before, x.Get(secrets))
	}
	p := catalog.Producer("test")
	if err := p.Apply([]*resource.Definition{define("secrets", "Secret")}); err != nil {
		t.Fatal(err)
	}
	if x.Get(secrets) == nil || x.Definition(secrets) == nil || x.Get(configMaps) != before {
		t.Errorf("secrets %v, configmaps %p, want %p", x.Get(secrets), x.Get(configMaps), before)
	}
	if err := p.Apply(nil, secrets); err != nil {
		t.Fatal(err)
	}
	if x.Get(secrets) != nil || x.Get(configMaps) != before {
		t.Errorf("secrets %v, configmaps %p, want %p", x.Get(secrets), x.Get(configMaps), before)
	}
}

// Objects of clients are copied, defaulted and of this kind.
func TestToHub(t *testing.T) {
	x, _ := newKinds(t, define("configmaps", "ConfigMap"))
	k, in := x.Get(configMaps), &corev1.ConfigMap{Data: map[string]string{"a": "b"}}
	out, err := k.ToHub(t.Context(), "v1", in)
	if err != nil {
		t.Fatal(err)
	}
	out.(*corev1.ConfigMap).Data["a"] = "c"
	if in.Data["a"] != "b" || out.GetObjectKind().GroupVersionKind() != k.GVK {
		t.Errorf("in %v, out %v", in, out)
	}
	for _, wrong := range []runtime.Object{nil, &corev1.Secret{}} {
		if _, err := k.ToHub(t.Context(), "v1", wrong); !apierrors.IsBadRequest(err) {
			t.Errorf("%T: %v", wrong, err)
		}
	}
}

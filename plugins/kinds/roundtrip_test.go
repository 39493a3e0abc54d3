package kinds_test

import (
	"bytes"
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
	extensionsfuzzer "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubefuzzer "k8s.io/kubernetes/pkg/api/testing"
	"sigs.k8s.io/randfill"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func filler(seed int64) *randfill.Filler {
	return fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(kubefuzzer.FuzzerFuncs, extensionsfuzzer.Funcs), rand.NewSource(seed), legacyscheme.Codecs)
}

// random is a hub object filled by upstream's fuzzers, with defaults.
func random(t testing.TB, c *resource.Codec, d *resource.Definition, f *randfill.Filler) runtime.Object {
	t.Helper()
	hub := d.Hub()
	in, err := kindtest.Table(t).Scheme.New(schema.GroupVersionKind{Group: hub.Group, Version: runtime.APIVersionInternal, Kind: hub.Kind})
	if err != nil {
		t.Fatal(err)
	}
	f.Fill(in)
	obj, err := c.Convert(in, hub.GroupVersion())
	if err != nil {
		t.Fatal(err)
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	m.SetName("x")
	m.SetLabels(nil)
	m.SetNamespace("")
	if d.Namespaced {
		m.SetNamespace("ns")
	}
	m.SetGeneration(7)
	m.SetResourceVersion("5")
	m.SetSelfLink("")
	m.SetManagedFields(nil)
	kindtest.Table(t).Scheme.Default(obj)
	if d.Strategy.Decoded != nil {
		d.Strategy.Decoded(obj)
	}
	obj.GetObjectKind().SetGroupVersionKind(hub)
	return obj
}

func stored(t testing.TB) []*resource.Definition {
	var out []*resource.Definition
	for _, d := range kindtest.Table(t).Definitions {
		if !d.Virtual {
			out = append(out, d)
		}
	}
	return out
}

const rounds = 20

func TestRoundTripThroughStoreAndWire(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(kindtest.Table(t)))
	f := filler(1)
	for _, d := range stored(t) {
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			for range rounds {
				obj := random(t, c, d, f)
				value, err := c.EncodeStorage(d, obj)
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.Decode(d, value, 5)
				if err != nil {
					t.Fatal(err)
				}
				if !equality.Semantic.DeepEqual(obj, got) {
					t.Fatalf("store (-want +got):\n%s", cmp.Diff(obj, got))
				}
				for _, mt := range []string{resource.JSON, resource.YAML, resource.Protobuf} {
					b, err := c.Encode(obj, d.Hub().GroupVersion(), mt)
					if err != nil {
						t.Fatal(err)
					}
					got, gvk, strict, err := c.DecodeRequest(b, mt, nil, true)
					if err != nil || len(strict) > 0 {
						t.Fatalf("%s: %v, %v", mt, err, strict)
					}
					if d.Strategy.Decoded != nil {
						d.Strategy.Decoded(got)
					}
					if *gvk != d.Hub() || !equality.Semantic.DeepEqual(obj, got) {
						t.Fatalf("%s of kind %s (-want +got):\n%s", mt, gvk, cmp.Diff(obj, got))
					}
				}
			}
		})
	}
}

// An older version in the store comes out as the hub, and every served version
// comes back as it went.
func TestEveryVersionConverts(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(kindtest.Table(t)))
	f := filler(2)
	for _, d := range stored(t) {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			obj := random(t, c, d, f)
			b, err := c.Encode(obj, gv, resource.Protobuf)
			if err != nil {
				t.Errorf("%s as %s: %v", d.GroupResource(), gv, err)
				continue
			}
			got, err := c.Decode(d, b, 5)
			if err != nil {
				t.Errorf("%s of %s: %v", d.GroupResource(), gv, err)
				continue
			}
			if got.GetObjectKind().GroupVersionKind() != d.Hub() {
				t.Errorf("%s of %s decodes as %s", d.GroupResource(), gv, got.GetObjectKind().GroupVersionKind())
			}
			again, err := c.Encode(got, gv, resource.Protobuf)
			if err != nil || !bytes.Equal(b, again) {
				t.Errorf("%s in %s changes on its way through the hub: %v", d.GroupResource(), gv, err)
			}
		}
	}
}

func TestListsOfEveryKind(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(kindtest.Table(t)))
	f := filler(3)
	for _, d := range stored(t) {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			for _, mt := range []string{resource.JSON, resource.Protobuf} {
				var items [][]byte
				for range 3 {
					b, err := c.Encode(random(t, c, d, f), gv, mt)
					if err != nil {
						t.Fatal(err)
					}
					items = append(items, b)
				}
				var buf bytes.Buffer
				if err := resource.WriteList(&buf, mt, gv.WithKind(d.ListKind), gv.WithKind(d.Kind), metav1.ListMeta{ResourceVersion: "9"}, items); err != nil {
					t.Fatal(err)
				}
				list, _, _, err := c.DecodeRequest(buf.Bytes(), mt, nil, true)
				if err != nil {
					t.Errorf("%s as %s: %v", gv.WithKind(d.ListKind), mt, err)
					continue
				}
				lm, err := meta.ListAccessor(list)
				if err != nil || lm.GetResourceVersion() != "9" || meta.LenList(list) != 3 {
					t.Errorf("%s as %s: %d items at revision %q, want 3 at 9 (%v)", gv.WithKind(d.ListKind), mt, meta.LenList(list), lm.GetResourceVersion(), err)
				}
			}
		}
	}
}

// Hooks of every kind meet objects that nobody thought of. They must not panic
// and must never change the old object, which is the cache's.
func TestHooksNeverChangeTheOldObject(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(kindtest.Table(t)))
	f := filler(4)
	for _, d := range stored(t) {
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			s := d.Strategy
			for range rounds {
				fresh := random(t, c, d, f)
				s.PrepareForCreate(t.Context(), fresh)
				s.Validate(t.Context(), fresh)
				old := random(t, c, d, f)
				check := func(name string, hook func(obj runtime.Object)) {
					before := old.DeepCopyObject()
					obj := random(t, c, d, f)
					hook(obj)
					if !equality.Semantic.DeepEqual(before, old) {
						t.Fatalf("%s changed the old object:\n%s", name, cmp.Diff(before, old))
					}
				}
				check("update", func(obj runtime.Object) {
					s.PrepareForUpdate(t.Context(), obj, old)
					s.ValidateUpdate(t.Context(), obj, old)
					if s.Warnings != nil {
						s.Warnings(t.Context(), obj, old)
						s.Warnings(t.Context(), obj, nil)
					}
					if s.Canonicalize != nil {
						s.Canonicalize(obj)
					}
					if s.Fields != nil {
						s.Fields(obj)
					}
				})
				for _, sub := range d.Subresources {
					if sub.PrepareForUpdate == nil {
						continue
					}
					check(sub.Name, func(obj runtime.Object) {
						sub.PrepareForUpdate(t.Context(), obj, old)
						sub.ValidateUpdate(t.Context(), obj, old)
					})
				}
			}
		})
	}
}

// An update that changes nothing raises no generation; one through the main
// resource cannot touch the status, one through status not the rest.
func TestStatusAndGenerationOfEveryKind(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(kindtest.Table(t)))
	f := filler(5)
	for _, d := range stored(t) {
		for range rounds {
			old := random(t, c, d, f)
			d.Strategy.PrepareForUpdate(t.Context(), old, old.DeepCopyObject()) // normal form
			same := old.DeepCopyObject()
			d.Strategy.PrepareForUpdate(t.Context(), same, old)
			if got, want := generation(t, same), generation(t, old); got != want {
				t.Errorf("%s: an update without changes raised the generation from %d to %d", d.GroupResource(), want, got)
			}
			sub := d.Subresource("status")
			if sub == nil {
				continue
			}
			obj := random(t, c, d, f)
			d.Strategy.PrepareForUpdate(t.Context(), obj, old)
			if a, b := part(t, obj, "status"), part(t, old, "status"); !statusFollows[d.Resource] && !equality.Semantic.DeepEqual(a, b) {
				t.Errorf("%s: an update changed the status:\n%s", d.GroupResource(), cmp.Diff(b, a))
			}
			obj = random(t, c, d, f)
			sub.PrepareForUpdate(t.Context(), obj, old)
			if a, b := part(t, obj, "spec"), part(t, old, "spec"); !equality.Semantic.DeepEqual(a, b) {
				t.Errorf("%s: a status update changed the spec:\n%s", d.GroupResource(), cmp.Diff(b, a))
			}
			if got, want := generation(t, obj), generation(t, old); got != want {
				t.Errorf("%s: a status update set generation %d, want %d", d.GroupResource(), got, want)
			}
		}
	}
}

// statusFollows are kinds of which an update changes the status: ingress of a
// Service, versions in which custom objects may be stored.
var statusFollows = map[string]bool{"services": true, "customresourcedefinitions": true}

func generation(t testing.TB, obj runtime.Object) int64 {
	t.Helper()
	m, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	return m.GetGeneration()
}

func part(t testing.TB, obj runtime.Object, name string) any {
	t.Helper()
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	return u[name]
}

func TestServerSideApplyKnowsEveryKind(t *testing.T) {
	tab := kindtest.Table(t)
	c := resource.NewCodec(resource.NewCatalog(tab))
	f := filler(6)
	for _, d := range stored(t) {
		for _, v := range d.Versions {
			obj, err := c.Convert(random(t, c, d, f), schema.GroupVersion{Group: d.Group, Version: v})
			if err != nil {
				t.Fatal(err)
			}
			obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Group: d.Group, Version: v, Kind: d.Kind})
			typed, err := tab.TypeConverter.ObjectToTyped(obj)
			if err != nil {
				t.Errorf("%s/%s: %v", d.GroupResource(), v, err)
				continue
			}
			back, err := tab.TypeConverter.TypedToObject(typed)
			if err != nil || back.GetObjectKind().GroupVersionKind().Kind != d.Kind {
				t.Errorf("%s/%s comes back as %v: %v", d.GroupResource(), v, back, err)
			}
		}
	}
}

package custom_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel"
	customconversion "github.com/pintle-io/pintle/kernel/custom/conversion"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/conversion"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "addresses", New: func([]byte) (sdk.Points, error) {
		return &conversion.Points{Convert: func(r conversion.Request) ([]byte, error) {
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(r.Object); err != nil {
				return nil, err
			}
			switch u.GetName() {
			case "refused":
				return nil, errors.New("spec.address: nobody knows it")
			case "renamed":
				u.SetName("other")
			case "garbage":
				return []byte("{"), nil
			}
			exchange(u, r.To)
			return json.Marshal(u.Object)
		}}, nil
	}})
	sdk.Register(sdk.Plugin{Name: "idle", New: func([]byte) (sdk.Points, error) { return nil, nil }})
}

func withPlugins(names ...string) func(*kerneltest.Options) {
	return func(o *kerneltest.Options) {
		o.Config = func(c *kernel.Config) {
			c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
			for _, name := range names {
				c.Builtins = append(c.Builtins, plugin.Builtin{Name: name, Spec: v1alpha1.PluginSpec{Host: v1alpha1.HostNative}})
			}
		}
	}
}

// TestConversionPlugin: a plugin that a definition names converts as a webhook does, and
// no more is believed of it.
func TestConversionPlugin(t *testing.T) {
	t.Parallel()
	s := start(t, withPlugins("addresses", "idle"))
	crd := definition(t, "addresses")
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	crd.Annotations = map[string]string{customconversion.PluginAnnotation: "addresses"}
	crd = s.create(crd)
	ctx, v1, v2 := t.Context(), s.of(crd, "v1", "default"), s.of(crd, "v2", "default")
	for _, name := range []string{"a", "refused", "renamed", "garbage"} {
		_, err := v1.Create(ctx, object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: "+name+"}\nspec: {address: 'x:1'}"), metav1.CreateOptions{})
		must(t, err)
	}
	u, err := v2.Get(ctx, "a", metav1.GetOptions{})
	must(t, err)
	if nested(t, u, "spec", "host") != "x" || u.GetGeneration() != 1 || u.GetLabels()["converted"] != "net.example-v2" {
		t.Errorf("converted: %v", u.Object)
	}
	if _, err = v2.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"port":"2"}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	if u, err = v1.Get(ctx, "a", metav1.GetOptions{}); err != nil || nested(t, u, "spec", "address") != "x:2" {
		t.Errorf("%v, %v", u, err)
	}
	fails := func(name, text string) {
		t.Helper()
		if _, err := v2.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want an internal error with %q", name, err, text)
		}
	}
	fails("refused", `conversion by plugin "addresses" for net.example/v1, Kind=Address failed: object 1 of 1: spec.address: nobody knows it`)
	fails("renamed", `name must be "renamed", not "other"`)
	fails("garbage", "it returned an invalid object")

	name := func(plugin string) {
		t.Helper()
		patch := `{"metadata":{"annotations":{"` + customconversion.PluginAnnotation + `":` + plugin + `}}}`
		_, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, crd.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		must(t, err)
	}
	for _, other := range []string{"nobody", "idle"} {
		name(`"` + other + `"`)
		registrytest.Eventually(t, "the annotation is followed", func() bool {
			_, err := v2.Get(ctx, "a", metav1.GetOptions{})
			return apierrors.IsInternalError(err) && strings.Contains(err.Error(), `there is no plugin "`+other+`" that converts`)
		})
	}
	name("null")
	registrytest.Eventually(t, "versions differ in their names only", func() bool {
		u, err := v2.Get(ctx, "a", metav1.GetOptions{})
		return err == nil && u.GetAPIVersion() == "net.example/v2" && nested(t, u, "spec", "host") == nil
	})
}

// TestConversionPluginComesBack: a plugin that is taken away and given again converts
// without a change of the definition.
func TestConversionPluginComesBack(t *testing.T) {
	t.Parallel()
	s := start(t, withPlugins("addresses"))
	crd := definition(t, "addresses")
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	crd.Annotations = map[string]string{customconversion.PluginAnnotation: "addresses"}
	crd = s.create(crd)
	v1, v2 := s.of(crd, "v1", "default"), s.of(crd, "v2", "default")
	_, err := v1.Create(t.Context(), object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: a}\nspec: {address: 'x:1'}"), metav1.CreateOptions{})
	must(t, err)
	if _, err := v2.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	must(t, s.dynamic.Resource(v1alpha1.Plugins).Delete(t.Context(), "addresses", metav1.DeleteOptions{}))
	registrytest.Eventually(t, "it converts again", func() bool { // what ships comes back
		u, err := v2.Get(t.Context(), "a", metav1.GetOptions{})
		return err == nil && nested(t, u, "spec", "host") == "x"
	})
}

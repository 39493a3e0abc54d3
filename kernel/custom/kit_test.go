package custom_test

import (
	"context"
	"os"
	"testing"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// server is a control plane with clients for definitions and for objects of any
// kind.
type server struct {
	*kerneltest.Server
	t       testing.TB
	crds    *clientset.Clientset
	dynamic dynamic.Interface
}

func start(t testing.TB, change ...func(*kerneltest.Options)) *server {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	must(t, err)
	o := kerneltest.Options{Table: table, Config: func(*kernel.Config) {}}
	for _, f := range change {
		f(&o)
	}
	return clients(t, kerneltest.Start(t, o))
}

func clients(t testing.TB, s *kerneltest.Server) *server {
	t.Helper()
	crds, err := clientset.NewForConfig(s.Admin())
	must(t, err)
	dyn, err := dynamic.NewForConfig(s.Admin())
	must(t, err)
	return &server{s, t, crds, dyn}
}

// definition reads a CustomResourceDefinition from testdata.
func definition(t testing.TB, file string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file + ".yaml")
	must(t, err)
	crd := &apiextensionsv1.CustomResourceDefinition{}
	must(t, yaml.UnmarshalStrict(data, crd))
	return crd
}

// create creates a definition and waits until it is established, as clients do.
func (s *server) create(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinition {
	s.t.Helper()
	_, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Create(s.t.Context(), crd, metav1.CreateOptions{})
	must(s.t, err)
	return s.await(crd.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established)
	})
}

// await watches a definition until it is as wanted. It does not poll: what a client
// is told must be enough.
func (s *server) await(name string, want func(*apiextensionsv1.CustomResourceDefinition) bool) *apiextensionsv1.CustomResourceDefinition {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	w, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	must(s.t, err)
	defer w.Stop()
	var last *apiextensionsv1.CustomResourceDefinition
	for e := range w.ResultChan() {
		if crd, ok := e.Object.(*apiextensionsv1.CustomResourceDefinition); ok {
			if last = crd; want(crd) {
				return crd
			}
		}
	}
	s.t.Fatalf("%s is not as it should be: %+v", name, last)
	return nil
}

// gone waits until a definition is gone.
func (s *server) gone(name string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		crd, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return
		}
		must(s.t, err)
		w, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: crd.ResourceVersion})
		must(s.t, err)
		<-w.ResultChan()
		w.Stop()
	}
	s.t.Fatalf("%s is not gone", name)
}

// of is a client of a resource in a namespace, or of all with "".
func (s *server) of(crd *apiextensionsv1.CustomResourceDefinition, version, namespace string) dynamic.ResourceInterface {
	r := s.dynamic.Resource(resourceOf(crd, version))
	if namespace == "" {
		return r
	}
	return r.Namespace(namespace)
}

func resourceOf(crd *apiextensionsv1.CustomResourceDefinition, version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: crd.Spec.Group, Version: version, Resource: crd.Spec.Names.Plural}
}

// object reads an object from YAML.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	must(t, err)
	u := &unstructured.Unstructured{}
	must(t, u.UnmarshalJSON(data))
	return u
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

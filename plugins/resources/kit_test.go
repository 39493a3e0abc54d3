package resources_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/netip"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/pintle-io/pintle/kernel/resource"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // upstream's code speaks of odd input
	os.Exit(m.Run())
}

func prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func ports(base, size int) utilnet.PortRange { return utilnet.PortRange{Base: base, Size: size} }

// cache is a resource.Reader over a map. It has no history, no watch and no
// concurrency.
type cache map[schema.GroupResource]map[string]runtime.Object

func (c cache) put(gr schema.GroupResource, obj runtime.Object) {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err)
	}
	if c[gr] == nil {
		c[gr] = map[string]runtime.Object{}
	}
	if m.GetResourceVersion() == "" {
		m.SetResourceVersion("1")
	}
	c[gr][m.GetNamespace()+"/"+m.GetName()] = obj
}

func (c cache) Get(_ context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	if obj, ok := c[gr][namespace+"/"+name]; ok {
		return obj, nil
	}
	return nil, apierrors.NewNotFound(gr, name)
}

func (c cache) List(_ context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	var out []runtime.Object
	for _, obj := range c[gr] {
		if m, err := meta.Accessor(obj); err == nil && (namespace == "" || m.GetNamespace() == namespace) {
			out = append(out, obj)
		}
	}
	return out, nil
}

// apply does what the store would, preconditions included.
func (c cache) apply(t testing.TB, companions []resource.Companion) {
	t.Helper()
	for _, x := range companions {
		_, exists := c[x.Resource][x.Namespace+"/"+x.Name]
		switch {
		case x.Object == nil:
			delete(c[x.Resource], x.Namespace+"/"+x.Name)
		case exists != x.Update:
			t.Fatalf("companion %s %s: exists %v, update %v", x.Resource, x.Name, exists, x.Update)
		default:
			c.put(x.Resource, x.Object)
		}
	}
}

// create runs a kind's hooks as the kernel does.
func create(t testing.TB, d *resource.Definition, obj runtime.Object) field.ErrorList {
	t.Helper()
	table(t).Scheme.Default(obj)
	d.Strategy.PrepareForCreate(t.Context(), obj)
	errs := d.Strategy.Validate(t.Context(), obj)
	if len(errs) == 0 && d.Strategy.Canonicalize != nil {
		d.Strategy.Canonicalize(obj)
	}
	return errs
}

func update(t testing.TB, d *resource.Definition, obj, old runtime.Object) field.ErrorList {
	t.Helper()
	before := old.DeepCopyObject()
	table(t).Scheme.Default(obj)
	d.Strategy.PrepareForUpdate(t.Context(), obj, old)
	errs := d.Strategy.ValidateUpdate(t.Context(), obj, old)
	unchanged(t, before, old)
	return errs
}

func updateSub(t testing.TB, d *resource.Definition, name string, obj, old runtime.Object) field.ErrorList {
	t.Helper()
	s := d.Subresource(name)
	if s == nil {
		t.Fatalf("%s has no subresource %s", d.Resource, name)
	}
	before := old.DeepCopyObject()
	s.PrepareForUpdate(t.Context(), obj, old)
	errs := s.ValidateUpdate(t.Context(), obj, old)
	unchanged(t, before, old)
	return errs
}

// unchanged: an old object is the cache's.
func unchanged(t testing.TB, before, old runtime.Object) {
	t.Helper()
	if diff := cmp.Diff(before, old); diff != "" {
		t.Errorf("a hook changed the old object (-before +after):\n%s", diff)
	}
}

func fromString(s string) intstr.IntOrString { return intstr.FromString(s) }

func address(t testing.TB, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func intOrString(s string) intstr.IntOrString { return intstr.Parse(s) }

// testCSR is a PEM certificate request.
func testCSR(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "jane"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

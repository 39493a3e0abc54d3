package kinds_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	openapi2 "github.com/google/gnostic-models/openapiv2"
	protobuf "google.golang.org/protobuf/proto"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

var ordersResource = schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "orders"}

const aggregatedDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// believed has an extension server learn whom to believe, as a service account with
// upstream's role may.
func (s *shop) believed(t *testing.T, e *extension) {
	t.Helper()
	for _, args := range [][]string{
		{"create", "serviceaccount", "shop"},
		{"create", "rolebinding", "shop", "-n", "kube-system", "--role=extension-apiserver-authentication-reader", "--serviceaccount=default:shop"},
	} {
		if out, err := s.kubectl(t, args...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cfg := rest.CopyConfig(s.Admin())
	cfg.Impersonate.UserName = "system:serviceaccount:default:shop"
	as := kerneltest.Client(t, cfg)
	until(t, "the role is in force", func() bool {
		m, err := as.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
		if err != nil {
			return false
		}
		e.believe(t, m)
		return true
	})
}

// TestAggregation: an extension server that runs unmodified, from the moment on at
// which its APIService is made until it is gone.
func TestAggregation(t *testing.T) {
	e := newExtension(t, "shop.default.svc")
	s := newShop(t, map[string]*httptest.Server{"10.9.0.1": e.Server})
	s.believed(t, e)
	s.sees(t, []string{"v1\\. Local True", "v1.apps Local True", "v1beta1.metrics.k8s.io Local True"}, "get", "apiservices")

	s.register(t, "shop.example", "v1", "shop", e.ca)
	s.sees(t, []string{"v1.shop.example default/shop False \\(ServiceNotFound\\)"}, "get", "apiservice", "v1.shop.example")
	if code, text := s.raw(t, "/apis/shop.example/v1"); code != 503 || strings.TrimSpace(text) != "service unavailable" {
		t.Errorf("away: %d %s", code, text)
	}
	s.service(t, "shop", "")
	s.sees(t, []string{"False \\(EndpointsNotFound\\)"}, "get", "apiservice", "v1.shop.example")
	s.endpoint(t, "shop", "10.9.0.1")
	s.sees(t, []string{"v1.shop.example default/shop True"}, "get", "apiservice", "v1.shop.example")

	t.Run("kubectl", func(t *testing.T) {
		s.sees(t, []string{"o1"}, "get", "orders")
		s.sees(t, []string{"ord shop.example/v1 true Order"}, "api-resources")
		s.sees(t, []string{"Order is what somebody wants."}, "explain", "orders")
	})
	t.Run("identity", s.identity)
	t.Run("watch", func(t *testing.T) { s.watches(t, e) })
	t.Run("upgrade", s.upgrades)
	t.Run("documents", s.documents)
	t.Run("documents of v2", s.documentsV2)
	t.Run("away", func(t *testing.T) { s.away(t, e) })
}

func (s *shop) identity(t *testing.T) {
	cfg := rest.CopyConfig(s.Admin())
	cfg.Impersonate = rest.ImpersonationConfig{UserName: "jane", UID: "42", Groups: []string{"system:masters"}, Extra: map[string][]string{"example.com/team": {"red"}}}
	// What a client says of himself in these headers is nobody's word.
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r.Header.Set("X-Remote-User", "root")
			r.Header.Set("X-Remote-Group", "spies")
			r.Header.Set("X-Remote-Uid", "0")
			r.Header.Set("X-Remote-Extra-Spy", "yes")
			return next.RoundTrip(r)
		})
	})
	c, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Resource(ordersResource).Namespace("default").Get(t.Context(), "o1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if by, _, _ := unstructured.NestedString(o.Object, "by"); by != "jane 42 system:masters,system:authenticated [red]" {
		t.Errorf("asked by %q", by)
	}
	// Rights are asked about here, before.
	cfg = rest.CopyConfig(s.Admin())
	cfg.Impersonate.UserName = "nobody"
	if c, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resource(ordersResource).Namespace("default").Get(t.Context(), "o1", metav1.GetOptions{}); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("who may not: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// watches: events come when they happen.
func (s *shop) watches(t *testing.T, e *extension) {
	c, err := dynamic.NewForConfig(s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Resource(ordersResource).Namespace("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, want := range []string{"o1", "o2", "o3"} {
		ev := <-w.ResultChan()
		if o, ok := ev.Object.(*unstructured.Unstructured); !ok || o.GetName() != want {
			t.Fatalf("got %v, want %s", ev, want)
		}
		e.event <- struct{}{}
	}
}

// upgrades: what follows an upgrade goes to and fro.
func (s *shop) upgrades(t *testing.T) {
	cfg := s.PKI.AdminTLS()
	cfg.NextProtos = []string{"http/1.1"}
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /apis/shop.example/v1/namespaces/default/orders/o1/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", res, err)
	}
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "kubernetes-admin") {
		t.Errorf("%q, %v", line, err)
	}
	fmt.Fprintln(conn, "hello")
	if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// documents: groups by priority, the extension server's among them, and its own word
// about its own group version alone.
func (s *shop) documents(t *testing.T) {
	_, text := s.raw(t, "/apis")
	apps, shop := strings.Index(text, `"name":"apps"`), strings.Index(text, `"name":"shop.example"`)
	if metrics := strings.Index(text, `"name":"metrics.k8s.io"`); apps < 0 || shop < apps || metrics < shop {
		t.Errorf("order of groups: %s", text)
	}
	if code, text := s.raw(t, "/apis/shop.example"); code != 200 || !strings.Contains(text, `"groupVersion":"shop.example/v1"`) {
		t.Errorf("%d %s", code, text)
	}
	until(t, "the index of OpenAPI has it", func() bool {
		_, text = s.raw(t, "/openapi/v3")
		return strings.Contains(text, "/openapi/v3/apis/shop.example/v1?hash=ABC")
	})
	if strings.Contains(text, "EVIL") {
		t.Errorf("others' documents were taken: %s", text)
	}
	if d := s.discovered(t, "shop.example"); d == nil || d.Freshness != apidiscoveryv2.DiscoveryFreshnessCurrent || len(d.Resources) != 1 || len(d.Resources[0].Subresources) != 1 || d.Resources[0].ShortNames[0] != "ord" {
		t.Errorf("aggregated: %+v", d)
	}
}

// documentsV2: its group version stands in the one document of v2, with models under
// names of their own where this server has others.
func (s *shop) documentsV2(t *testing.T) {
	var doc struct {
		Swagger     string                     `json:"swagger"`
		Info        map[string]any             `json:"info"`
		Paths       map[string]json.RawMessage `json:"paths"`
		Definitions map[string]struct {
			Description string `json:"description"`
		} `json:"definitions"`
	}
	const path, meta = "/apis/shop.example/v1/namespaces/{namespace}/orders", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	var code int
	var text string
	until(t, "the document has it", func() bool {
		code, text = s.raw(t, "/openapi/v2")
		return code == 200 && strings.Contains(text, path)
	})
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	if doc.Swagger != "2.0" || doc.Info["title"] == "shop" || len(doc.Paths[path]) == 0 || strings.Contains(text, "EVIL") {
		t.Errorf("swagger %q, %v; the path: %s", doc.Swagger, doc.Info, doc.Paths[path])
	}
	if doc.Definitions[meta].Description == "Another one." || doc.Definitions[meta+"_v2"].Description != "Another one." || !strings.Contains(text, `"$ref":"#/definitions/`+meta+`_v2"`) {
		t.Errorf("models: %+v, %+v", doc.Definitions[meta], doc.Definitions[meta+"_v2"])
	}
	code, text = s.raw(t, "/openapi/v2", "Accept", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
	var proto openapi2.Document
	if err := protobuf.Unmarshal([]byte(text), &proto); code != 200 || err != nil {
		t.Fatalf("protobuf: %d %v", code, err)
	}
	if !slices.ContainsFunc(proto.Paths.Path, func(p *openapi2.NamedPathItem) bool { return p.Name == path }) || proto.Info.Title != doc.Info["title"] {
		t.Errorf("protobuf: %d paths of %q", len(proto.Paths.Path), proto.Info.Title)
	}
}

// discovered is what aggregated discovery says of v1 of a group; nil: nothing.
func (s *shop) discovered(t *testing.T, group string) *apidiscoveryv2.APIVersionDiscovery {
	t.Helper()
	_, text := s.raw(t, "/apis", "Accept", aggregatedDiscovery)
	var l apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, g := range l.Items {
		if g.Name == group {
			return &g.Versions[0]
		}
	}
	return nil
}

func (s *shop) away(t *testing.T, e *extension) {
	no := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	e.does.Store(&no)
	// Something makes it be looked after before its time: the endpoints.
	touch := []string{"annotate", "endpointslice", "shop", "--overwrite"}
	if out, err := s.kubectl(t, append(touch, "touched=1")...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.sees(t, []string{"False \\(FailedDiscoveryCheck\\)"}, "get", "apiservice", "v1.shop.example")
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) { // the condition is told first
		code, text := s.raw(t, "/apis/shop.example/v1/namespaces/default/orders")
		if code == 503 && strings.TrimSpace(text) == "service unavailable" {
			break
		}
		if time.Now().After(end) {
			t.Errorf("away: %d %s", code, text)
			break
		}
	}
	if d := s.discovered(t, "shop.example"); d == nil || d.Freshness != apidiscoveryv2.DiscoveryFreshnessStale || len(d.Resources) != 1 {
		t.Errorf("aggregated: %+v", d)
	}
	e.does.Store(nil)
	s.sees(t, []string{"default/shop True"}, "get", "apiservice", "v1.shop.example")
	s.sees(t, []string{"o1"}, "get", "orders")
	if out, err := s.kubectl(t, "delete", "apiservice", "v1.shop.example"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "it is forgotten", func() bool {
		code, _ := s.raw(t, "/apis/shop.example/v1")
		return code == 404 && s.discovered(t, "shop.example") == nil
	})
}

// TestLocalAPIServices: each group version that the server has, has one, also of kinds
// that come and go; what somebody made himself is his.
func TestLocalAPIServices(t *testing.T) {
	s := newShop(t, nil)
	s.sees(t, []string{"v1alpha1.pintle.dev Local True", "v2.autoscaling Local True", "v1.storage.k8s.io Local True"}, "get", "apiservices")
	out, err := s.kubectl(t, "get", "apiservices", "-l", "kube-aggregator.kubernetes.io/automanaged=onstart", "-o", "name")
	if err != nil || !strings.Contains(out, "v1.apps") || strings.Contains(out, "metrics") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := s.kubectl(t, "delete", "apiservice", "v1.apps"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.sees(t, []string{"v1.apps Local True"}, "get", "apiservices")
	definition := `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gizmos.toys.example"},"spec":{"group":"toys.example","scope":"Namespaced",
		"names":{"plural":"gizmos","kind":"Gizmo"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`
	crd := s.CoreV1().RESTClient().Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").Body([]byte(definition)).SetHeader("Content-Type", "application/json")
	if err := crd.Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	s.sees(t, []string{"v1.toys.example Local True", "automanaged=true"}, "get", "apiservices", "--show-labels")
	s.sees(t, []string{`gizmos.toys.example Namespaced v1\(storage\)`, `toys.example Gizmo true`}, "get", "crds", "-o", "wide")
	if out, err := s.kubectl(t, "delete", "crd", "gizmos.toys.example"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "it is gone", func() bool {
		out, err := s.kubectl(t, "get", "apiservices")
		return err == nil && !strings.Contains(out, "toys.example")
	})
	for name, spec := range map[string]string{
		`metadata.name: Invalid value`:       `{"group":"a.example","version":"v2","groupPriorityMinimum":1,"versionPriority":1}`,
		`spec.groupPriorityMinimum: Invalid`: `{"group":"a.example","version":"v1","versionPriority":1}`,
	} {
		err := s.CoreV1().RESTClient().Post().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices").SetHeader("Content-Type", "application/json").
			Body([]byte(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.a.example"},"spec":` + spec + `}`)).Do(t.Context()).Error()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// TestHostileExtensions: one that never answers, one that answers garbage, one whose
// answers have no end, and one that answers nothing but what it serves. Everybody else
// is served.
func TestHostileExtensions(t *testing.T) {
	done := make(chan struct{})
	hang := func(r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	resources := func(w http.ResponseWriter, group string) {
		fmt.Fprintf(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":%q,"resources":[{"name":"things","namespaced":true,"kind":"Thing","verbs":["list"]}]}`, group+"/v1")
	}
	behaviour := map[string]http.HandlerFunc{
		"mute": func(_ http.ResponseWriter, r *http.Request) { hang(r) },
		"garbage": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[{"name":""}]}`)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			line := []byte(strings.Repeat(" ", 64<<10))
			for r.Context().Err() == nil {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		},
		"lazy": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/apis/lazy.example/v1" {
				resources(w, "lazy.example")
				return
			}
			hang(r)
		},
	}
	at, all := map[string]*httptest.Server{}, map[string]*extension{}
	for name, does := range behaviour {
		e := newExtension(t, name+".default.svc")
		e.does.Store(&does)
		all[name], at[fmt.Sprintf("10.9.1.%d", len(all))] = e, e.Server
	}
	t.Cleanup(func() { close(done) })
	s := newShop(t, at)
	for address, server := range at {
		for name, e := range all {
			if e.Server == server {
				s.service(t, name, address)
				s.register(t, name+".example", "v1", name, e.ca)
			}
		}
	}
	s.sees(t, []string{"v1.mute.example default/mute False \\(FailedDiscoveryCheck\\)", "v1.garbage.example default/garbage True", "v1.endless.example default/endless True", "v1.lazy.example default/lazy True"}, "get", "apiservices")
	for _, name := range []string{"mute", "garbage", "endless"} {
		if d := s.discovered(t, name+".example"); d == nil || d.Freshness != apidiscoveryv2.DiscoveryFreshnessStale || len(d.Resources) != 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
	// What clients find is all of the rest.
	c, err := discovery.NewDiscoveryClientForConfig(s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := c.ServerGroupsAndResources()
	var partial *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partial) {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, l := range lists {
		found[l.GroupVersion] = len(l.APIResources)
	}
	if found["apps/v1"] < 5 || found["v1"] < 15 || found["lazy.example/v1"] != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	// More requests than one server is asked at once: the rest is refused, and hold
	// nobody's place.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	codes := make(chan int, 300)
	client := s.HTTP()
	for range cap(codes) {
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/apis/lazy.example/v1/namespaces/default/things", nil)
			if err != nil {
				return
			}
			res, err := client.Do(r)
			if err != nil {
				return
			}
			res.Body.Close()
			codes <- res.StatusCode
		}()
	}
	// 503 where it is looked after meanwhile, and found to hang.
	if code := <-codes; code != http.StatusTooManyRequests && code != http.StatusServiceUnavailable {
		t.Errorf("the first answer is %d", code)
	}
	for range 20 {
		if _, err := s.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.configMap(t.Context(), "default", "m", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

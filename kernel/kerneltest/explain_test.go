package kerneltest_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// Whoever leads answers why a pod is where it is; what is not asked about a pod is
// refused.
func TestExplain(t *testing.T) {
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table})
	ask := func(query string) int {
		resp, err := s.HTTP().Get(s.URL + "/explain/pods" + query)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
	const unknown = "?namespace=default&name=no"
	for query, want := range map[string]int{"": http.StatusBadRequest, unknown: http.StatusNotFound} {
		if got := ask(query); got != want {
			t.Errorf("%q is answered with %d, want %d", query, got, want)
		}
	}
}

// A server that does not lead asks the one that does, where that one's Lease says,
// and passes its answer on; a request that comes from a server goes no further.
func TestExplainAsksTheLeader(t *testing.T) {
	const elsewhere = "elsewhere" // who leads beside a server that follows
	s := kerneltest.Start(t, kerneltest.Options{Follows: true})
	ask := func(header string) (int, string) {
		req, err := http.NewRequest("GET", s.URL+"/explain/pods?namespace=default&name=web", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set(header, "1")
		}
		resp, err := s.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	eventually(t, "it knows who leads", func() bool { _, text := ask(""); return strings.Contains(text, elsewhere) })
	if code, text := ask(""); code != http.StatusServiceUnavailable || !strings.Contains(text, "cannot ask it") {
		t.Errorf("an unknown address: %d %s", code, text)
	}

	listener, err := tls.Listen("tcp", "127.0.0.1:0", s.PKI.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	leader := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if c := r.TLS.PeerCertificates; len(c) > 0 {
			who = c[0].Subject.CommonName
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, who, " ", r.URL.RequestURI(), " ", r.Header.Get("Pintle-Asked-By-Server"))
	})}
	served := make(chan error, 1)
	go func() { served <- leader.Serve(listener) }()
	t.Cleanup(func() {
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	sum := sha256.Sum256([]byte(elsewhere))
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "apiserver-" + hex.EncodeToString(sum[:10]),
		Annotations: map[string]string{"pintle.dev/endpoint": listener.Addr().String()}}}
	if _, err := s.Registry.Create(t.Context(), registry.Target{Resource: leaders.Resource, Namespace: "kube-system"}, l, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	const want = "kubernetes-admin /explain/pods?name=web&namespace=default 1"
	eventually(t, "it knows where", func() bool { code, text := ask(""); return code == http.StatusNotFound && text == want })
	if code, text := ask("Pintle-Asked-By-Server"); code != http.StatusServiceUnavailable || !strings.Contains(text, "no server leads") {
		t.Errorf("asked by a server: %d %s", code, text)
	}
}

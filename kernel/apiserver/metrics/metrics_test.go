package metrics_test

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/metrics"
	"github.com/pintle-io/pintle/kernel/resource"
)

func catalog(t *testing.T) *endpoint.Catalog {
	t.Helper()
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		{Resource: "pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Virtual: true, Verbs: []string{"get", "list", "create"}, Subresources: []resource.Subresource{{Name: "log", Style: resource.StyleConnect}}},
	}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), table.Index()); err != nil {
		t.Fatal(err)
	}
	return endpoint.NewCatalog(resource.NewCatalog(table))
}

// hijacked is a writer whose connection can be taken over.
type hijacked struct{ *httptest.ResponseRecorder }

func (hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

// TestMeasure: what a request is counted as. What does not exist is no label,
// whatever a client calls it.
func TestMeasure(t *testing.T) {
	write := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if code != 0 {
				w.WriteHeader(code)
				w.WriteHeader(500) // superfluous: the first counts
			}
			_, _ = w.Write([]byte("12345"))
		}
	}
	for name, c := range map[string]struct {
		method, path string
		serve        http.HandlerFunc
		want         string // labels of the count, without those that are empty
		timed, sized bool
	}{
		"one":            {"GET", "/api/v1/namespaces/a/pods/b", write(0), `code="200" resource="pods" scope="resource" verb="GET" version="v1"`, true, true},
		"a list":         {"GET", "/api/v1/namespaces/a/pods", write(0), `code="200" resource="pods" scope="namespace" verb="LIST" version="v1"`, true, true},
		"of all":         {"GET", "/api/v1/pods", write(0), `code="200" resource="pods" scope="cluster" verb="LIST" version="v1"`, true, true},
		"a refusal":      {"POST", "/api/v1/namespaces/a/pods", write(403), `code="403" resource="pods" scope="namespace" verb="POST" version="v1"`, true, false},
		"a watch":        {"GET", "/api/v1/pods?watch=1", write(0), `code="200" resource="pods" scope="cluster" verb="WATCH" version="v1"`, false, false},
		"a log":          {"GET", "/api/v1/namespaces/a/pods/b/log", write(0), `code="200" resource="pods" scope="resource" subresource="log" verb="GET" version="v1"`, false, true},
		"another kind":   {"GET", "/api/v1/namespaces/a/scanned/b", write(404), `code="404" verb="GET"`, true, true},
		"another group":  {"GET", "/apis/scanner/v1/pods", write(404), `code="404" verb="LIST"`, true, true},
		"another path":   {"GET", "/admin.php", write(404), `code="404" verb="GET"`, true, false},
		"another method": {"SCAN", "/api/v1/pods", write(405), `code="405" resource="pods" scope="cluster" verb="other" version="v1"`, true, false},
		"an upgrade": {"GET", "/api/v1/namespaces/a/pods/b/log", func(w http.ResponseWriter, _ *http.Request) { _, _, _ = w.(http.Hijacker).Hijack() },
			`code="101" resource="pods" scope="resource" subresource="log" verb="GET" version="v1"`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			m, err := metrics.New(reg)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(c.method, c.path, nil)
			paths := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
			info, err := paths.NewRequestInfo(r)
			if err != nil {
				t.Fatal(err)
			}
			r = r.WithContext(request.WithRequestInfo(r.Context(), info))
			long := false
			m.Measure(catalog(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				long = strings.Contains(gathered(t, reg, "apiserver_longrunning_requests"), " 1")
				c.serve(w, r)
			})).ServeHTTP(hijacked{httptest.NewRecorder()}, r)
			if got := gathered(t, reg, "apiserver_request_total"); got != c.want+" 1" {
				t.Errorf("counted as %s, want %s, once", got, c.want)
			}
			if got := gathered(t, reg, "apiserver_request_duration_seconds") != ""; got != c.timed {
				t.Errorf("timed: %v, want %v", got, c.timed)
			}
			if long == c.timed {
				t.Errorf("long-running: %v, timed: %v", long, c.timed)
			}
			if got := gathered(t, reg, "apiserver_response_sizes") != ""; got != c.sized {
				t.Errorf("its size is measured: %v, want %v", got, c.sized)
			}
			if got := gathered(t, reg, "apiserver_longrunning_requests"); got != "" && !strings.HasSuffix(got, " 0") {
				t.Errorf("still running: %s", got)
			}
		})
	}
}

// gathered is the one series of a metric: its labels that are not empty, and its
// value.
func gathered(t *testing.T, reg *prometheus.Registry, name string) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		if len(f.Metric) != 1 {
			t.Fatalf("%d series of %s", len(f.Metric), name)
		}
		var words []string
		for _, l := range f.Metric[0].Label {
			if l.GetValue() != "" {
				words = append(words, l.GetName()+`="`+l.GetValue()+`"`)
			}
		}
		value := "0"
		if f.Metric[0].GetCounter().GetValue()+f.Metric[0].GetGauge().GetValue() == 1 {
			value = "1"
		}
		return strings.Join(append(words, value), " ")
	}
	return ""
}

// TestLint: names and help follow Prometheus' conventions, and a second server
// in one registry is refused.
func TestLint(t *testing.T) {
	reg := prometheus.NewRegistry()
	if _, err := metrics.New(reg); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if _, err := metrics.New(reg); err == nil {
		t.Error("registered twice")
	}
}

package apiserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// send sends a body and returns the code and the beginning of the answer.
func send(t *testing.T, c *kerneltest.Server, cfg *rest.Config, method, path, media, body string) (int, string) {
	t.Helper()
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, fmt.Sprintf("%.300s", text(t, resp))
}

const podsPath = "/api/v1/namespaces/default/pods"

// Bodies that would become a thousand times as much are refused unread.
func TestBodiesDoNotAmplify(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	empty := strings.TrimSuffix(strings.Repeat("{},", 400000), ",")
	aliases := "metadata: {name: &a " + strings.Repeat("x", 10000) + "}\nb: [" + strings.TrimSuffix(strings.Repeat("*a,", 1000), ",") + "]\n"
	for name, tc := range map[string]struct{ method, path, media, body, want string }{
		"JSON":            {"POST", podsPath, "application/json", `{"spec":{"containers":[` + empty + `]}}`, "413 values"},
		"protobuf":        {"POST", podsPath, "application/vnd.kubernetes.protobuf", "k8s\x00\x12\x80\xea\x30" + strings.Repeat("\x12\x00", 400000), "413 values"},
		"a JSON patch":    {"PATCH", podsPath + "/p", "application/json-patch+json", "[" + empty + "]", "413 values"},
		"a merge patch":   {"PATCH", podsPath + "/p", "application/merge-patch+json", `{"a":[` + empty + `]}`, "413 values"},
		"apply":           {"PATCH", podsPath + "/p?fieldManager=m", "application/apply-patch+yaml", `{"a":[` + empty + `]}`, "413 values"},
		"YAML":            {"POST", podsPath, "application/yaml", strings.Repeat("- {}\n", 300000), "413 YAML"},
		"YAML aliases":    {"POST", podsPath, "application/yaml", aliases, "413 aliases"},
		"apply aliases":   {"PATCH", podsPath + "/p?fieldManager=m", "application/apply-patch+yaml", aliases, "413 aliases"},
		"options' YAML":   {"DELETE", podsPath + "/p", "application/yaml", aliases, "413 aliases"},
		"absurd quantity": {"POST", podsPath, "application/json", `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1e20000000"}}}]}}`, "400 quantity"},
		"a long text":     {"POST", "/api/v1/namespaces/default/configmaps", "application/json", `{"metadata":{"name":"csv"},"data":{"k":"` + strings.Repeat("1,2,{[", 100000) + `"}}`, "201 csv"},
	} {
		code, text := send(t, c, c.Admin(), tc.method, tc.path, tc.media, tc.body)
		want, word, _ := strings.Cut(tc.want, " ")
		if fmt.Sprint(code) != want || !strings.Contains(text, word) {
			t.Errorf("%s: %d %s, want %s", name, code, text, tc.want)
		}
	}
}

// What decoding takes is bounded for all together, and for each tenant.
func TestDecodingIsBounded(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) { cfg.Limits.DecodeBytesInFlight = 1 << 20 }}})
	grant(t, c, "writer", "create", "configmaps")
	body := func(n int) string {
		return `{"metadata":{"name":"a` + fmt.Sprint(n) + `","finalizers":[` + strings.TrimSuffix(strings.Repeat(`"",`, n), ",") + `]}}`
	}
	path := "/api/v1/namespaces/default/configmaps?dryRun=All"
	if code, text := send(t, c, c.User(t, "writer"), "POST", path, "application/json", body(600)); code != http.StatusTooManyRequests {
		t.Errorf("beyond the budget: %d %s", code, text)
	}
	if code, text := send(t, c, c.User(t, "writer"), "POST", path, "application/json", body(100)); code == http.StatusTooManyRequests {
		t.Errorf("within the budget: %d %s", code, text)
	}
}

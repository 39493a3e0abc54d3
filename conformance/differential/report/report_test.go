package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/conformance/differential/compare"
	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

func found(resource string, ds ...compare.Difference) *Found {
	return &Found{
		Request: &exchange.Request{Resource: resource, Verb: "get", Method: "GET", Path: "/x"},
		Answers: [2]*exchange.Answer{{Code: 200}, {Code: 200}}, Differences: ds,
	}
}

func TestKnownDifferencesDoNotFail(t *testing.T) {
	k, err := ReadKnown(strings.NewReader("# a comment\n\n^v1/pods get /a: \tfor a reason\n^nothing\tnever met\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := New(k)
	a, b := compare.Difference{Where: "/a", Upstream: "1", Pintle: "2"}, compare.Difference{Where: "/b", Upstream: "1", Pintle: "2"}
	r.Add(found("v1/pods"))
	r.Add(found("v1/pods", a))
	r.Add(found("v1/pods", a, b))
	r.Add(found("v1/nodes", a))
	if requests, differing, unknown := r.Counts(); requests != 4 || differing != 3 || unknown != 2 {
		t.Errorf("%d requests, %d differ, %d unknown; want 4, 3, 2", requests, differing, unknown)
	}
	dir := t.TempDir()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	summary, err := os.ReadFile(filepath.Join(dir, Summary))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1  v1/nodes get /a", "1  v1/pods get /b", "2    1  for a reason", "^nothing"} {
		if !strings.Contains(string(summary), want) {
			t.Errorf("the summary lacks %q:\n%s", want, summary)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "examples", "0000.txt")); err != nil || !strings.Contains(string(b), "upstream 1, pintle 2") {
		t.Errorf("the first example: %v\n%s", err, b)
	}
}

// TestWhatUpstreamRefuses: a wide expression does not excuse that Pintle does what upstream
// refuses.
func TestWhatUpstreamRefuses(t *testing.T) {
	k, err := ReadKnown(strings.NewReader("^v1/secrets\twide\n^v1/pods get code: upstream 406 .*, pintle 200 Table\tsaid\n"))
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"v1/secrets get code: upstream 403 secrets is forbidden, pintle 200 Secret": "",
		"v1/secrets get code: upstream 403 secrets is forbidden, pintle 404 none":   "wide",
		"v1/secrets get /data: upstream 1, pintle 2":                                "wide",
		"v1/pods get code: upstream 406 no table, pintle 200 Table":                 "said",
	} {
		if got := k.reason(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestReadKnownRefuses(t *testing.T) {
	for _, text := range []string{"no reason", "no reason\t", "(\treason"} {
		if _, err := ReadKnown(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: error %v, want one that names the line", text, err)
		}
	}
}

func TestShippedKnown(t *testing.T) {
	f, err := os.Open("../known.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := ReadKnown(f); err != nil {
		t.Error(err)
	}
}

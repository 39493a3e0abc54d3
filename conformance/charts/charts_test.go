package charts_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"github.com/pintle-io/pintle/conformance/charts"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// Equal seeds write equal definitions; each fits into an object of the API, and has the
// size that its chart is known for.
func TestDefinitions(t *testing.T) {
	if !reflect.DeepEqual(charts.Charts(7), charts.Charts(7)) || !reflect.DeepEqual(charts.Many(7, 20), charts.Many(7, 20)) {
		t.Error("equal seeds differ")
	}
	if reflect.DeepEqual(charts.Charts(7), charts.Charts(8)) {
		t.Error("other seeds are equal")
	}
	for _, c := range charts.Charts(1) {
		biggest := 0
		for _, d := range c.Definitions {
			b, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			biggest = max(biggest, len(b))
		}
		// An annotation has 256 KiB at most, an object 1.5 MiB.
		if tooLarge := biggest > 256<<10; tooLarge != c.ServerSide || biggest > 1<<20 {
			t.Errorf("%s: the largest definition has %d bytes, server-side %v", c.Name, biggest, c.ServerSide)
		}
	}
}

// A chart is installed, used and removed by kubectl, as `make charts` does with all of
// them, and so are some definitions at once.
func TestCharts(t *testing.T) {
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table})
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := s.PKI.WriteKubeconfig(config, s.URL, "admin", s.PKI.Admin()); err != nil {
		t.Fatal(err)
	}
	program := []string{kerneltest.Kubectl(t)}
	for _, name := range []string{"certificates", "many"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, err := charts.Run(t.Context(), charts.Options{Kubectl: program, Kubeconfig: config, Seed: 1, Many: 20, Out: lines{t},
				Only: regexp.MustCompile("^" + name + "$"), KeepNamespaces: true})
			if err != nil || failed > 0 {
				t.Errorf("%d failed, %v", failed, err)
			}
		})
	}
}

// lines tells a test's log.
type lines struct{ t *testing.T }

func (l lines) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

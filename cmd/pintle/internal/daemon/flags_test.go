package daemon

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestUnheard: what a running process was started with is compared with every flag of
// a command that finds it.
func TestUnheard(t *testing.T) {
	fresh := func() *pflag.FlagSet {
		fl := pflag.NewFlagSet("up", pflag.ContinueOnError)
		fl.Bool("foreground", false, "")
		fl.StringArray("disable-plugin", nil, "")
		fl.Int("max", 400, "")
		fl.String("policy", "", "")
		fl.String("cidr", "10.0.0.0/16", "")
		return fl
	}
	running := []string{"/usr/bin/pintle", "up", "--foreground", "--disable-plugin", "a", "--disable-plugin", "b", "--max=7", "--policy", "p.yaml", "--policy=/tmp/p.yaml"}
	for _, tc := range []struct {
		args    []string
		running []string
		want    []string
	}{
		{nil, running, nil},
		{[]string{"--foreground"}, []string{"pintle", "up"}, nil},
		{[]string{"--max=7", "--disable-plugin=a", "--disable-plugin=b", "--policy=/tmp/p.yaml"}, running, nil},
		{[]string{"--max=8"}, running, []string{"max"}},
		{[]string{"--policy=/other", "--disable-plugin=a"}, running, []string{"disable-plugin", "policy"}},
		{[]string{"--cidr=10.0.0.0/16"}, running, nil}, // the default
		{[]string{"--cidr=10.1.0.0/16"}, []string{"pintle", "server", "--ha-only=1"}, []string{"cidr"}},
		{[]string{"--max=7"}, []string{"pintle", "up", "--max=many"}, []string{"max"}},
	} {
		given := fresh()
		if err := given.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		if got := differing(given, fresh(), tc.running, []string{"foreground"}); !slices.Equal(got, tc.want) {
			t.Errorf("%q beside %q: %q, want %q", tc.args, tc.running, got, tc.want)
		}
	}
	given := fresh()
	if err := given.Parse([]string{"--max=8"}); err != nil {
		t.Fatal(err)
	}
	if err := Unheard(os.Getpid(), given, fresh()); err == nil || !strings.Contains(err.Error(), "--max counts from a start on") {
		t.Errorf("beside this process: %v", err)
	}
	if err := Unheard(1<<30, given, fresh()); err == nil {
		t.Error("beside no process")
	}
}

package cli

import (
	"regexp"
	"slices"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

// TestPathFlags: what starts processes, or is one, takes every path as its user's
// directory has it.
func TestPathFlags(t *testing.T) {
	named := regexp.MustCompile(`(^|-)(file|dir|path|ca|cert|key)$|^runtime-endpoint$`)
	for _, cmd := range New().Commands() {
		if !slices.Contains([]string{"up", "server", "node", "lab"}, cmd.Name()) {
			continue
		}
		n := 0
		cmd.Flags().AddFlagSet(cmd.PersistentFlags())
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !named.MatchString(f.Name) {
				return
			}
			if n++; !paths.Is(f) {
				t.Errorf("%s --%s is no flag of paths.Var: in the background a relative path would be of another directory", cmd.Name(), f.Name)
			}
		})
		if n == 0 {
			t.Errorf("%s: no path among its flags", cmd.Name())
		}
	}
}

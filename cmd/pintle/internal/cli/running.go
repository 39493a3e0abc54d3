package cli

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// ofThisCall are flags of `up` that say nothing about the cluster that it starts.
var ofThisCall = []string{"data-dir", "foreground", "merge-kubeconfig"}

// unheard is an error that names the flags given to an `up` whose cluster runs already,
// in the process pid, with other values: they would be without effect. Flags that are
// not given are not compared.
func unheard(pid int, given *pflag.FlagSet) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return fmt.Errorf("how the server was started cannot be read: %w", err)
	}
	if names := differing(given, strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")); len(names) > 0 {
		return fmt.Errorf("--%s counts from a start on, and the cluster runs with another value: `pintle down` first", strings.Join(names, ", --"))
	}
	return nil
}

// differing names the flags that a command line of a server, with the program and the
// command, does not have or has with another value.
func differing(given *pflag.FlagSet, args []string) (names []string) {
	running := upCommand().Flags()
	running.ParseErrorsAllowlist.UnknownFlags = true // of `pintle server`
	err := running.Parse(args)
	given.Visit(func(f *pflag.Flag) {
		if is := running.Lookup(f.Name); !slices.Contains(ofThisCall, f.Name) && (err != nil || is == nil || is.Value.String() != f.Value.String()) {
			names = append(names, f.Name)
		}
	})
	return names
}

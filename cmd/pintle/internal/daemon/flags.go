package daemon

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Unheard is an error that names the flags given to a command whose process pid runs
// already, with other values: they would be without effect. Flags that are not given, and
// those of except, are not compared. fresh are the flags of that command, not parsed yet.
func Unheard(pid int, given, fresh *pflag.FlagSet, except ...string) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return fmt.Errorf("how the server was started cannot be read: %w", err)
	}
	args := strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
	if names := differing(given, fresh, args, except); len(names) > 0 {
		return fmt.Errorf("--%s counts from a start on, and the cluster runs with another value: `pintle down` first", strings.Join(names, ", --"))
	}
	return nil
}

// differing names the flags that a command line, with the program and the command, does
// not have or has with another value.
func differing(given, fresh *pflag.FlagSet, args, except []string) (names []string) {
	fresh.ParseErrorsAllowlist.UnknownFlags = true // of another command
	err := fresh.Parse(args)
	given.Visit(func(f *pflag.Flag) {
		if is := fresh.Lookup(f.Name); !slices.Contains(except, f.Name) && (err != nil || is == nil || is.Value.String() != f.Value.String()) {
			names = append(names, f.Name)
		}
	})
	return names
}

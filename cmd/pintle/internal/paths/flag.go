package paths

import (
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// Var adds a flag that names a file or directory. Whoever reads p finds an absolute
// path: a process in the background is in another directory than its user was. What
// names no place in a directory stays as it is: nothing, - for a standard stream, a URL.
func Var(fl *pflag.FlagSet, p *string, name, value, usage string) {
	*p = value
	fl.Var((*flag)(p), name, usage)
}

// Given are the flags of [Var] that were set, as arguments for another process.
func Given(fl *pflag.FlagSet) (args []string) {
	fl.Visit(func(f *pflag.Flag) {
		if Is(f) {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// Is tells of a flag that it is one of [Var].
func Is(f *pflag.Flag) bool { _, ok := f.Value.(*flag); return ok }

// flag is a path as an argument names it, made absolute.
type flag string

// Set implements pflag.Value.
func (v *flag) Set(s string) error {
	if s != "" && s != "-" && !strings.Contains(s, "://") {
		var err error
		if s, err = filepath.Abs(s); err != nil {
			return err
		}
	}
	*v = flag(s)
	return nil
}

// String implements pflag.Value.
func (v *flag) String() string { return string(*v) }

// Type implements pflag.Value.
func (*flag) Type() string { return "string" }

var _ pflag.Value = (*flag)(nil)

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/pintle-io/pintle/cmd/pintle/internal/pluginapi"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestUselessFlags: whoever weighs a filter learns that it does nothing.
func TestUselessFlags(t *testing.T) {
	for _, c := range []struct {
		points string
		given  []string
		want   []string
	}{
		{"PreFilter Filter", []string{"weight"}, []string{"weight"}},
		{"Filter Score", []string{"weight"}, nil},
		{"ScoreAll", []string{"weight", "order"}, []string{"order"}},
		{"Validate", []string{"order"}, nil},
		{"Controller", []string{"order", "weight", "allow"}, []string{"weight", "order"}},
		{"Filter", nil, nil},
	} {
		var got []string
		for _, f := range useless(strings.Fields(c.points), func(flag string) bool { return slices.Contains(c.given, flag) }) {
			got = append(got, f.name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s with %v: %v, want %v", c.points, c.given, got, c.want)
		}
	}
}

// removed notes what was removed.
type removed struct {
	names []string
	err   error
}

func (r *removed) Remove(_ context.Context, name string) error {
	r.names = append(r.names, name)
	return r.err
}

// TestFailedLoadLeavesNothing: a Plugin that was made by a load that failed goes
// again; one that was there before stays, and so does one that may yet come.
func TestFailedLoadLeavesNothing(t *testing.T) {
	failed := fmt.Errorf("wrapped: %w", &pluginapi.LoadError{Phase: v1alpha1.Failed, Message: "no such point"})
	for name, c := range map[string]struct {
		replaced bool
		err      error
		refuses  error
		goes     bool
		says     string
	}{
		"new":                   {err: failed, goes: true, says: "was removed again"},
		"new, may not delete":   {err: failed, goes: true, refuses: errors.New("forbidden"), says: "pintle plugin remove p"},
		"replaced":              {err: failed, replaced: true, says: "pintle plugin inspect p"},
		"slow, or out of reach": {err: errors.New("not within 60s")},
	} {
		r := &removed{err: c.refuses}
		got := aftermath(t.Context(), r, "p", c.replaced, c.err)
		if !strings.Contains(got, c.says) || c.says == "" && got != "" {
			t.Errorf("%s: it says %q, want %q", name, got, c.says)
		}
		if goes := len(r.names) > 0; goes != c.goes {
			t.Errorf("%s: removed %v", name, r.names)
		}
	}
}

// TestLackingPermissions: who loads a controller without --allow reads what to add.
func TestLackingPermissions(t *testing.T) {
	if got := lacking(errors.New("plugin p may not list pods: spec.permissions of the Plugin does not allow it")); !strings.Contains(got, "--allow") {
		t.Errorf("%q names no flag", got)
	}
	if got := lacking(errors.New("no such point")); got != "" {
		t.Errorf("%q of something else", got)
	}
}

// TestSayAfter: what is quick is done in silence.
func TestSayAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]string{patience - time.Millisecond: "", patience + time.Millisecond: "compiling\n"} {
			var out strings.Builder
			stop := sayAfter(patience, &out, "compiling")
			time.Sleep(took)
			stop()
			time.Sleep(time.Hour)
			if out.String() != want {
				t.Errorf("after %s: %q, want %q", took, out.String(), want)
			}
		}
	})
}

// TestProgressIsForTerminals: a script's output is what it was.
func TestProgressIsForTerminals(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	device, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		if device, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil { // no terminal, but of its kind
			t.Fatal(err)
		}
	}
	defer device.Close()
	for name, c := range map[string]struct {
		w     io.Writer
		shown bool
	}{"a file": {file, false}, "a buffer": {&strings.Builder{}, false}, "a terminal": {device, true}} {
		if shown := terminal(c.w) == c.w; shown != c.shown {
			t.Errorf("%s: progress is shown %v", name, shown)
		}
	}
}

// TestLoadKeepsOrder: another version keeps its place unless it is given one.
func TestLoadKeepsOrder(t *testing.T) {
	for args, want := range map[string]int32{"": 7, "--order=-3": -3, "--order=0": 0} {
		var l loadFlags
		cmd := loadCommand(nil)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			order, err := cmd.Flags().GetInt32("order")
			l.order = order
			if err != nil {
				return err
			}
			p, err := l.plugin(cmd)
			if err != nil {
				return err
			}
			l.keep(cmd, &v1alpha1.PluginSpec{Order: 7}, &p.Spec)
			if p.Spec.Order != want {
				t.Errorf("%q: order %d, want %d", args, p.Spec.Order, want)
			}
			return nil
		}
		cmd.SetArgs(append(strings.Fields(args), "x.wasm"))
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
	}
}

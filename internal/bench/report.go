package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// row is one figure.
type row struct {
	what   string
	figure string
	target string // "" when none is set
	missed bool
	note   string
}

// report collects figures.
type report struct {
	rows     []row
	profiles []string // of figures that missed their target
	failed   []string
}

// most adds a figure that may be at most limit; 0 is no limit.
func (r *report) most(what string, got, limit float64, unit, note string) bool {
	x := row{what: what, figure: format(got, unit), note: note}
	if limit > 0 {
		x.target, x.missed = "≤ "+format(limit, unit), got > limit
	}
	r.rows = append(r.rows, x)
	return !x.missed
}

// least adds a figure that must be at least limit; 0 is no limit.
func (r *report) least(what string, got, limit float64, unit, note string) bool {
	x := row{what: what, figure: format(got, unit), note: note}
	if limit > 0 {
		x.target, x.missed = "≥ "+format(limit, unit), got < limit
	}
	r.rows = append(r.rows, x)
	return !x.missed
}

func (r *report) fail(what string, err error) {
	r.failed = append(r.failed, fmt.Sprintf("%s: %v", what, err))
}

// explain adds a profile to be summarised.
func (r *report) explain(file string) {
	if !slices.Contains(r.profiles, file) {
		r.profiles = append(r.profiles, file)
	}
}

// format writes a figure with about three digits.
func format(v float64, unit string) string {
	digits := 0
	switch {
	case v < 1:
		digits = 3
	case v < 10:
		digits = 2
	case v < 100:
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, unit)
}

// print writes the table and what explains it. It returns an error when a
// section could not be measured; a missed target is none.
func (r *report) print(out io.Writer, machine string) error {
	fmt.Fprintf(out, "\n%s\n\n", machine)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tmeasured\ttarget\t\tremark")
	for _, x := range r.rows {
		mark := ""
		switch {
		case x.missed:
			mark = "MISSED"
		case x.target != "":
			mark = "ok"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", x.what, x.figure, x.target, mark, x.note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range r.profiles {
		fmt.Fprintf(out, "\n%s\n%s", p, top(p))
	}
	var errs []error
	for _, f := range r.failed {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}

// top is the head of a profile: by own time, and by the kernel's functions
// with what they call.
func top(file string) string {
	var out strings.Builder
	for _, args := range [][]string{{"-tags"}, {"-top", "-nodecount=12"}, {"-top", "-cum", "-nodecount=14", "-focus=pintle", "-show=pintle"}} {
		b, err := exec.Command("go", append(append([]string{"tool", "pprof"}, args...), file)...).Output()
		if err != nil {
			return fmt.Sprintf("  go tool pprof: %v\n", err)
		}
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, "File:") && !strings.HasPrefix(line, "Type:") && !strings.HasPrefix(line, "Time:") && !strings.HasPrefix(line, "Build ID:") {
				out.WriteString("  " + line)
			}
		}
	}
	return out.String()
}

// machine describes where figures were taken.
func machine(dir string) string {
	var u unix.Utsname
	release := "unknown kernel"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	return fmt.Sprintf("%d × %s, %s MiB, %s, %s, data on %s, load %s, %s", runtime.NumCPU(), cpuModel(), memory(), release, runtime.Version(),
		fileSystem(dir), strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "), time.Now().UTC().Format(time.DateOnly))
}

// value finds "name : value" in a file of /proc.
func value(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(b) {
		if k, v, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func cpuModel() string {
	if m := value("/proc/cpuinfo", "model name"); m != "" {
		return m
	}
	return runtime.GOARCH
}

func memory() string {
	var kib int
	if _, err := fmt.Sscanf(value("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return "?"
	}
	return fmt.Sprint(kib / 1024)
}

func fileSystem(dir string) string {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return "unknown"
	}
	switch s.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	}
	return fmt.Sprintf("file system %x", s.Type)
}

// Package results keeps what came of each of upstream's conformance tests: a
// table of tab-separated values, one line for a test, in the repository.
package results

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// Result says how a test ended.
type Result string

// Skipped is a test that ran and found that the cluster lacks what it needs;
// NotRun one that was not asked for, or that time did not suffice for.
const (
	Passed  Result = "pass"
	Failed  Result = "fail"
	Skipped Result = "skip"
	NotRun  Result = "not run"
)

// Test is one line. Why is empty for tests that passed.
type Test struct {
	Name   string
	Result Result
	Why    string
}

var sig = regexp.MustCompile(`\[(sig-[a-z-]+)\]`)

// SIG is the special interest group that owns a test, by its name's first
// label; "" if it has none.
func SIG(name string) string {
	if m := sig.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// Table is every conformance test, by SIG and name.
type Table []Test

const header = "# SIG\tresult\ttest\twhy"

// Read parses what Write wrote. It refuses a line that has not four columns or
// an unknown result, and names it.
func Read(r io.Reader) (Table, error) {
	var t Table
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			columns := strings.Split(line, "\t")
			if len(columns) != 4 {
				return nil, fmt.Errorf("line %d: %d columns, not four: SIG, result, test, why", n, len(columns))
			}
			test := Test{Name: columns[2], Result: Result(columns[1]), Why: columns[3]}
			if !slices.Contains([]Result{Passed, Failed, Skipped, NotRun}, test.Result) {
				return nil, fmt.Errorf("line %d: result %q is none of pass, fail, skip and not run", n, test.Result)
			}
			t = append(t, test)
		}
	}
	return t, lines.Err()
}

// Write writes the table in an order that makes differences between runs small.
func (t Table) Write(w io.Writer) error {
	t = slices.Clone(t)
	slices.SortFunc(t, func(a, b Test) int {
		return cmp.Or(cmp.Compare(SIG(a.Name), SIG(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	if _, err := fmt.Fprintln(w, header); err != nil {
		return err
	}
	for _, test := range t {
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", SIG(test.Name), test.Result, test.Name, test.Why); err != nil {
			return err
		}
	}
	return nil
}

// Merge returns a table of exactly the tests that are named: as they went in
// run, and where it did not run them as they stand in t. The reason that a
// person wrote beside a test stays as long as the test ends the same way.
func (t Table) Merge(names []string, run map[string]Test) Table {
	before := make(map[string]Test, len(t))
	for _, test := range t {
		before[test.Name] = test
	}
	merged := make(Table, 0, len(names))
	for _, name := range names {
		was, known := before[name]
		now, ran := run[name]
		switch {
		case ran && known && now.Result == was.Result && was.Why != "":
			merged = append(merged, was)
		case ran:
			merged = append(merged, now)
		case known:
			merged = append(merged, was)
		default:
			merged = append(merged, Test{Name: name, Result: NotRun})
		}
	}
	return merged
}

// Summary writes a line for each SIG, and one for all.
func (t Table) Summary(w io.Writer) error {
	counts := map[string]map[Result]int{}
	var sigs []string
	for _, test := range t {
		for _, key := range []string{SIG(test.Name), "all"} {
			if counts[key] == nil {
				counts[key] = map[Result]int{}
				if key != "all" {
					sigs = append(sigs, key)
				}
			}
			counts[key][test.Result]++
		}
	}
	slices.Sort(sigs)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "SIG\ttests\tpass\tfail\tskip\tnot run\t")
	for _, key := range append(sigs, "all") {
		c := counts[key]
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t\n", key, c[Passed]+c[Failed]+c[Skipped]+c[NotRun], c[Passed], c[Failed], c[Skipped], c[NotRun])
	}
	return tw.Flush()
}

package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

// Names of the files that Write makes.
const (
	Summary     = "summary.txt"
	Differences = "differences.tsv"
	examples    = "examples"
)

// Write writes the report into a folder, in place of the one before: a summary,
// a table of the groups, and an example of each group.
func (r *Report) Write(dir string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(dir, examples)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, examples), 0o755); err != nil {
		return err
	}
	groups := r.sorted()
	var table bytes.Buffer
	fmt.Fprintln(&table, "example\tcount\tresource\tverb\twhere\tupstream\tpintle\treason")
	for i, g := range groups {
		d := g.difference
		fmt.Fprintf(&table, "%04d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", i, g.count, g.resource, g.verb, g.where, d.Upstream, d.Pintle, g.reason)
		file := filepath.Join(dir, examples, fmt.Sprintf("%04d.txt", i))
		if err := os.WriteFile(file, g.text(), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, Differences), table.Bytes(), 0o644); err != nil {
		return err
	}
	var summary bytes.Buffer
	r.summary(&summary, groups)
	return os.WriteFile(filepath.Join(dir, Summary), summary.Bytes(), 0o644)
}

func (r *Report) summary(w io.Writer, groups []*group) {
	fmt.Fprintf(w, "%d requests, %d answered differently, %d of them in a way that is not known\n", r.requests, r.differing, r.unknown)
	fmt.Fprint(w, "upstream's answers by code:")
	for _, code := range slices.Sorted(maps.Keys(r.codes)) {
		fmt.Fprintf(w, " %d: %d", code, r.codes[code])
	}
	fmt.Fprintln(w)
	told := ""
	for i, g := range groups {
		heading := "\nNot known (example, count, resource, verb, where):"
		what := fmt.Sprintf("%s %s %s", g.resource, g.verb, g.where)
		if g.reason != "" {
			heading = "\nKnown (example, count, resources, reason):"
			what = fmt.Sprintf("%3d  %s", len(g.resources), g.reason)
		}
		if heading != told {
			fmt.Fprintln(w, heading)
			told = heading
		}
		fmt.Fprintf(w, "%04d %6d  %s\n", i, g.count, what)
	}
	if unmet := r.known.unmet(); len(unmet) > 0 {
		fmt.Fprintf(w, "\nExpressions of known.tsv that nothing matched:\n%s\n", strings.Join(unmet, "\n"))
	}
}

// text is an example with all that both said.
func (g *group) text() []byte {
	var b bytes.Buffer
	f := g.example
	fmt.Fprintf(&b, "%s\n", f.line(g.difference))
	if g.reason != "" {
		fmt.Fprintf(&b, "known: %s\n", g.reason)
	}
	fmt.Fprintf(&b, "sequence %d (%s), request %d\n\n", f.Sequence, f.Shape, f.Step)
	fmt.Fprintf(&b, "%s %s\n", f.Request.Method, f.Request.Path)
	_ = f.Request.Header.Write(&b)
	fmt.Fprintf(&b, "\n%s\n", clipped(f.Request.Body))
	for i, name := range []string{"upstream", "pintle"} {
		writeAnswer(&b, name, f.Answers[i])
	}
	fmt.Fprintln(&b, "\n--- all differences of this answer")
	for _, d := range f.Differences {
		fmt.Fprintln(&b, d)
	}
	return b.Bytes()
}

func writeAnswer(b *bytes.Buffer, name string, a *exchange.Answer) {
	fmt.Fprintf(b, "\n--- %s: %d %s\n", name, a.Code, a.Err)
	_ = a.Header.Write(b)
	fmt.Fprintf(b, "\n%s\n", clipped(a.Body))
}

// clipped is a body as far as a person reads.
func clipped(body []byte) []byte {
	const most = 64 << 10
	if len(body) > most {
		return append(slices.Clone(body[:most]), "…"...)
	}
	return body
}

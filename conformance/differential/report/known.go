package report

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Known are the differences that are known, each with its reason.
type Known struct{ entries []*entry }

type entry struct {
	pattern *regexp.Regexp
	reason  string
	met     int
}

// ReadKnown reads known.tsv: a regular expression, a tab and the reason, a line
// each. An expression is matched with lines as Found.line makes them. Empty
// lines and those that begin with # say nothing.
func ReadKnown(r io.Reader) (*Known, error) {
	k := &Known{}
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimRight(sc.Text(), "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, ok := strings.Cut(line, "\t")
		if reason = strings.TrimSpace(reason); !ok || reason == "" {
			return nil, fmt.Errorf("line %d: want `expression<TAB>reason`, have %q", n, line)
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		k.entries = append(k.entries, &entry{pattern: re, reason: reason})
	}
	return k, sc.Err()
}

// allowed is what upstream refuses and Pintle does: no expression may know it by the way.
var allowed = regexp.MustCompile(` code: upstream [45]\d\d .*, pintle 2\d\d `)

// reason is why a difference is, or "" if it is not known. That Pintle does what
// upstream refuses is known by an expression that says so alone: "pintle 20".
func (k *Known) reason(line string) string {
	grave := allowed.MatchString(line)
	for _, e := range k.entries {
		if grave && !strings.Contains(e.pattern.String(), "pintle 20") {
			continue
		}
		if e.pattern.MatchString(line) {
			e.met++
			return e.reason
		}
	}
	return ""
}

// unmet are the expressions that nothing matched.
func (k *Known) unmet() (out []string) {
	for _, e := range k.entries {
		if e.met == 0 {
			out = append(out, e.pattern.String())
		}
	}
	return out
}

package results

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxWhy is how much of a failure's message a line of the table holds, in runes.
const maxWhy = 160

type testcase struct {
	Name    string `xml:"name,attr"`
	Status  string `xml:"status,attr"`
	Failure note   `xml:"failure"`
	Error   note   `xml:"error"`
	Skipped note   `xml:"skipped"`
}

type note struct {
	Message string `xml:"message,attr"`
}

// ReadJUnit parses the report that ginkgo writes and returns the specs that
// ran, by the names that conformance.yaml gives them: without the node type in
// front and the list of labels at the end.
func ReadJUnit(r io.Reader) (map[string]Test, error) {
	run := map[string]Test{}
	d := xml.NewDecoder(r)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return run, nil
		}
		if err != nil {
			return nil, fmt.Errorf("JUnit report: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "testcase" {
			continue
		}
		var c testcase
		if err := d.DecodeElement(&c, &start); err != nil {
			return nil, fmt.Errorf("JUnit report: %w", err)
		}
		if test, ran := c.test(); ran {
			run[test.Name] = test
		}
	}
}

// test says how a spec ended; false for those that the focus left out, and for
// what is no spec (setup, reports).
func (c testcase) test() (Test, bool) {
	name, isSpec := strings.CutPrefix(c.Name, "[It] ")
	if !isSpec {
		return Test{}, false
	}
	// The labels stand in the last brackets, with commas between.
	if i := strings.LastIndex(name, " ["); i > 0 && strings.HasSuffix(name, "]") && strings.Contains(name[i:], ", ") {
		name = name[:i]
	}
	switch c.Status {
	case "passed":
		return Test{Name: name, Result: Passed}, true
	case "skipped", "pending":
		// Ginkgo adds a reason when the spec itself asked to be skipped.
		if _, reason, found := strings.Cut(c.Skipped.Message, "skipped - "); found {
			return Test{Name: name, Result: Skipped, Why: line(reason)}, true
		}
		return Test{}, false
	}
	why := c.Failure.Message
	if why == "" {
		why = c.Error.Message
	}
	if why == "" {
		why = c.Status
	}
	return Test{Name: name, Result: Failed, Why: line(why)}, true
}

// line makes one column of a message of many lines.
func line(message string) string {
	runes := []rune(strings.Join(strings.Fields(message), " "))
	if len(runes) > maxWhy {
		runes = append(runes[:maxWhy-1], '…')
	}
	return string(runes)
}

package cli

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/cmd/pintle/internal/lab"
)

// TestVersion: the flag that every tool has says what the command does.
func TestVersion(t *testing.T) {
	var said []string
	for _, args := range [][]string{{"version"}, {"--version"}} {
		root := New()
		var out strings.Builder
		root.SetOut(&out)
		root.SetArgs(args)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		said = append(said, out.String())
	}
	if said[0] != said[1] || !strings.HasPrefix(said[0], "Pintle ") || strings.Count(said[0], "\n") != 1 {
		t.Errorf("%q and %q", said[0], said[1])
	}
}

// TestDebugRemedy: a node that does not answer is not blamed on flags.
func TestDebugRemedy(t *testing.T) {
	r := schema.GroupResource{Resource: "nodes"}
	for want, err := range map[string]error{
		"":                  errors.New("dial tcp 192.0.2.3:10250: i/o timeout"),
		"administrators":    apierrors.NewForbidden(r, "n", errors.New("no")),
		"--profiling=false": apierrors.NewNotFound(r, "n"),
	} {
		if got := inWords([]byte("metrics 1"), err); got != err.Error() {
			t.Errorf("%v is told as %q", err, got)
		}
		if got := remedy(err); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// TestServersWords: what the server says of a node goes before the words for a code.
func TestServersWords(t *testing.T) {
	body := `{"kind": "Status", "message": "node n does not answer", "code": 503}`
	if got := inWords([]byte(body), errors.New("the server is currently unable to handle the request")); got != "node n does not answer" {
		t.Errorf("it says %q", got)
	}
}

// TestLabOutcome: who kills a dead node is told that it was dead.
func TestLabOutcome(t *testing.T) {
	well, cut, dead, down := lab.NodeStatus{Agent: 7, Cable: true}, lab.NodeStatus{Agent: 7}, lab.NodeStatus{}, lab.NodeStatus{Cable: true}
	for _, c := range []struct {
		verb   string
		before lab.NodeStatus
		want   string
	}{
		{"kill", well, "killed"}, {"kill", cut, "killed"}, {"kill", dead, "dead already"}, {"kill", down, "killed"},
		{"cut", well, "cut off"}, {"cut", cut, "cut off already"}, {"cut", dead, "cut off already"},
		{"heal", dead, "healed"}, {"heal", cut, "healed"}, {"heal", down, "healed"}, {"heal", well, "well already"},
	} {
		if got := outcome(c.verb, &c.before); !strings.Contains(got, c.want) || strings.Contains(got, "already") != strings.Contains(c.want, "already") {
			t.Errorf("%s of %+v: %q, want %q", c.verb, c.before, got, c.want)
		}
	}
}

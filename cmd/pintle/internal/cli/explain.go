package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
)

// verdict is what the server remembers of a pod's placement.
type verdict struct {
	Node     string `json:"node"`
	Score    int64  `json:"score"`
	Feasible int    `json:"feasible"`
	Nodes    int    `json:"nodes"`
	Scores   scores `json:"scores"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
	Reasons  []struct {
		Plugin   string   `json:"plugin"`
		Reason   string   `json:"reason"`
		Nodes    int      `json:"nodes"`
		Examples []string `json:"examples"`
	} `json:"reasons"`
	Rehearsed []struct {
		Plugin  string `json:"plugin"`
		Message string `json:"message"`
	} `json:"rehearsed"`
}

// scores say how the chosen node, which is the first, and the best of the others
// came by their scores.
type scores struct {
	Scorers []scorer `json:"scorers"`
	Nodes   []struct {
		Node   string  `json:"node"`
		Score  int64   `json:"score"`
		Shares []int64 `json:"shares"` // by scorer
	} `json:"nodes"`
}

// scorer is a member of a plugin that scores, or several that it adds up.
type scorer struct {
	Plugin  string   `json:"plugin"`
	Members []string `json:"members"`
	Weight  int64    `json:"weight"` // 0: each member has its own
}

func explainCommand() *cobra.Command {
	var f client.Flags
	var namespace string
	cmd := &cobra.Command{
		Use: "explain pod NAME", Short: "Why a pod was placed where it is, or is not placed", Args: cobra.RangeArgs(1, 2),
		Example: "  pintle explain pod web-7c9f4b-x2x8p",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 { // as kubectl has it, and prints with -o name
				kind, name, _ := strings.Cut(args[0], "/")
				args = []string{kind, name}
			}
			if args[1] == "" {
				return fmt.Errorf("which pod? usage: %s", cmd.UseLine())
			}
			if args[0] != "pod" && args[0] != "pods" {
				return fmt.Errorf("explain %s: only pods are placed; try `pintle explain pod NAME`", args[0])
			}
			c, err := f.Config()
			if err != nil {
				return err
			}
			b, err := client.Raw(cmd.Context(), c, "GET", "/explain/pods", map[string]string{"namespace": namespace, "name": args[1]}, nil)
			if apierrors.IsNotFound(err) {
				return noVerdict(cmd.Context(), c, namespace, args[1])
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(b)))
			}
			var v verdict
			if err := json.Unmarshal(b, &v); err != nil {
				return err
			}
			printVerdict(cmd.OutOrStdout(), args[1], v)
			return nil
		},
	}
	f.Add(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "the pod's namespace")
	return cmd
}

// noVerdict says why the server knows nothing of a pod's placement.
func noVerdict(ctx context.Context, c *rest.Config, namespace, name string) error {
	var pod struct {
		Spec struct {
			NodeName string `json:"nodeName"`
		} `json:"spec"`
	}
	b, err := client.Raw(ctx, c, "GET", "/api/v1/namespaces/"+namespace+"/pods/"+name, nil, nil)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no pod %s in namespace %s", name, namespace)
	case err != nil:
		return err
	}
	if err := json.Unmarshal(b, &pod); err != nil {
		return err
	}
	where := "has no node yet"
	if pod.Spec.NodeName != "" {
		where = "is on node " + pod.Spec.NodeName
	}
	return fmt.Errorf("pod %s %s, and the scheduler remembers no verdict about it: it keeps those it made since the server started, and decides only for pods without a node", name, where)
}

func printVerdict(out io.Writer, pod string, v verdict) {
	if v.Node != "" {
		fmt.Fprintf(out, "%s was placed on %s with score %d: %d of %d nodes could take it.\n", pod, v.Node, v.Score, v.Feasible, v.Nodes)
	} else {
		fmt.Fprintf(out, "%s is not placed after %s: %s\n", pod, attempts(v.Attempts), v.Message)
	}
	for _, r := range v.Rehearsed {
		if r.Message != "" {
			fmt.Fprintf(out, "%s decides nothing in its mode; it %s\n", r.Plugin, r.Message)
		}
	}
	v.Scores.print(out)
	if len(v.Reasons) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nPLUGIN\tNODES REFUSED\tREASON\tFOR EXAMPLE")
	for _, r := range v.Reasons {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", r.Plugin, r.Nodes, r.Reason, strings.Join(r.Examples, ", "))
	}
	_ = w.Flush()
}

func attempts(n int) string {
	if n == 1 {
		return "one attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// print writes a table with a column for each node and, for each scorer, what it
// gave: score × weight = share.
func (s *scores) print(out io.Writer) {
	if len(s.Nodes) == 0 {
		return
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "WHO SCORES")
	for _, n := range s.Nodes {
		fmt.Fprintf(w, "\t%s", n.Node)
	}
	for i, x := range s.Scorers {
		// Without its cells a line would end the table's columns.
		fmt.Fprint(w, "\n", strings.Join(s.names(x), " +"+strings.Repeat("\t", len(s.Nodes))+"\n"))
		for _, n := range s.Nodes {
			share := int64(0)
			if i < len(n.Shares) {
				share = n.Shares[i]
			}
			fmt.Fprint(w, "\t", x.share(share))
		}
	}
	fmt.Fprint(w, "\nin all")
	for _, n := range s.Nodes {
		fmt.Fprintf(w, "\t%d", n.Score)
	}
	_ = w.Flush()
	fmt.Fprintln(out)
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(out, strings.TrimRight(line, " \n"))
	}
}

// names are those of a scorer's members, with the plugin's where another has a
// member of that name.
func (s *scores) names(x scorer) []string {
	names := slices.Clone(x.Members)
	for i, name := range names {
		if slices.ContainsFunc(s.Scorers, func(o scorer) bool { return o.Plugin != x.Plugin && slices.Contains(o.Members, name) }) {
			names[i] = x.Plugin + "/" + name
		}
	}
	return names
}

func (x *scorer) share(share int64) string {
	if x.Weight <= 1 {
		return fmt.Sprint(share)
	}
	return fmt.Sprintf("%d × %d = %d", share/x.Weight, x.Weight, share)
}

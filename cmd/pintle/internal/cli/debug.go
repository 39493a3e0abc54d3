package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/diagnose"
)

const (
	// debugTimeout bounds what one process may take to answer.
	debugTimeout = 10 * time.Second
	// debugParallel is how many nodes are asked at once.
	debugParallel = 16
)

func debugCommand() *cobra.Command {
	var f client.Flags
	var output string
	var most int
	cmd := &cobra.Command{
		Use: "debug [NODE…]", Short: "What the server and the nodes' agents are busy with: memory, goroutines, objects, queues",
		Long: `What the server and the nodes' agents are busy with: version, uptime, memory,
garbage collection, goroutines by function, objects in the watch cache, and
queues. Without names all nodes are asked.

It reads /metrics and /debug/pprof/, which needs a cluster administrator's
kubeconfig. For a profile, see docs/operations.md.`,
		Example: "  pintle debug\n  pintle debug n1 -o json",
		RunE: func(cmd *cobra.Command, nodes []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output %q: want json, or nothing for text", output)
			}
			c, err := f.Config()
			if err != nil {
				return err
			}
			list, err := summaries(cmd.Context(), c, nodes)
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(list)
			}
			diagnose.Print(cmd.OutOrStdout(), list, most)
			return nil
		},
	}
	f.Add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or text when empty")
	cmd.Flags().IntVar(&most, "most", 12, "how many functions, resources and queues to show of each process")
	return cmd
}

// summaries asks the server and the nodes, all when none is named. What one of
// them does not answer is told in its summary.
func summaries(ctx context.Context, c *rest.Config, names []string) ([]diagnose.Process, error) {
	var v struct{ GitVersion string }
	if err := get(ctx, c, "/version", &v); err != nil {
		return nil, err
	}
	nodes, err := nodesNamed(ctx, c, names)
	if err != nil {
		return nil, err
	}
	list := make([]diagnose.Process, 1+len(nodes))
	list[0] = diagnose.Process{Name: "server", Version: v.GitVersion}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(debugParallel)
	group.Go(func() error { summarize(ctx, c, "", &list[0]); return nil })
	for i, n := range nodes {
		list[1+i] = diagnose.Process{Name: "node " + n.Name, Version: n.Status.NodeInfo.KubeletVersion}
		group.Go(func() error {
			summarize(ctx, c, "/api/v1/nodes/"+n.Name+"/proxy", &list[1+i])
			return nil
		})
	}
	return list, group.Wait()
}

func nodesNamed(ctx context.Context, c *rest.Config, names []string) ([]corev1.Node, error) {
	if len(names) == 0 {
		var list corev1.NodeList
		err := get(ctx, c, "/api/v1/nodes", &list)
		return list.Items, err
	}
	out := make([]corev1.Node, len(names))
	for i, name := range names {
		if err := get(ctx, c, "/api/v1/nodes/"+name, &out[i]); err != nil {
			return nil, fmt.Errorf("node %s: %w", name, err)
		}
	}
	return out, nil
}

// summarize fills in what a process serves below a path of the API server.
func summarize(ctx context.Context, c *rest.Config, path string, p *diagnose.Process) {
	ctx, cancel := context.WithTimeout(ctx, debugTimeout)
	defer cancel()
	var errs []string
	b, err := client.Raw(ctx, c, "GET", path+"/metrics", nil, nil)
	if err == nil {
		err = p.ReadMetrics(bytes.NewReader(b), time.Now())
	}
	if err != nil {
		errs = append(errs, "metrics: "+inWords(b, err))
	}
	if b, err = client.Raw(ctx, c, "GET", path+"/debug/pprof/goroutine", map[string]string{"debug": "1"}, nil); err == nil {
		err = p.ReadGoroutines(bytes.NewReader(b))
	}
	if err != nil {
		errs = append(errs, "goroutines: "+inWords(b, err)+remedy(err))
	}
	p.Error = strings.Join(errs, "; ")
}

// inWords prefers what the server says of an error to what client-go makes of its
// code: it says which node does not answer, and why.
func inWords(body []byte, err error) string {
	var s metav1.Status
	if json.Unmarshal(body, &s) == nil && s.Message != "" {
		return s.Message
	}
	return err.Error()
}

// remedy is what helps who gets no profile, where that is known.
func remedy(err error) string {
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return " (profiles are for administrators of the cluster)"
	case apierrors.IsNotFound(err):
		return " (it runs with --profiling=false)"
	}
	return ""
}

func get(ctx context.Context, c *rest.Config, path string, into any) error {
	b, err := client.Raw(ctx, c, "GET", path, nil, nil)
	if err != nil {
		if len(b) > 0 {
			err = errors.Join(err, errors.New(strings.TrimSpace(string(b))))
		}
		return err
	}
	return json.Unmarshal(b, into)
}

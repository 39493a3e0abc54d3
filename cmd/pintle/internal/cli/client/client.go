// Package client is how commands reach a cluster: the flags that name it, and
// requests to its API server.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubectl/pkg/scheme"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

// Flags say which cluster a command talks to.
type Flags struct{ Kubeconfig string }

// Add makes the flags those of a command and of all below it.
func (f *Flags) Add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.Kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default $KUBECONFIG, else that of 'pintle up')")
}

// Config finds the cluster as `pintle kubectl` does.
func (f *Flags) Config() (*rest.Config, error) {
	path, remedy := f.Kubeconfig, "name another with --kubeconfig"
	if path == "" {
		path, remedy = os.Getenv("KUBECONFIG"), "unset $KUBECONFIG to reach the cluster of `pintle up`, or name another with --kubeconfig"
	}
	if path == "" {
		path, remedy = paths.Dir(paths.Default).AdminKubeconfig(), "start one with `pintle up`, or name another with --kubeconfig"
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no cluster: %s does not exist; %s", path, remedy)
	}
	c, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	c.QPS, c.Burst = 200, 400
	return c, nil
}

// Raw sends one request of the caller's making to the API server.
func Raw(ctx context.Context, c *rest.Config, verb, path string, query map[string]string, body []byte) ([]byte, error) {
	client, err := REST(c)
	if err != nil {
		return nil, err
	}
	req := client.Verb(verb).AbsPath(path)
	for k, v := range query {
		req = req.Param(k, v)
	}
	if body != nil {
		req = req.SetHeader("Content-Type", "application/octet-stream").Body(body)
	}
	b, err := req.DoRaw(ctx)
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w; is the cluster up? `pintle up` starts that of this machine", err)
	}
	return b, err
}

// REST is a client for requests of the caller's making.
func REST(c *rest.Config) (*rest.RESTClient, error) {
	c = rest.CopyConfig(c)
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return rest.UnversionedRESTClientFor(c)
}

// ReadToken reads the token of --token-file; "-" is standard input.
func ReadToken(file string) (string, error) {
	in := os.Stdin
	if file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		defer in.Close()
	}
	b, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	if len(strings.TrimSpace(string(b))) == 0 {
		return "", fmt.Errorf("--token-file %s: it is empty", file)
	}
	return strings.TrimSpace(string(b)), nil
}

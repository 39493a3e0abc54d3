package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

// clientFlags say which cluster a command talks to.
type clientFlags struct{ kubeconfig string }

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default $KUBECONFIG, else that of 'pintle up')")
}

// config finds the cluster as `pintle kubectl` does.
func (f *clientFlags) config() (*rest.Config, error) {
	path := f.kubeconfig
	if path == "" {
		path = os.Getenv("KUBECONFIG")
	}
	if path == "" {
		path = paths.Dir(paths.Default).AdminKubeconfig()
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no cluster: %s does not exist; start one with `pintle up`, or name another with --kubeconfig", path)
	}
	c, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	c.QPS, c.Burst = 200, 400
	return c, nil
}

func configFrom(path string) (*rest.Config, error) {
	return (&clientFlags{kubeconfig: path}).config()
}

// raw sends one request of the caller's making to the API server.
func raw(ctx context.Context, c *rest.Config, verb, path string, query map[string]string, body []byte) ([]byte, error) {
	client, err := restClient(c)
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

func restClient(c *rest.Config) (*rest.RESTClient, error) {
	c = rest.CopyConfig(c)
	c.NegotiatedSerializer = rawSerializer
	return rest.UnversionedRESTClientFor(c)
}

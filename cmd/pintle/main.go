// Command pintle is the whole of Pintle in one binary: control plane, node
// agent, lab, plugin tools and kubectl.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli"
	"github.com/pintle-io/pintle/cmd/pintle/internal/kubectl"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

func main() {
	// kubectl parses its own arguments, wherever they stand.
	if filepath.Base(os.Args[0]) == "kubectl" {
		kubectl.Main(os.Args, paths.Dir(paths.Default).AdminKubeconfig())
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "kubectl" {
		kubectl.Main(append([]string{"kubectl"}, os.Args[2:]...), paths.Dir(paths.Default).AdminKubeconfig())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := cli.New().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pintle:", err)
		os.Exit(1)
	}
}

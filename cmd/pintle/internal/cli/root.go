// Package cli is pintle's command tree. A command reads its flags, calls the
// package that does the work, and prints; nothing else is done here.
package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/apply"
	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/image"
	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/plugin"
	"github.com/pintle-io/pintle/internal/version"
)

// New makes the command tree.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:   "pintle",
		Short: "A container orchestrator that speaks the Kubernetes API",
		Long: `Pintle is a container orchestrator that speaks the Kubernetes API.

  pintle up               a cluster on this machine
  pintle kubectl …        kubectl, against it
  pintle plugin new …     write a plugin; build, load, list, remove
  pintle lab up           a cluster of several nodes on this machine
  pintle node --server …  join this machine to a cluster`,
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(
		&cobra.Group{ID: "cluster", Title: "A cluster:"},
		&cobra.Group{ID: "use", Title: "Using it:"},
	)
	for group, list := range map[string][]*cobra.Command{
		"cluster": {upCommand(), downCommand(), serverCommand(), nodeCommand(), tokenCommand(), storeCommand(), labCommand()},
		"use":     {kubectlCommand(), apply.Command(), image.Command(), plugin.Command(), explainCommand(), debugCommand(), versionCommand()},
	} {
		for _, c := range list {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.SetVersionTemplate("{{.Version}}\n")
	sayUsage(root)
	return root
}

// sayUsage makes a wrong number of arguments say which ones are wanted.
func sayUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w; usage: %s", err, c.UseLine())
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		sayUsage(c)
	}
}

func kubectlCommand() *cobra.Command {
	// main runs kubectl before cobra sees its arguments; this is for help.
	return &cobra.Command{Use: "kubectl …", Short: "Run kubectl against Pintle's cluster", DisableFlagParsing: true}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

// versionText is what `pintle version` and `pintle --version` say.
func versionText() string {
	return fmt.Sprintf("Pintle %s (commit %s), Kubernetes API %s, %s", version.Pintle, version.Commit, version.Kubernetes, version.Platform())
}

// Package plugin is `pintle plugin`: plugins written, built, loaded and watched.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/pluginapi"
	"github.com/pintle-io/pintle/kernel/plugin/scaffold"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// Command is `pintle plugin`.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "plugin", Short: "Write, build, load and watch plugins",
		Long: `A plugin is a filter or score of the scheduler, an admission policy, or a
controller. It is compiled from Go to WASM, or to a process, from one source,
and loaded into the running cluster.

  pintle plugin new scheduler prefer-b
  pintle plugin build prefer-b
  pintle plugin load prefer-b/prefer-b.wasm`,
	}
	var f client.Flags
	f.Add(cmd)
	cmd.AddCommand(scaffoldCommand(), buildCommand(), loadCommand(&f), listCommand(&f), inspectCommand(&f), removeCommand(&f))
	return cmd
}

func scaffoldCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "new scheduler|admission|controller|conversion NAME", Short: "Write the first 30 lines of a plugin", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				dir = args[1]
			}
			if err := scaffold.New(args[0], args[1], dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in %s: edit %s, then\n\n  pintle plugin build %[2]s\n  pintle plugin load %[4]s\n",
				args[1], dir, strings.ReplaceAll(args[1], "-", "")+".go", filepath.Join(dir, args[1]+".wasm"))
			if args[0] == "controller" {
				fmt.Fprintf(cmd.OutOrStdout(), "\nA controller may do nothing that --allow does not say; %s has the flags of this one.\n", filepath.Join(dir, "README.md"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where to write it (default: a folder of its name)")
	return cmd
}

func buildCommand() *cobra.Command {
	var host, output string
	cmd := &cobra.Command{
		Use: "build [DIR]", Short: "Compile a plugin", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			quiet := sayAfter(patience, terminal(cmd.ErrOrStderr()), "compiling; the first time on a machine the standard library, too, which takes a minute …")
			file, err := scaffold.Build(cmd.Context(), dir, host)
			quiet()
			if err != nil {
				return err
			}
			if output != "" && output != file {
				if err := os.Rename(file, output); err != nil {
					return err
				}
				file = output
			}
			st, err := os.Stat(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, %.1f MB\n", file, float64(st.Size())/1e6)
			return nil
		},
	}
	cmd.Flags().StringVar(&host, "host", "wasm", "what to build for: wasm or process")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write")
	return cmd
}

func listCommand(f *client.Flags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the cluster's plugins", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := withAPI(cmd.Context(), f, (*pluginapi.Client).List)
			if err != nil {
				return err
			}
			return printPlugins(cmd.OutOrStdout(), list, time.Now())
		},
	}
}

func withAPI[T any](ctx context.Context, f *client.Flags, do func(*pluginapi.Client, context.Context) (T, error)) (T, error) {
	var zero T
	c, err := f.Config()
	if err != nil {
		return zero, err
	}
	api, err := pluginapi.New(c)
	if err != nil {
		return zero, err
	}
	return do(api, ctx)
}

func inspectCommand(f *client.Flags) *cobra.Command {
	return &cobra.Command{
		Use: "inspect NAME", Short: "Show what a plugin is and how it does", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := withAPI(cmd.Context(), f, func(c *pluginapi.Client, ctx context.Context) (*v1alpha1.Plugin, error) { return c.Get(ctx, args[0]) })
			if err != nil {
				return err
			}
			return printPlugin(cmd.OutOrStdout(), p, time.Now())
		},
	}
}

func removeCommand(f *client.Flags) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take a plugin out of the cluster", Aliases: []string{"rm"}, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := withAPI(cmd.Context(), f, func(c *pluginapi.Client, ctx context.Context) (struct{}, error) {
				p, err := c.Get(ctx, args[0])
				if err == nil && p.Labels[v1alpha1.BuiltinLabel] == "true" {
					err = errors.New("it ships with Pintle and would come back at once; change its spec instead (kubectl edit plugin)")
				}
				if err != nil {
					return struct{}{}, err
				}
				return struct{}{}, c.Remove(ctx, args[0])
			})
			if err != nil {
				return fmt.Errorf("remove %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s removed\n", args[0])
			return nil
		},
	}
}

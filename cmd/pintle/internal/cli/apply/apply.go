// Package apply is `pintle apply`: kubectl apply, and with --atomic the same for all
// objects or for none, as one Batch (kernel/batch). What a manifest is, where it is
// looked for and how results are printed is kubectl's.
//
// Begin at [Command].
package apply

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/rest"
	upstream "k8s.io/kubectl/pkg/cmd/apply"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/validation"

	"github.com/pintle-io/pintle/cmd/pintle/internal/kubectl"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

// Command makes the command.
func Command() *cobra.Command {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	config := kubectl.ConfigFlags(streams)
	factory := cmdutil.NewFactory(cmdutil.NewMatchVersionFlags(config))
	flags, atomic, hint := upstream.NewApplyFlags(streams), false, ""
	cmd := &cobra.Command{
		Use:   "apply (-f FILENAME | -k DIRECTORY) [--atomic]",
		Short: "Apply objects as kubectl does; with --atomic all or none",
		Long: `Apply objects, as kubectl apply does and with its flags.

With --atomic all are applied, or none: they are written in one transaction, at one
revision, or the command says which of them were refused, and nothing is written. Each
is a server-side apply. --dry-run=server shows what would change.

An object does not see what the others write: a namespace or a CustomResourceDefinition
must be there before what needs it.`,
		Example: `  pintle apply --atomic --dry-run=server -f shop/
  pintle apply --atomic -f shop/
  pintle apply -f shop/`,
		// For the commands below it, too.
		PersistentPreRun: func(*cobra.Command, []string) { hint = kubectl.Prepare(paths.Dir(paths.Default).AdminKubeconfig()) },
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.IOStreams = genericiooptions.IOStreams{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), ErrOut: cmd.ErrOrStderr()}
			if !atomic {
				o, err := flags.ToOptions(factory, cmd, "kubectl", args)
				cmdutil.CheckErr(err) // which exits, with kubectl's words
				cmdutil.CheckErr(o.Validate())
				cmdutil.CheckErr(o.Run())
				return nil
			}
			config.WithWrapConfigFn(quick)
			return inWords(runAtomic(cmd.Context(), factory, cmd, flags, args), hint)
		},
	}
	config.AddFlags(cmd.PersistentFlags())
	flags.AddFlags(cmd)
	cmd.Flags().BoolVar(&atomic, "atomic", false, "Apply all objects in one transaction, or none. Implies --server-side.")
	cmd.AddCommand(upstream.NewCmdApplyViewLastApplied(factory, streams), upstream.NewCmdApplySetLastApplied(factory, streams), upstream.NewCmdApplyEditLastApplied(factory, streams))
	return cmd
}

// quick lets a dry run read hundreds of objects: the server says when that is too much.
func quick(c *rest.Config) *rest.Config {
	c.QPS, c.Burst = 200, 400
	return c
}

// without are flags of kubectl apply that --atomic cannot do, and why.
var without = map[string]string{
	"prune": "a batch deletes nothing", "prune-allowlist": "a batch deletes nothing", "applyset": "a batch deletes nothing", "all": "it is for --prune",
	"force":   "objects are not deleted and created anew; --force-conflicts takes fields from other managers",
	"cascade": "objects are not deleted", "grace-period": "objects are not deleted", "timeout": "objects are not deleted", "wait": "objects are not deleted",
	"overwrite": "objects are merged by the server", "openapi-patch": "objects are merged by the server",
	"subresource": "objects are applied as a whole",
}

// serverSide checks the flags, and says --server-side for the user.
func serverSide(cmd *cobra.Command) error {
	fl := cmd.Flags()
	for name, why := range without {
		if fl.Changed(name) {
			return fmt.Errorf("--%s does not go with --atomic: %s", name, why)
		}
	}
	if fl.Changed("server-side") && !cmdutil.GetServerSideApplyFlag(cmd) {
		return errors.New("--server-side=false does not go with --atomic: objects are merged by the server")
	}
	return fl.Set("server-side", "true")
}

// atomic is a command with --atomic on its way.
type atomic struct {
	*upstream.ApplyOptions
	factory cmdutil.Factory
	infos   []*resource.Info // the objects as they are written, then as they were answered
}

func runAtomic(ctx context.Context, f cmdutil.Factory, cmd *cobra.Command, flags *upstream.ApplyFlags, args []string) error {
	if err := serverSide(cmd); err != nil {
		return err
	}
	o, err := flags.ToOptions(f, cmd, "kubectl", args)
	if err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	o.Validator = validation.NullSchema{}      // the server validates what it is sent
	if _, err := o.ToPrinter(""); err != nil { // before anything is written
		return err
	}
	a := &atomic{ApplyOptions: o, factory: f}
	if err := a.read(ctx); err != nil {
		return err
	}
	answer, err := a.send(ctx)
	if err != nil {
		return a.refused(err)
	}
	if err = a.print(answer); err != nil && o.DryRunStrategy == cmdutil.DryRunNone {
		return fmt.Errorf("all objects were applied; %w", err)
	}
	return err
}

// inWords words an error of a client as kubectl does, with the hint where nobody answers.
func inWords(err error, hint string) error {
	if err == nil {
		return nil
	}
	if text, ok := cmdutil.StandardErrorMessage(err); ok {
		err = errors.New(text)
	}
	// Kubectl's reader of files does not wrap what it met.
	if text := err.Error(); hint != "" && (kubectl.NoServer(text) || strings.Contains(text, "connection refused")) {
		return fmt.Errorf("%w\n%s", err, hint)
	}
	return err
}

// Package plugin is `pintle plugin`: plugins written, built, loaded and watched.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

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
		Use: "new scheduler|admission|controller NAME", Short: "Write the first 30 lines of a plugin", Args: cobra.ExactArgs(2),
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
			file, err := scaffold.Build(cmd.Context(), dir, host)
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

// loadFlags say how a plugin is used.
type loadFlags struct {
	name, host, config, failure, mode, member string
	weight                                    int64
	allow                                     []string
}

func loadCommand(f *client.Flags) *cobra.Command {
	var l loadFlags
	cmd := &cobra.Command{
		Use: "load FILE", Short: "Load a plugin into the running cluster, or another version of it", Args: cobra.ExactArgs(1),
		Example: `  pintle plugin load prefer-b.wasm --weight 10
  pintle plugin load welcome.wasm --allow get,list,watch:namespaces,configmaps --allow create:configmaps`,
		RunE: func(cmd *cobra.Command, args []string) error { return l.run(cmd, f, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVar(&l.name, "name", "", "name in the cluster (default: the file's)")
	fl.StringVar(&l.member, "plugin", "", "the plugin to open when the module holds several")
	fl.StringVar(&l.host, "host", "wasm", "what runs it: wasm or process")
	fl.StringVar(&l.config, "config", "", "configuration, as JSON")
	fl.StringVar(&l.failure, "failure-policy", "", "what a fault means: Fail (default) or Ignore")
	fl.StringVar(&l.mode, "mode", "", "Enforce (default), Monitor or Shadow")
	fl.Int64Var(&l.weight, "weight", 1, "weight of its score")
	fl.StringArrayVar(&l.allow, "allow", nil, "what a controller may do: VERB[,…]:RESOURCE[.GROUP][,…] (repeatable)")
	return cmd
}

func (l *loadFlags) run(cmd *cobra.Command, f *client.Flags, file string) error {
	module, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if l.host == string(v1alpha1.HostWASM) && !strings.HasPrefix(string(module[:min(4, len(module))]), "\x00asm") {
		return fmt.Errorf("%s is no WASM module; build one with `pintle plugin build`, or load an executable with --host process", file)
	}
	if l.name == "" {
		l.name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	p, err := l.plugin(cmd)
	if err != nil {
		return err
	}
	c, err := f.Config()
	if err != nil {
		return err
	}
	api, err := pluginapi.New(c)
	if err != nil {
		return err
	}
	if p.Spec.Digest, err = api.Upload(cmd.Context(), module); err != nil {
		return fmt.Errorf("upload %s: %w", file, err)
	}
	old, err := api.Get(cmd.Context(), p.Name)
	switch {
	case apierrors.IsNotFound(err):
		old = nil
	case err != nil:
		return err
	default:
		l.keep(cmd, &old.Spec, &p.Spec)
	}
	before, err := api.Apply(cmd.Context(), p)
	if err != nil {
		return err
	}
	now, err := api.WaitLoaded(cmd.Context(), p.Name, before)
	if err != nil {
		return fmt.Errorf("%s was not loaded: %w", file, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s on %s, serves %s%s\n", p.Name, now.Status.Phase, l.host, strings.Join(now.Status.Points, ", "), modeNote(p.Spec.Mode))
	if lost := lostPoints(old, now); len(lost) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: what %s was before served %s, this does not\n", p.Name, strings.Join(lost, ", "))
	}
	if slices.Contains(now.Status.Points, "Controller") && len(p.Spec.Permissions) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: it is a controller without permissions and can read and write nothing; load it again with --allow VERBS:RESOURCES")
	}
	return nil
}

// keep leaves as it is what the command line does not say: another version of
// a policy that is rehearsed goes on being rehearsed.
func (l *loadFlags) keep(cmd *cobra.Command, old, spec *v1alpha1.PluginSpec) {
	given := cmd.Flags().Changed
	if !given("mode") {
		spec.Mode = old.Mode
	}
	if !given("failure-policy") {
		spec.FailurePolicy = old.FailurePolicy
	}
	if !given("weight") {
		spec.Weight = old.Weight
	}
	if !given("config") {
		spec.Config = old.Config
	}
	if !given("allow") {
		spec.Permissions = old.Permissions
	}
	spec.Limits, spec.Match, spec.Order, spec.Members = old.Limits, old.Match, old.Order, old.Members // of no flag
}

// modeNote names a mode that is not the default.
func modeNote(m v1alpha1.Mode) string {
	if m == "" || m == v1alpha1.Enforce {
		return ""
	}
	return ", mode " + string(m)
}

// lostPoints are those that another version serves no longer.
func lostPoints(old, now *v1alpha1.Plugin) (lost []string) {
	if old == nil {
		return nil
	}
	for _, p := range old.Status.Points {
		if !slices.Contains(now.Status.Points, p) {
			lost = append(lost, p)
		}
	}
	return lost
}

func (l *loadFlags) plugin(cmd *cobra.Command) (*v1alpha1.Plugin, error) {
	p := &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: l.name}}
	p.Spec = v1alpha1.PluginSpec{Plugin: l.member, Host: v1alpha1.HostKind(l.host), FailurePolicy: v1alpha1.FailurePolicy(l.failure), Mode: v1alpha1.Mode(l.mode)}
	if cmd.Flags().Changed("weight") {
		p.Spec.Weight = &l.weight
	}
	if l.config != "" {
		if !json.Valid([]byte(l.config)) {
			return nil, fmt.Errorf("--config is no JSON: %s", l.config)
		}
		p.Spec.Config = &runtime.RawExtension{Raw: []byte(l.config)}
	}
	for _, a := range l.allow {
		r, err := parseAllow(a)
		if err != nil {
			return nil, err
		}
		p.Spec.Permissions = append(p.Spec.Permissions, r)
	}
	return p, nil
}

// parseAllow reads "get,list:deployments.apps,configmaps".
func parseAllow(s string) (rbacv1.PolicyRule, error) {
	verbs, resources, ok := strings.Cut(s, ":")
	var r rbacv1.PolicyRule
	for v := range strings.SplitSeq(verbs, ",") {
		r.Verbs = append(r.Verbs, strings.TrimSpace(v))
	}
	for x := range strings.SplitSeq(resources, ",") {
		resource, group, _ := strings.Cut(strings.TrimSpace(x), ".")
		r.Resources, r.APIGroups = append(r.Resources, resource), append(r.APIGroups, group)
	}
	if !ok || slices.Contains(r.Verbs, "") || slices.Contains(r.Resources, "") {
		return r, fmt.Errorf("--allow %q: want VERB[,…]:RESOURCE[.GROUP][,…], for example get,list,watch:deployments.apps", s)
	}
	return r, nil
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

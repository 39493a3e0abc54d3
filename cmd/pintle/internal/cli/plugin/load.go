package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// loadFlags say how a plugin is used.
type loadFlags struct {
	name, host, config, failure, mode, member string
	weight                                    int64
	order                                     int32
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
	fl.Int32Var(&l.order, "order", 0, "place among the policies, lowest first, -10000 to 10000")
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
	quiet := sayAfter(patience, terminal(cmd.ErrOrStderr()), fmt.Sprintf("%s is uploaded; the server compiles and opens it, which takes seconds the first time …", file))
	now, err := api.WaitLoaded(cmd.Context(), p.Name, before)
	quiet()
	if err != nil {
		return fmt.Errorf("%s was not loaded: %w%s%s", file, err, lacking(err), aftermath(cmd.Context(), api, p.Name, old != nil, err))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s on %s, serves %s%s\n", p.Name, now.Status.Phase, l.host, strings.Join(now.Status.Points, ", "), modeNote(p.Spec.Mode))
	if lost := lostPoints(old, now); len(lost) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: what %s was before served %s, this does not\n", p.Name, strings.Join(lost, ", "))
	}
	for _, flag := range useless(now.Status.Points, cmd.Flags().Changed) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: --%s has no effect: %s\n", flag.name, flag.why)
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
	if !given("order") {
		spec.Order = old.Order
	}
	spec.Limits, spec.Match, spec.Members = old.Limits, old.Match, old.Members // of no flag
}

// patience is how long a command says nothing of what it waits for.
const patience = 700 * time.Millisecond

// terminal is w for those who watch it, and nothing for a script or a log.
func terminal(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			return w
		}
	}
	return io.Discard
}

// sayAfter prints a line when something takes longer than d. The caller calls stop
// when it is over; nothing is printed after that.
func sayAfter(d time.Duration, out io.Writer, line string) (stop func()) {
	said := make(chan struct{})
	t := time.AfterFunc(d, func() { defer close(said); fmt.Fprintln(out, line) })
	return func() {
		if !t.Stop() {
			<-said
		}
	}
}

// lacking names the flag when it is permissions that are missing.
func lacking(err error) string {
	if strings.Contains(err.Error(), "spec.permissions of the Plugin does not allow it") {
		return "; --allow VERBS:RESOURCES gives what it lacks, and replaces what it has"
	}
	return ""
}

// remover takes a Plugin away.
type remover interface {
	Remove(ctx context.Context, name string) error
}

// aftermath says what a load that failed leaves behind. A Plugin that was not
// there before is taken away again: it would be tried and fail for ever.
func aftermath(ctx context.Context, api remover, name string, replaced bool, err error) string {
	var failed *pluginapi.LoadError
	switch {
	case !errors.As(err, &failed):
		return ""
	case replaced:
		return fmt.Sprintf(" (Plugin %q stays as it was written now; `pintle plugin inspect %[1]s` shows what runs)", name)
	case api.Remove(ctx, name) != nil:
		return fmt.Sprintf(" (the Plugin is there, and tried again; `pintle plugin remove %s` ends that)", name)
	}
	return " (the Plugin was removed again)"
}

// uselessFlag is a flag that says nothing to what was loaded.
type uselessFlag struct{ name, why string }

// useless lists the flags that were given and that nothing among the points reads.
func useless(points []string, given func(flag string) bool) (list []uselessFlag) {
	serves := func(any ...string) bool {
		return slices.ContainsFunc(points, func(p string) bool { return slices.Contains(any, p) })
	}
	if given("weight") && !serves("Score", "ScoreAll") {
		list = append(list, uselessFlag{"weight", "it serves no score"})
	}
	if given("order") && !serves("Mutate", "Validate") {
		list = append(list, uselessFlag{"order", "it is no policy"})
	}
	return list
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
	p.Spec = v1alpha1.PluginSpec{Plugin: l.member, Host: v1alpha1.HostKind(l.host), FailurePolicy: v1alpha1.FailurePolicy(l.failure), Mode: v1alpha1.Mode(l.mode), Order: l.order}
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
		r.Resources = append(r.Resources, resource)
		if !slices.Contains(r.APIGroups, group) {
			r.APIGroups = append(r.APIGroups, group)
		}
	}
	if !ok || slices.Contains(r.Verbs, "") || slices.Contains(r.Resources, "") {
		return r, fmt.Errorf("--allow %q: want VERB[,…]:RESOURCE[.GROUP][,…], for example get,list,watch:deployments.apps", s)
	}
	return r, nil
}

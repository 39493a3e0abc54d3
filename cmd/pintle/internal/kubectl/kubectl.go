// Package kubectl runs upstream's kubectl, linked in, against Pintle's own
// kubeconfig unless the caller names another.
// RATIONALE.md: "Why is kubectl linked in?"
package kubectl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // credential plugins, as kubectl has them
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/plugin"
	"k8s.io/kubectl/pkg/cmd/util"
)

// Main runs kubectl with args (args[0] is the program name) and exits the
// process as kubectl does. The cluster is that of [Prepare].
func Main(args []string, defaultKubeconfig string) {
	Prepare(defaultKubeconfig)
	os.Args = args // kubectl's own argument handling reads it
	logs.GlogSetter(cmd.GetLogVerbosity(args))
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	command := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		PluginHandler: cmd.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     args,
		ConfigFlags:   ConfigFlags(streams),
		IOStreams:     streams,
	})
	if err := cli.RunNoErrOutput(command); err != nil {
		util.CheckErr(err)
	}
}

// Prepare makes what comes of kubectl's packages reach the cluster of
// defaultKubeconfig unless --kubeconfig or $KUBECONFIG says otherwise;
// ~/.kube/config is not read, once Pintle has made its own, so that a command for
// Pintle never reaches another cluster by accident. It changes the environment of the
// process. hint is what to tell who reaches no server, or "".
func Prepare(defaultKubeconfig string) (hint string) {
	if hint = hintFor(os.Getenv("KUBECONFIG"), defaultKubeconfig); hint != "" {
		util.BehaviorOnFatal(func(message string, code int) { fatal(message, hint, code) })
	}
	useDefault(defaultKubeconfig)
	return hint
}

// ConfigFlags are the flags by which kubectl's commands find a cluster, and warn to
// streams.
func ConfigFlags(streams genericiooptions.IOStreams) *genericclioptions.ConfigFlags {
	return genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().
		WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams)
}

// NoServer tells whether message is kubectl's when nobody answers at the address. Who
// applies or creates from files meets the validation first, which words it as the
// connection does.
func NoServer(message string) bool {
	return strings.Contains(message, "did you specify the right host or port?") ||
		strings.Contains(message, "failed to download openapi") && strings.Contains(message, "dial tcp")
}

// useDefault names the kubeconfig when the caller names none by environment.
func useDefault(kubeconfig string) {
	if os.Getenv("KUBECONFIG") != "" {
		return
	}
	if _, err := os.Stat(kubeconfig); err == nil {
		os.Setenv("KUBECONFIG", kubeconfig)
	}
}

// hintFor is what to tell who reaches no server, by the value of $KUBECONFIG; ""
// when he named a file that is there.
func hintFor(env, kubeconfig string) string {
	if env == "" {
		return "`pintle up` starts the cluster of this machine; another one is named by --kubeconfig or $KUBECONFIG."
	}
	for _, file := range filepath.SplitList(env) {
		if _, err := os.Stat(file); err == nil {
			return ""
		}
	}
	return fmt.Sprintf("$KUBECONFIG is %s, and there is no such file. Without it, `pintle kubectl` uses %s, the cluster of `pintle up`.", env, kubeconfig)
}

// fatal does what kubectl does, and tells who finds no cluster how to get one.
func fatal(message, hint string, code int) {
	if message != "" {
		fmt.Fprintln(os.Stderr, strings.TrimSuffix(message, "\n"))
	}
	if NoServer(message) {
		fmt.Fprintln(os.Stderr, hint)
	}
	os.Exit(code)
}

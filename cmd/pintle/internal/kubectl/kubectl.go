// Package kubectl runs upstream's kubectl, linked in, against Pintle's own
// kubeconfig unless the caller names another.
package kubectl

import (
	"os"

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
// process as kubectl does. defaultKubeconfig is used unless --kubeconfig or
// $KUBECONFIG says otherwise; ~/.kube/config is not, once Pintle has made its
// own, so that a command for Pintle never reaches another cluster by accident.
func Main(args []string, defaultKubeconfig string) {
	useDefault(defaultKubeconfig)
	os.Args = args // kubectl's own argument handling reads it
	logs.GlogSetter(cmd.GetLogVerbosity(args))
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	command := cmd.NewDefaultKubectlCommandWithArgs(cmd.KubectlOptions{
		PluginHandler: cmd.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     args,
		ConfigFlags: genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().
			WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams),
		IOStreams: streams,
	})
	if err := cli.RunNoErrOutput(command); err != nil {
		util.CheckErr(err)
	}
}

func useDefault(kubeconfig string) {
	if os.Getenv("KUBECONFIG") != "" {
		return
	}
	if _, err := os.Stat(kubeconfig); err == nil {
		os.Setenv("KUBECONFIG", kubeconfig)
	}
}

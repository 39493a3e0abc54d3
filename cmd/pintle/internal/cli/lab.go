package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/lab"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

func labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lab", Short: "A cluster of several nodes on this machine, to rehearse with",
		Long: `A lab is a cluster of several nodes on one machine. Each node lives in a network
namespace of its own, with its own agent and containerd, joined over a bridge
to one control plane. Nodes can be killed, cut off and healed.`,
	}
	var dir string
	paths.Var(cmd.PersistentFlags(), &dir, "dir", lab.DefaultDir, "where the lab keeps everything")
	cmd.AddCommand(labUp(&dir), labStatus(&dir), labExec(&dir), labDown(&dir), labRestart(&dir), labRun(),
		labVerb(&dir, "kill", "End a node at once, as a power cut does", (*lab.State).Kill),
		labVerb(&dir, "cut", "Pull a node's cable; it runs on and nobody reaches it", (*lab.State).Cut),
		labVerb(&dir, "heal", "Plug a node's cable in and start what does not run", (*lab.State).Heal))
	return cmd
}

func labUp(dir *string) *cobra.Command {
	c := lab.Config{}
	cmd := &cobra.Command{
		Use: "up", Short: "Build a lab and wait until its nodes are Ready", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Dir = *dir
			out := cmd.OutOrStdout()
			start := time.Now()
			s, err := lab.Up(cmd.Context(), c, out, labToken)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "\nA lab of %d nodes is up after %.1fs. Try:\n\n", len(s.Nodes), time.Since(start).Seconds())
			fmt.Fprintf(out, "  export KUBECONFIG=%s\n  pintle kubectl create deployment web --image=demo:v1 --replicas=%d\n  pintle lab kill %s\n\n", s.Kubeconfig(), 2*len(s.Nodes), s.Nodes[len(s.Nodes)-1].Name)
			return nil
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&c.Nodes, "nodes", 3, "number of nodes")
	fl.IntVar(&c.APIPort, "api-port", 0, "the API server's port on the loopback (0 picks a free one)")
	fl.IntVar(&c.Registry, "registry-port", 0, "the image registry's port on the loopback (0 picks a free one)")
	fl.StringArrayVar(&c.ServerArgs, "server-arg", lab.FastServerArgs, "a flag of the control plane (repeatable; replaces the lab's own)")
	fl.StringArrayVar(&c.NodeArgs, "node-arg", lab.FastNodeArgs, "a flag of every node's agent (repeatable; replaces the lab's own)")
	return cmd
}

func labToken(ctx context.Context, kubeconfig string, nodes int) (string, error) {
	c, err := (&client.Flags{Kubeconfig: kubeconfig}).Config()
	if err != nil {
		return "", err
	}
	return createToken(ctx, c, time.Hour, nodes)
}

func labVerb(dir *string, verb, short string, do func(*lab.State, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NODE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := lab.Load(*dir)
			if err != nil {
				return err
			}
			before, err := nodeStatus(s, args[0])
			if err != nil {
				return err
			}
			if err := do(s, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], outcome(verb, &before))
			return nil
		},
	}
}

// nodeStatus is how one node does.
func nodeStatus(s *lab.State, name string) (lab.NodeStatus, error) {
	_, nodes, err := s.Status()
	if err != nil {
		return lab.NodeStatus{}, err
	}
	for _, n := range nodes {
		if n.Name == name {
			return n, nil
		}
	}
	_, err = s.Node(name)
	return lab.NodeStatus{}, err
}

// outcome is what a verb made of a node, or that it was so before.
func outcome(verb string, before *lab.NodeStatus) string {
	switch dead := before.Agent == 0 && before.Containers == 0; {
	case verb == "kill" && dead && !before.Cable:
		return "it was dead already; `pintle lab heal " + before.Name + "` brings it back"
	case verb == "cut" && !before.Cable:
		return "it was cut off already"
	case verb == "heal" && before.Cable && before.Agent != 0:
		return "it was well already"
	}
	return map[string]string{"kill": "killed", "cut": "cut off", "heal": "healed"}[verb]
}

func labRestart(dir *string) *cobra.Command {
	var kill bool
	cmd := &cobra.Command{
		Use: "restart server|NODE", Short: "Restart the control plane or a node's agent; containers run on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := lab.Load(*dir)
			if err != nil {
				return err
			}
			if err := s.Restart(cmd.Context(), args[0], kill); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: restarted\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&kill, "kill", false, "end the process with SIGKILL instead of SIGTERM")
	return cmd
}

func labStatus(dir *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "status", Short: "Show the lab's machines", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := lab.Load(*dir)
			if err != nil {
				return err
			}
			server, nodes, err := s.Status()
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"kubeconfig": s.Kubeconfig(), "api": s.API, "registry": s.Registry, "server": server, "nodes": nodes})
			}
			printLab(cmd, s, server, nodes)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or a table")
	return cmd
}

func printLab(cmd *cobra.Command, s *lab.State, server int, nodes []lab.NodeStatus) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MACHINE\tADDRESS\tAGENT\tCABLE\tCONTAINER PROCESSES")
	fmt.Fprintf(w, "server\t%s\t%s\t-\t-\n", lab.ServerIP, running(server))
	for _, n := range nodes {
		cable := "whole"
		if !n.Cable {
			cable = "cut"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", n.Name, n.IP, running(n.Agent), cable, n.Containers)
	}
	_ = w.Flush()
	fmt.Fprintf(cmd.OutOrStdout(), "\nAPI https://%s, images %s, kubeconfig %s\n", s.API, s.Registry, s.Kubeconfig())
}

func running(pid int) string {
	if pid == 0 {
		return "down"
	}
	return fmt.Sprintf("up (pid %d)", pid)
}

func labExec(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "exec NODE|switch -- COMMAND", Short: "Run a command in a node's network, or on the switch outside of every node",
		Args: cobra.MinimumNArgs(2), Example: "  pintle lab exec node1 -- curl http://10.97.0.1",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := lab.Load(*dir)
			if err != nil {
				return err
			}
			c, err := s.Command(cmd.Context(), args[0], args[1:]...)
			if err != nil {
				return err
			}
			c.Stdin, c.Stdout, c.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
			err = c.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				os.Exit(exit.ExitCode()) // the command has said what was wrong
			}
			return err
		},
	}
}

// labRun is the inner half of exec.
func labRun() *cobra.Command {
	var ns, group string
	cmd := &cobra.Command{Use: "run", Hidden: true, Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return lab.Run(ns, group, args) }}
	cmd.Flags().StringVar(&ns, "netns", "", "network namespace")
	cmd.Flags().StringVar(&group, "cgroup", "", "cgroup")
	return cmd
}

func labDown(dir *string) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use: "down", Short: "End the lab and remove everything of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := lab.Down(cmd.Context(), *dir, !keep); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the lab is gone")
			return nil
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-data", false, "leave the data and logs in the lab's directory")
	return cmd
}

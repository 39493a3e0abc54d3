package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/keystore"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens with which nodes and servers join"}
	var f client.Flags
	f.Add(cmd)
	cmd.AddCommand(tokenCreate(&f), tokenGenerate(), tokenList(&f), tokenDelete(&f))
	return cmd
}

func tokenCreate(f *client.Flags) *cobra.Command {
	var ttl time.Duration
	var uses int
	var only, server bool
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print the command that joins a node, or a server", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < 0 {
				return fmt.Errorf("--ttl: %s is in the past", ttl)
			}
			c, err := f.Config()
			if err != nil {
				return err
			}
			if server {
				if cmd.Flags().Changed("uses") {
					return errors.New("--uses is for nodes: a server token is good for any number of servers until it runs out or is deleted")
				}
				return createServerToken(cmd.Context(), c, ttl, only, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			t, err := createToken(cmd.Context(), c, ttl, uses)
			if err != nil {
				return err
			}
			if only {
				fmt.Fprintln(cmd.OutOrStdout(), t)
				return nil
			}
			// The token is no argument: those are everybody's to see.
			client, err := kubernetes.NewForConfig(c)
			if err != nil {
				return err
			}
			// It may do without; the token is made.
			advertised, _ := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(cmd.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
			server, others := joinAddress(c.Host, advertised)
			fmt.Fprintf(cmd.OutOrStdout(), "pintle node --server %s --token-file - <<'EOF'\n%s\nEOF\n", server, t)
			if loopback(server) {
				fmt.Fprintf(cmd.ErrOrStderr(), "Only this machine reaches %s. For others the server needs an address of theirs: --listen, see docs/operations.md.\n", server)
			}
			if len(others) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "Servers of the same cluster: %s. A node knows one address: give it that of a balancer, see docs/operations.md.\n", strings.Join(others, ", "))
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long the token is good for; 0 is for ever")
	cmd.Flags().IntVar(&uses, "uses", 1, fmt.Sprintf("how many nodes may join with it, at most %d", jointoken.MaxUses))
	cmd.Flags().BoolVar(&server, "server", false, "for a server rather than a node: whoever has the token and can read the etcd has the cluster's keys")
	cmd.Flags().BoolVar(&only, "print-token", false, "print the token alone")
	return cmd
}

// joinAddress is where a node of another machine reaches the cluster, and where
// else: the address by which this command does unless that is the loopback's and
// the servers advertise others.
func joinAddress(host string, advertised *discoveryv1.EndpointSliceList) (server string, others []string) {
	if !loopback(host) || advertised == nil {
		return host, nil
	}
	var all []string
	for _, s := range advertised.Items {
		if len(s.Ports) == 0 || s.Ports[0].Port == nil {
			continue
		}
		for _, e := range s.Endpoints {
			for _, a := range e.Addresses {
				if ip, err := netip.ParseAddr(a); err == nil && !ip.IsLoopback() && ip != serve.LocalAPI {
					all = append(all, "https://"+netip.AddrPortFrom(ip, uint16(*s.Ports[0].Port)).String())
				}
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 {
		return host, nil
	}
	return all[0], all[1:]
}

// loopback tells that other machines do not reach a server.
func loopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func tokenList(f *client.Flags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens, without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.Config()
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(c)
			if err != nil {
				return err
			}
			l, err := client.CoreV1().Secrets(metav1.NamespaceSystem).List(cmd.Context(),
				metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeBootstrapToken)})
			if err != nil {
				return err
			}
			servers, err := listServerTokens(cmd.Context(), c)
			if err != nil {
				return fmt.Errorf("server tokens: %w", err)
			}
			return printTokens(cmd.OutOrStdout(), l.Items, servers, time.Now())
		},
	}
}

func printTokens(out io.Writer, secrets []corev1.Secret, servers []keystore.Info, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tFOR\tEXPIRES\tNODES LEFT\tJOINED")
	for _, s := range secrets {
		l := jointoken.ReadLedger(s.Annotations)
		left := "any"
		if l.Uses > 0 {
			left = fmt.Sprint(l.Uses - len(l.Joined))
		}
		joined := strings.Join(l.Nodes(), ",")
		if joined == "" {
			joined = "-"
		}
		fmt.Fprintf(w, "%s\tnodes\t%s\t%s\t%s\n", strings.TrimPrefix(s.Name, jointoken.SecretPrefix), expires(s.Data["expiration"], now), left, joined)
	}
	for _, s := range servers {
		end := ""
		if !s.Expires.IsZero() {
			end = s.Expires.Format(time.RFC3339)
		}
		if end = expires([]byte(end), now); s.Damaged {
			end = "damaged: not valid"
		}
		fmt.Fprintf(w, "%s\tservers\t%s\t-\t-\n", s.ID, end)
	}
	return w.Flush()
}

func expires(data []byte, now time.Time) string {
	if len(data) == 0 {
		return "never"
	}
	t, err := time.Parse(time.RFC3339, string(data))
	switch {
	case err != nil:
		return "unreadable: not valid"
	case !now.Before(t):
		return "expired"
	}
	return "in " + t.Sub(now).Round(time.Second).String()
}

func tokenDelete(f *client.Flags) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID…", Short: "Delete tokens, so that nobody joins with them any more", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.Config()
			if err != nil {
				return err
			}
			var errs []error
			for _, id := range slices.Compact(args) {
				err := deleteToken(cmd.Context(), c, id)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "token %s deleted\n", id)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}

// deleteToken ends one token, a node's or a server's.
func deleteToken(ctx context.Context, c *rest.Config, id string) error {
	if jointoken.IsServerID(id) {
		return deleteServerToken(ctx, c, id)
	}
	if len(id) != 6 {
		// Whoever has the whole token should not put it into arguments.
		return errors.New("name tokens by their ID, six characters or eight; `pintle token list` shows them")
	}
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return err
	}
	err = client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, jointoken.SecretPrefix+id, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no token %s; `pintle token list` shows them", id)
	}
	return err
}

// createToken stores a bootstrap token and returns it with the hash of the
// cluster's CA, by which the node knows the server.
func createToken(ctx context.Context, c *rest.Config, ttl time.Duration, uses int) (string, error) {
	if err := jointoken.CheckUses(uses); err != nil {
		return "", fmt.Errorf("--uses: %w", err)
	}
	hash, err := caHash(c)
	if err != nil {
		return "", err
	}
	t, err := jointoken.New(hash)
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return "", err
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: jointoken.SecretPrefix + t.ID, Annotations: map[string]string{}}, Type: corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id": t.ID, "token-secret": t.Secret,
			"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
			"auth-extra-groups": "system:bootstrappers:pintle:node",
		}}
	jointoken.Ledger{Uses: uses}.Write(s.Annotations)
	if ttl > 0 {
		s.StringData["expiration"] = time.Now().Add(ttl).UTC().Format(time.RFC3339)
	}
	if _, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, s, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("store the token: %w", err)
	}
	return t.Format(), nil
}

func caHash(c *rest.Config) (string, error) {
	block, _ := pem.Decode(c.CAData)
	if block == nil {
		return "", errors.New("the kubeconfig holds no CA certificate, so a node could not know the server")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("CA certificate: %w", err)
	}
	return jointoken.HashCA(cert), nil
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/keystore"
)

// tokenGenerate makes a token before there is a server that could be asked.
func tokenGenerate() *cobra.Command {
	return &cobra.Command{
		Use: "generate", Short: "Make a server token for a new cluster, without asking a server", Args: cobra.NoArgs,
		Long: `Make a server token for a new cluster, without asking a server.

Give it to all servers of the cluster by --token-file: whichever is first makes the
keys, and the others have them by the token. It does not run out; end it with
` + "`pintle token delete`" + ` when all servers have joined.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := jointoken.NewServer()
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Format())
			return nil
		},
	}
}

// createServerToken makes a server token and prints how to use it.
func createServerToken(ctx context.Context, c *rest.Config, ttl time.Duration, only bool, out, hints io.Writer) error {
	var made keystore.Created
	if err := askTokens(ctx, c, "POST", map[string]string{"ttl": ttl.String()}, &made); err != nil {
		return err
	}
	if only {
		fmt.Fprintln(out, made.Token)
		return nil
	}
	printServerToken(&made, out, hints)
	return nil
}

func printServerToken(made *keystore.Created, out, hints io.Writer) {
	flags := ""
	for _, e := range made.EtcdEndpoints {
		flags += " --etcd-endpoints " + e
	}
	// The token is no argument: those are everybody's to see.
	fmt.Fprintf(out, "pintle server%s --token-file - <<'EOF'\n%s\nEOF\n", flags, made.Token)
	if len(made.EtcdEndpoints) == 0 {
		fmt.Fprintln(hints, "This server's etcd is in its own process, so no second server can use it. The token brings the keys back when the data directory is lost and a snapshot of the store is not, see docs/operations.md.")
		return
	}
	fmt.Fprintln(hints, "Add the --listen addresses of the new server, and the other flags that this one has. See docs/operations.md.")
}

// listServerTokens are the tokens of servers; none when the server is too old to
// have them.
func listServerTokens(ctx context.Context, c *rest.Config) ([]keystore.Info, error) {
	var l []keystore.Info
	err := askTokens(ctx, c, "GET", nil, &l)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return l, err
}

func deleteServerToken(ctx context.Context, c *rest.Config, id string) error {
	return askTokens(ctx, c, "DELETE", map[string]string{"id": id}, &struct{}{})
}

// askTokens sends a request about server tokens and reads the answer.
func askTokens(ctx context.Context, c *rest.Config, verb string, query map[string]string, answer any) error {
	b, err := client.Raw(ctx, c, verb, keystore.TokensPath, query, nil)
	if err != nil {
		if text := strings.TrimSpace(string(b)); text != "" && text[0] != '{' {
			return &tokenError{text, err}
		}
		return err
	}
	return json.Unmarshal(b, answer)
}

// tokenError is what a server says of a request about tokens in its own words,
// with the status that came with them.
type tokenError struct {
	text   string
	status error
}

func (e *tokenError) Error() string { return e.text }
func (e *tokenError) Unwrap() error { return e.status }

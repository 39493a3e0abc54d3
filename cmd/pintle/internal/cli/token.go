package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/internal/jointoken"
)

var rawSerializer = scheme.Codecs.WithoutConversion()

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Tokens with which nodes join"}
	var f clientFlags
	f.add(cmd)
	var ttl time.Duration
	var only bool
	create := &cobra.Command{
		Use: "create", Short: "Make a token and print the command that joins a node", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.config()
			if err != nil {
				return err
			}
			t, err := createToken(cmd.Context(), c, ttl)
			if err != nil {
				return err
			}
			if only {
				fmt.Fprintln(cmd.OutOrStdout(), t)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "pintle node --server %s --token %s\n", c.Host, t)
			return nil
		},
	}
	create.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long the token is good for; 0 is for ever")
	create.Flags().BoolVar(&only, "print-token", false, "print the token alone")
	cmd.AddCommand(create)
	return cmd
}

// createToken stores a bootstrap token and returns it with the hash of the
// cluster's CA, by which the node knows the server.
func createToken(ctx context.Context, c *rest.Config, ttl time.Duration) (string, error) {
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
	data := map[string]string{
		"token-id": t.ID, "token-secret": t.Secret,
		"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
		"auth-extra-groups": "system:bootstrappers:pintle:node",
	}
	if ttl > 0 {
		data["expiration"] = time.Now().Add(ttl).UTC().Format(time.RFC3339)
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + t.ID}, Type: corev1.SecretTypeBootstrapToken, StringData: data}
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

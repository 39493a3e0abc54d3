package image

import (
	"context"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
)

// registryFlags say which registry a command talks to, and as whom.
type registryFlags struct {
	client.Flags
	addr, tokenFile string
}

// pushTokenLifetime is long enough for a large image.
const pushTokenLifetime = time.Hour

// token is what the registry takes for pushing: one that the user brings, or
// one that the cluster makes for whoever may have it; "" when the registry asks
// for none.
func (f *registryFlags) token(ctx context.Context) (string, error) {
	if f.tokenFile != "" {
		return client.ReadToken(f.tokenFile)
	}
	asks, err := f.asksForToken(ctx)
	if err != nil || !asks {
		return "", err
	}
	config, err := f.Config()
	if err != nil {
		return "", fmt.Errorf("pushing takes a token of the registry's cluster (--token-file brings one): %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	seconds := int64(pushTokenLifetime.Seconds())
	t, err := client.CoreV1().ServiceAccounts(metav1.NamespaceSystem).CreateToken(ctx, serve.ImagePusher, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{serve.ImageAudience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token for pushing at %s (--kubeconfig names the registry's cluster, --token-file brings a token): %w", config.Host, err)
	}
	return t.Status.Token, nil
}

// asksForToken reports whether the registry wants to know who pushes.
func (f *registryFlags) asksForToken(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.addr+"/v2/", nil)
	if err != nil {
		return false, fmt.Errorf("--registry %q: %w", f.addr, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, registryError(f.addr, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusUnauthorized, nil
}

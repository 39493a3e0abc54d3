package node

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/node/backoff"
)

// NewClient makes a client that speaks protobuf. Limits of its rate are left
// to the server's fairness: a node that must tell of many pods at once must
// not be slowed down by its own client. Watches come back as soon as the
// server does.
func NewClient(cfg *rest.Config) (kubernetes.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.QPS, cfg.Burst = -1, -1
	cfg.Wrap(backoff.Watches)
	if cfg.UserAgent == "" {
		cfg.UserAgent = "pintle-node/" + version.Pintle
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("API client: %w", err)
	}
	return c, nil
}

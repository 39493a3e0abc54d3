package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	egress "github.com/pintle-io/pintle/kernel/egress/services"
)

// maxAnswer bounds what an admission webhook may answer: an object of the largest size
// that is stored, replaced by a patch in base64, fits several times. Other webhooks are
// asked about lists, and may answer several times as much.
const (
	maxAnswer  = 8 << 20
	maxAnswers = 4 * maxAnswer
)

// maxCall ends a call whose webhook and whose request name no time, as upstream's.
const maxCall = 30 * time.Second

// connections say how webhooks are reached.
type connections struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	outages *outages
	most    int64 // bytes of an answer
}

// Clients reach webhooks of other sorts, as those of admission are reached, that are
// asked in the kinds of some group versions. log is told of those that fail.
func Clients(objects *dynamic.Objects, dial func(ctx context.Context, network, address string) (net.Conn, error), log *slog.Logger, kinds []schema.GroupVersion, add ...func(*runtime.Scheme) error) (*webhookutil.ClientManager, error) {
	m, err := webhookutil.NewClientManager(kinds, add...)
	if err != nil {
		return nil, err
	}
	resolver, err := webhookutil.NewDefaultAuthenticationInfoResolver("")
	if err != nil {
		return nil, err
	}
	m.SetAuthenticationInfoResolver(resolver)
	m.SetAuthenticationInfoResolverWrapper(connections{dial: dial, outages: newOutages(log), most: maxAnswers}.wrap)
	m.SetServiceResolver(&services{objects: objects})
	return &m, m.Validate()
}

// wrap makes upstream's resolver of client configurations. There is no kubeconfig of
// credentials for webhooks: a webhook tells the server by nothing but the network.
func (c connections) wrap(webhookutil.AuthenticationInfoResolver) webhookutil.AuthenticationInfoResolver {
	config := func() (*rest.Config, error) {
		return &rest.Config{
			UserAgent: "kube-apiserver-admission", Timeout: maxCall, Dial: c.dial,
			WrapTransport: func(next http.RoundTripper) http.RoundTripper { return bounded{next, c.outages, c.most} },
		}, nil
	}
	return &webhookutil.AuthenticationInfoResolverDelegator{
		ClientConfigForFunc:        func(string) (*rest.Config, error) { return config() },
		ClientConfigForServiceFunc: func(string, string, int) (*rest.Config, error) { return config() },
	}
}

// bounded ends the reading of an answer that is too large, and goes nowhere but where
// the configuration says.
type bounded struct {
	next    http.RoundTripper
	outages *outages
	most    int64
}

// RoundTrip implements http.RoundTripper.
//
// RATIONALE.md: "Why is a webhook's redirect an error?"
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil && res.StatusCode >= 300 && res.StatusCode < 400 {
		_ = res.Body.Close() // nothing of it is of use
		res, err = nil, fmt.Errorf("it answered %s: a webhook's redirects are not followed", res.Status)
	}
	b.outages.note(r, res, err)
	if err == nil {
		res.Body = &boundedBody{ReadCloser: res.Body, left: b.most, most: b.most}
	}
	return res, err
}

type boundedBody struct {
	io.ReadCloser
	left, most int64
}

func (b *boundedBody) tooLarge() error {
	return fmt.Errorf("the answer is larger than %d MiB", b.most>>20)
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.tooLarge()
	}
	return n, err
}

// services finds the server that a Service stands for.
type services struct{ objects *dynamic.Objects }

// ResolveEndpoint implements webhookutil.ServiceResolver.
func (s *services) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCall)
	defer cancel()
	get := func(ctx context.Context, namespace, name string) (runtime.Object, error) {
		return s.objects.Get(ctx, egress.Services, namespace, name)
	}
	return egress.Resolver{Get: get, Reader: s.objects.Reader}.Resolve(ctx, namespace, name, port)
}

var _ webhookutil.ServiceResolver = (*services)(nil)

package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/admission/dynamic"
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

// services finds the server that a Service stands for: one of its ready endpoints,
// as upstream with aggregator routing, so that it works where the server's machine has no
// balancer. Whoever answers there has to prove by his certificate that he is the
// Service. Errors are upstream's.
type services struct{ objects *dynamic.Objects }

var (
	servicesResource = corev1.SchemeGroupVersion.WithResource("services")
	slicesResource   = schema.GroupResource{Group: discoveryv1.GroupName, Resource: "endpointslices"}
)

// ResolveEndpoint implements webhookutil.ServiceResolver.
func (s *services) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCall)
	defer cancel()
	obj, err := s.objects.Get(ctx, servicesResource, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "service"}, name)
	}
	if err != nil {
		return nil, err
	}
	service, ok := obj.(*corev1.Service)
	if !ok {
		return nil, fmt.Errorf("service %s is a %T", name, obj)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return at(service.Spec.ExternalName, port), nil
	}
	for i := range service.Spec.Ports {
		if p := &service.Spec.Ports[i]; p.Port == port {
			return s.endpoint(ctx, service, p.Name)
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", port, name))
}

func (s *services) endpoint(ctx context.Context, service *corev1.Service, port string) (*url.URL, error) {
	list, err := s.objects.Reader.List(ctx, slicesResource, service.Namespace)
	if err != nil {
		return nil, err
	}
	var found []*url.URL
	for _, obj := range list {
		if e, ok := obj.(*discoveryv1.EndpointSlice); ok && e.Labels[discoveryv1.LabelServiceName] == service.Name {
			found = append(found, ready(e, port)...)
		}
	}
	if len(found) == 0 {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", service.Name))
	}
	return found[rand.IntN(len(found))], nil
}

// ready are the endpoints of a slice that take requests at a port.
func ready(e *discoveryv1.EndpointSlice, port string) (out []*url.URL) {
	for _, p := range e.Ports {
		if p.Port == nil || (p.Name != nil && *p.Name != port) || (p.Name == nil && port != "") {
			continue
		}
		for _, ep := range e.Endpoints {
			if (ep.Conditions.Ready == nil || *ep.Conditions.Ready) && len(ep.Addresses) > 0 {
				out = append(out, at(ep.Addresses[0], *p.Port))
			}
		}
	}
	return out
}

func at(host string, port int32) *url.URL {
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(int(port)))}
}

var _ webhookutil.ServiceResolver = (*services)(nil)

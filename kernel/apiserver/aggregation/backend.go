package aggregation

import (
	"bytes"
	"context"
	"crypto/x509"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/informer"
)

// atOnce bounds the short requests that one extension server is asked at the same
// time by this server. What it does not answer is held by nobody else's requests.
const atOnce = 100

// backend is the extension server of one group version.
type backend struct {
	a         *Aggregator
	gv        schema.GroupVersion
	name      string // the APIService's
	service   *apiregistrationv1.ServiceReference
	caBundle  []byte
	insecure  bool
	transport *http.Transport
	slots     chan struct{}
	kick      informer.Signal // check it again
	retry     *backoff.Retry
	stop      context.CancelFunc

	available  atomic.Bool // as the object's status says
	object     atomic.Pointer[apiregistrationv1.APIService]
	addresses  atomic.Pointer[[]*url.URL] // nil: to be found
	discovered atomic.Pointer[apidiscoveryv2.APIVersionDiscovery]
	openAPI    atomic.Pointer[string] // the hash of its document; nil: it has none
}

func newBackend(a *Aggregator, s *apiregistrationv1.APIService) *backend {
	b := &backend{a: a, name: s.Name, service: s.Spec.Service.DeepCopy(), caBundle: bytes.Clone(s.Spec.CABundle), insecure: s.Spec.InsecureSkipTLSVerify,
		gv:    schema.GroupVersion{Group: s.Spec.Group, Version: s.Spec.Version},
		slots: make(chan struct{}, atOnce), kick: make(informer.Signal, 1), retry: backoff.New(firstRetry, lastRetry)}
	t := a.c.TLS.Clone()
	t.ServerName = b.service.Name + "." + b.service.Namespace + ".svc"
	t.InsecureSkipVerify = b.insecure // as the object says
	if len(b.caBundle) > 0 {
		t.RootCAs = x509.NewCertPool()
		t.RootCAs.AppendCertsFromPEM(b.caBundle) // without one nobody is trusted
	}
	b.transport = &http.Transport{
		DialContext: a.c.Dial, TLSClientConfig: t, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: 256 << 10,
	}
	b.discovered.Store(&apidiscoveryv2.APIVersionDiscovery{Version: b.gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessStale})
	return b
}

// serves tells that a backend is still what an object asks for.
func (b *backend) serves(s *apiregistrationv1.APIService) bool {
	return claims(s) && b.object.Load().UID == s.UID && *b.service.Port == *s.Spec.Service.Port && b.service.Name == s.Spec.Service.Name &&
		b.service.Namespace == s.Spec.Service.Namespace && b.insecure == s.Spec.InsecureSkipTLSVerify && bytes.Equal(b.caBundle, s.Spec.CABundle)
}

// moved says that it may be somewhere else now.
func (b *backend) moved() {
	b.addresses.Store(nil)
	b.kick.Raise()
}

// address is where one of its servers is.
func (b *backend) address(ctx context.Context) (*url.URL, error) {
	if all := b.addresses.Load(); all != nil {
		return (*all)[rand.IntN(len(*all))], nil
	}
	all, err := b.a.resolve.All(ctx, b.service.Namespace, b.service.Name, *b.service.Port)
	if err != nil {
		return nil, err
	}
	b.addresses.Store(&all)
	return all[rand.IntN(len(all))], nil
}

// run checks it until ctx ends.
func (b *backend) run(ctx context.Context) {
	defer b.transport.CloseIdleConnections()
	for ctx.Err() == nil {
		c := b.check(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := backoff.Jitter(recheck)
		if c.Status != apiregistrationv1.ConditionTrue {
			pause = b.retry.Again()
		} else {
			b.retry.Succeeded(b.a.c.Log)
		}
		if err := b.tell(ctx, c); err != nil && ctx.Err() == nil {
			b.a.c.Log.Debug("an APIService's condition is not written yet", "name", b.name, "error", err)
			pause = min(pause, firstRetry)
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-b.kick:
		case <-wait.C:
		}
		wait.Stop()
	}
}

package aggregation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/transport"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"github.com/pintle-io/pintle/kernel/egress/services"
	"github.com/pintle-io/pintle/kernel/registry"
)

const (
	// checkTimeout is how long an extension server may take to say what it serves.
	checkTimeout = 5 * time.Second
	// attempts is how many of its servers are asked before it is called away.
	attempts = 5
	// maxDocument bounds what is read of a document about a group version.
	maxDocument = 2 << 20
)

// check finds out whether the extension server is there, and what it serves. The
// conditions are upstream's.
func (b *backend) check(ctx context.Context) apiregistrationv1.APIServiceCondition {
	if reason, message, status := b.missing(ctx); reason != "" {
		b.stale()
		return apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: status, Reason: reason, Message: message}
	}
	doc, err := b.ask(ctx)
	if err != nil {
		b.stale()
		return apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse, Reason: "FailedDiscoveryCheck", Message: err.Error()}
	}
	if resources, err := parseResources(doc, b.gv); err != nil {
		b.a.c.Log.Debug("an extension server's discovery is not understood", "name", b.name, "error", err)
		b.stale()
	} else {
		b.fresh(resources)
	}
	b.findOpenAPI(ctx)
	return apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, Reason: "Passed", Message: "all checks passed"}
}

// missing tells what there is not of the Service; "": nothing.
func (b *backend) missing(ctx context.Context) (reason, message string, status apiregistrationv1.ConditionStatus) {
	namespace, name, port := b.service.Namespace, b.service.Name, *b.service.Port
	const no, unknown = apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown
	obj, err := b.a.resolve.Get(ctx, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return "ServiceNotFound", fmt.Sprintf("service/%s in %q is not present", name, namespace), no
	case err != nil:
		return "ServiceAccessError", fmt.Sprintf("service/%s in %q cannot be checked due to: %v", name, namespace, err), unknown
	}
	s, ok := obj.(*corev1.Service)
	if !ok || s.Spec.Type != corev1.ServiceTypeClusterIP {
		return "", "", ""
	}
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if i < 0 {
		return "ServicePortError", fmt.Sprintf("service/%s in %q is not listening on port %d", name, namespace, port), no
	}
	list, err := b.a.resolve.Slices(ctx, namespace, name)
	switch {
	case err != nil:
		return "EndpointsAccessError", fmt.Sprintf("service/%s in %q cannot be checked due to: %v", name, namespace, err), unknown
	case len(list) == 0:
		return "EndpointsNotFound", fmt.Sprintf("cannot find endpointslices for service/%s in %q", name, namespace), no
	case !slices.ContainsFunc(list, func(e *discoveryv1.EndpointSlice) bool { return services.Ready(e, s.Spec.Ports[i].Name) }):
		return "MissingEndpoints", fmt.Sprintf("endpointslices for service/%s in %q have no addresses with port name %q", name, namespace, s.Spec.Ports[i].Name), no
	}
	return "", "", ""
}

// ask fetches the resources of the group version: from one of the servers, and if it
// does not answer from several at once.
func (b *backend) ask(ctx context.Context) ([]byte, error) {
	doc, err := b.fetch(ctx, b.path())
	if err == nil {
		return doc, nil
	}
	b.addresses.Store(nil) // it may have moved unseen
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		doc []byte
		err error
	}
	results := make(chan result, attempts-1)
	for range attempts - 1 {
		go func() {
			doc, err := b.fetch(ctx, b.path())
			results <- result{doc, err}
		}()
	}
	for range attempts - 1 {
		r := <-results
		if r.err == nil {
			return r.doc, nil
		}
		err = r.err
	}
	b.transport.CloseIdleConnections()
	return nil, err
}

// path is that of the group version.
func (b *backend) path() string { return "/apis/" + b.gv.Group + "/" + b.gv.Version }

// aggregator is who asks extension servers what they serve, under upstream's name.
var aggregator = &user.DefaultInfo{Name: "system:kube-aggregator", Groups: []string{user.SystemPrivilegedGroup}}

// errStatus is an answer that says no.
type errStatus struct {
	where string
	code  int
}

// Error implements error.
func (e errStatus) Error() string { return fmt.Sprintf("bad status from %s: %d", e.where, e.code) }

// fetch reads a document of the extension server, as much of it as is allowed.
func (b *backend) fetch(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	at, err := b.address(ctx)
	if err != nil {
		return nil, err
	}
	where := url.URL{Scheme: at.Scheme, Host: at.Host, Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	transport.SetAuthProxyHeaders(req, aggregator.Name, "", aggregator.Groups, nil)
	res, err := b.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("failing or missing response from %s: %w", &where, err)
	}
	defer res.Body.Close()
	if res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("failing or missing response from %s: %w", &where, errStatus{where.String(), res.StatusCode})
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil && ctx.Err() == nil || len(doc) > maxDocument {
		doc = nil // it answers, and what it says is of no use
	} else if err != nil {
		return nil, fmt.Errorf("failing or missing response from %s: %w", &where, err)
	}
	return doc, nil
}

// findOpenAPI notes under which hash the extension server describes the group version.
func (b *backend) findOpenAPI(ctx context.Context) {
	doc, err := b.fetch(ctx, "/openapi/v3")
	var no errStatus
	if err != nil && !errors.As(err, &no) {
		return // the next time
	}
	var index struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	var found *string
	if err == nil && json.Unmarshal(doc, &index) == nil {
		if entry, ok := index.Paths[strings.TrimPrefix(b.path(), "/")]; ok {
			if u, err := url.Parse(entry.URL); err == nil {
				if hash := u.Query().Get("hash"); len(hash) <= maxHash {
					found = &hash
				}
			}
		}
	}
	b.openAPI.Store(found)
}

// maxHash bounds what stands in everybody's index of documents; upstream's has 128.
const maxHash = 128

// tell writes the condition, if this server does for all and it is another one.
func (b *backend) tell(ctx context.Context, c apiregistrationv1.APIServiceCondition) error {
	if !b.a.leads.Load() {
		return nil
	}
	obj, err := b.a.c.Reader.Get(ctx, APIServices.GroupResource(), "", b.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s, ok := obj.(*apiregistrationv1.APIService)
	if !ok || !b.serves(s) {
		return nil
	}
	next := s.DeepCopy()
	c.LastTransitionTime = metav1.Now().Rfc3339Copy()
	helper.SetAPIServiceCondition(next, c)
	if equality.Semantic.DeepEqual(next.Status, s.Status) {
		return nil
	}
	b.a.c.Log.Info("an APIService's condition changes", "apiservice", b.name, "available", c.Status, "reason", c.Reason, "message", c.Message)
	_, err = b.a.c.Registry.Update(ctx, registry.Target{Resource: APIServices, Name: b.name, Subresource: "status"}, next, registry.WriteOptions{FieldManager: fieldManager})
	return err
}

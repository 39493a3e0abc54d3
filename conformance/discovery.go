package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var discoveryCases = []Case{
	{Name: "discovery/groups", Stands: "Discovery should validate PreferredVersion for each APIGroup", Run: discoveryGroups},
	{Name: "discovery/resources", Stands: "Discovery should locate the groupVersion and a resource within each APIGroup", Run: discoveryResources},
	{Name: "discovery/aggregated", Stands: "AggregatedDiscovery should support aggregated discovery interface", Run: discoveryAggregated},
	{Name: "discovery/openapi", Stands: "OpenAPIV3 should round trip OpenAPI V3 for all built-in group versions", Run: discoveryOpenAPI},
	{Name: "discovery/health", Stands: "server version should find the server version; API health endpoints", Run: discoveryHealth},
}

func discoveryGroups(_ context.Context, e *Env) error {
	groups, err := e.Client.Discovery().ServerGroups()
	if err != nil {
		return err
	}
	var errs []error
	found := map[string]bool{}
	for _, g := range groups.Groups {
		found[g.Name] = true
		named := slices.ContainsFunc(g.Versions, func(v metav1.GroupVersionForDiscovery) bool { return v == g.PreferredVersion })
		if !named {
			errs = append(errs, fmt.Errorf("group %q prefers %s, which is not among its versions", g.Name, g.PreferredVersion.GroupVersion))
		}
	}
	for _, name := range []string{"", "apps", "batch", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "certificates.k8s.io",
		"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io"} {
		if !found[name] {
			errs = append(errs, fmt.Errorf("no group %q", name))
		}
	}
	return errors.Join(errs...)
}

func discoveryResources(_ context.Context, e *Env) error {
	var errs []error
	for gv, want := range map[string][]string{
		"v1":      {"pods", "pods/status", "pods/log", "pods/exec", "pods/binding", "pods/eviction", "services", "configmaps", "secrets", "namespaces/finalize", "serviceaccounts/token"},
		"apps/v1": {"deployments", "deployments/scale", "deployments/status", "replicasets", "statefulsets", "daemonsets"},
	} {
		l, err := e.Client.Discovery().ServerResourcesForGroupVersion(gv)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", gv, err))
			continue
		}
		have := map[string]bool{}
		for _, r := range l.APIResources {
			have[r.Name] = true
			if len(r.Verbs) == 0 || r.Kind == "" {
				errs = append(errs, fmt.Errorf("%s %s has verbs %v, kind %q", gv, r.Name, r.Verbs, r.Kind))
			}
		}
		for _, name := range want {
			if !have[name] {
				errs = append(errs, fmt.Errorf("%s lacks %s", gv, name))
			}
		}
	}
	return errors.Join(errs...)
}

func discoveryAggregated(ctx context.Context, e *Env) error {
	var errs []error
	for path, want := range map[string]string{"/api": "pods", "/apis": "deployments"} {
		b, err := e.Client.Discovery().RESTClient().Get().AbsPath(path).
			SetHeader("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").DoRaw(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		}
		var l apidiscovery.APIGroupDiscoveryList
		if err := json.Unmarshal(b, &l); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		names := map[string]bool{}
		for _, g := range l.Items {
			for _, v := range g.Versions {
				for _, r := range v.Resources {
					names[r.Resource] = true
				}
			}
		}
		errs = append(errs, same(path+" kind", l.Kind, "APIGroupDiscoveryList"), same(path+" names "+want, names[want], true))
	}
	return errors.Join(errs...)
}

func discoveryOpenAPI(_ context.Context, e *Env) error {
	paths, err := e.Client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	var errs []error
	for path, schema := range map[string]string{"api/v1": "io.k8s.api.core.v1.Pod", "apis/apps/v1": "io.k8s.api.apps.v1.Deployment"} {
		gv, ok := paths[path]
		if !ok {
			errs = append(errs, fmt.Errorf("/openapi/v3 does not name %s", path))
			continue
		}
		b, err := gv.Schema("application/json")
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		}
		var doc struct {
			OpenAPI    string
			Components struct{ Schemas map[string]json.RawMessage }
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(doc.Components.Schemas[schema]) == 0 || !strings.HasPrefix(doc.OpenAPI, "3.") {
			errs = append(errs, fmt.Errorf("%s: openapi %q lacks schema %s", path, doc.OpenAPI, schema))
		}
	}
	return errors.Join(errs...)
}

func discoveryHealth(ctx context.Context, e *Env) error {
	var errs []error
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		b, err := e.Client.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		errs = append(errs, err, same(path, string(b), "ok"))
	}
	v, err := e.Client.Discovery().ServerVersion()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if v.Major != "1" || v.Minor == "" || !strings.HasPrefix(v.GitVersion, "v1.") {
		errs = append(errs, fmt.Errorf("version is %s.%s, %q", v.Major, v.Minor, v.GitVersion))
	}
	return errors.Join(errs...)
}

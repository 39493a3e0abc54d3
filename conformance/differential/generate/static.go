package generate

import "github.com/pintle-io/pintle/conformance/differential/exchange"

// Static are requests that depend on no object and on no chance: discovery,
// schemas, paths beside the API.
func (g *Generator) Static() *Sequence {
	m := &maker{g: g}
	for _, path := range []string{
		"/", "/api", "/apis", "/version", "/version/", "/healthz", "/livez", "/readyz", "/healthz/ping", "/livez/ping", "/livez/nothing", "/healthz/etcd", "/livez?exclude=ping", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openapi/v3/nothing",
		"/.well-known/openid-configuration", "/openid/v1/jwks", "/nothing", "/api/", "/apis/", "/api/v9", "/apis/nothing.example.com", "/apis/nothing.example.com/v1", "/logs", "/metrics/nothing", "/swagger.json", "/swaggerapi", "/ui", "/favicon.ico", "/robots.txt", "/index.html", "/api/v1/nothings",
		"/statusz", "/flagz", "/debug/flags/v", "/debug/api_priority_and_fairness/dump_priority_levels",
	} {
		for _, token := range []string{"", "nobody-token", exchange.Anonymous} {
			r := m.sent("path", "GET", path, nil)
			r.Token, r.Resource = token, path
		}
	}
	for _, accept := range append([]string{
		"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
		"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer",
	}, accepts[:12]...) {
		for _, path := range []string{"/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/healthz"} {
			r := m.sent("path", "GET", path, nil)
			r.Resource = path
			r.Header.Set("Accept", accept)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"} {
		for _, path := range []string{"/", "/api", "/apis", "/apis/apps", "/api/v1", "/version", "/healthz", "/openapi/v2", "/openapi/v3", "/nothing"} {
			m.sent("method "+method, method, path, nil).Resource = path
		}
	}
	seen := map[string]bool{}
	for _, r := range g.api.Resources {
		group := "/apis/" + r.Group
		if r.Group != "" && !seen[group] {
			seen[group] = true
			m.sent("path", "GET", group, nil).Resource = group
		}
		if !seen[r.Prefix()] {
			seen[r.Prefix()] = true
			m.sent("path", "GET", r.Prefix(), nil).Resource = r.Prefix()
			m.sent("path", "GET", "/openapi/v3"+r.Prefix(), nil).Resource = "/openapi/v3" + r.Prefix()
		}
	}
	return &Sequence{Number: -1, Shape: "static", Requests: m.requests}
}

// First lists what every cluster begins with; it is sent before all else.
func (g *Generator) First() *Sequence {
	m := &maker{g: g}
	for _, r := range g.api.Resources {
		if r.Has("list") && r.Group != "" {
			list := m.sent("first", "GET", r.Path(""), nil)
			list.Resource = r.String()
		}
	}
	for _, path := range []string{"/api/v1/namespaces", "/api/v1/services", "/api/v1/namespaces/default/endpoints", "/api/v1/namespaces/kube-system/configmaps", "/api/v1/namespaces/kube-system/secrets", "/api/v1/componentstatuses"} {
		m.sent("first", "GET", path, nil).Resource = path
	}
	return &Sequence{Number: -2, Shape: "first objects", Requests: m.requests}
}

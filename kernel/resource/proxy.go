package resource

import "context"

type proxyPortKey struct{}

type proxyPort struct{ scheme, port string }

// WithProxyPort tells a Connect hook of a proxy subresource the scheme and the
// port that the request's name carried ("https:web:8443" or "web:http").
// Empty strings leave the choice to the hook.
func WithProxyPort(ctx context.Context, scheme, port string) context.Context {
	return context.WithValue(ctx, proxyPortKey{}, proxyPort{scheme, port})
}

// ProxyPort returns what [WithProxyPort] stored.
func ProxyPort(ctx context.Context) (scheme, port string) {
	p, _ := ctx.Value(proxyPortKey{}).(proxyPort)
	return p.scheme, p.port
}

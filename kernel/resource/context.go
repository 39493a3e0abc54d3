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

type versionKey struct{}

// WithVersion tells the hooks of a kind the version that a request is in, for
// kinds whose versions are checked differently.
func WithVersion(ctx context.Context, version string) context.Context {
	return context.WithValue(ctx, versionKey{}, version)
}

// Version returns what [WithVersion] stored; "" when the caller named none.
func Version(ctx context.Context) string {
	v, _ := ctx.Value(versionKey{}).(string)
	return v
}

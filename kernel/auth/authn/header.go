package authn

import (
	"crypto/x509"
	"errors"
	"fmt"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/client-go/util/cert"
)

// open makes what knows the proxy's users; nil without one.
func (h *RequestHeader) open() (authenticator.Request, []*x509.Certificate, error) {
	if h.ClientCAFile == "" {
		return nil, nil, nil
	}
	cas, err := cert.CertsFromFile(h.ClientCAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--requestheader-client-ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	for _, c := range cas {
		pool.AddCert(c)
	}
	verify := x509request.DefaultVerifyOptions()
	verify.Roots = pool
	return headerrequest.NewDynamicVerifyOptionsSecure(x509request.StaticVerifierFn(verify), headerrequest.StaticStringSlice(h.AllowedNames),
		headerrequest.StaticStringSlice(h.UsernameHeaders), headerrequest.StaticStringSlice(h.UIDHeaders),
		headerrequest.StaticStringSlice(h.GroupHeaders), headerrequest.StaticStringSlice(h.ExtraHeaderPrefixes)), cas, nil
}

// CheckClientCA checks that an authority of users does not make every one of them a
// front proxy.
func (a *Authentication) CheckClientCA(ca *x509.Certificate) error {
	if len(a.cfg.Header.AllowedNames) > 0 {
		return nil
	}
	for _, c := range a.headerCAs {
		if c.Equal(ca) {
			return errors.New("--requestheader-client-ca-file has the cluster's own authority, by which every user could name himself anybody: --requestheader-allowed-names must say whose certificates are the proxy's")
		}
	}
	return nil
}

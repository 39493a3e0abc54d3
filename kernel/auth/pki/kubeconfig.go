package pki

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

// Kubeconfig is the configuration of a client of this cluster, with its
// credentials inside.
func (p *PKI) Kubeconfig(server, user string, pair *Pair) ([]byte, error) {
	const cluster = "pintle"
	c := clientcmdapi.NewConfig()
	c.Clusters[cluster] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: p.ca.pem}
	c.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	name := user + "@" + cluster
	c.Contexts[name] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	c.CurrentContext = name
	data, err := clientcmd.Write(*c)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", user, err)
	}
	return data, nil
}

// WriteKubeconfig writes a kubeconfig that only its owner may read.
func (p *PKI) WriteKubeconfig(file, server, user string, pair *Pair) error {
	data, err := p.Kubeconfig(server, user, pair)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(file, data, 0o600)
}

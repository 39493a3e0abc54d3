package servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// silence is how long a node may say nothing: what compares costs has nodes
// without heartbeats, lest these be what it measures.
const silence = "24h"

// unlimited are requests a second of the controller manager's client, whose
// default of 20 would be what limits it.
const unlimited = "100000"

// StartKubernetes starts etcd, kube-apiserver and kube-controller-manager,
// which Build put into bin, with their data in dir, and returns when they
// serve. The caller closes the server.
//
// The controller manager has upstream's defaults, its concurrency among them,
// except that its client's rate is not limited, that it talks protobuf, that it
// elects no leader and that nodes may be silent for a day. It is one of
// system:masters, whose requests are exempt from priority and fairness.
func StartKubernetes(ctx context.Context, bin, dir string, d Disk) (*Server, error) {
	s, err := startUpstream(ctx, bin, dir, d)
	if err != nil {
		return nil, err
	}
	s.Name = "kubernetes"
	if err := s.startControllers(ctx, bin, dir); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) startControllers(ctx context.Context, bin, dir string) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "controllers.kubeconfig")
	if err := s.writeConfig(config); err != nil {
		return err
	}
	certs := filepath.Join(dir, "controller-certs")
	p, err := start(dir, "kube-controller-manager", filepath.Join(bin, "kube-controller-manager"),
		"--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config,
		"--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", certs,
		"--service-account-private-key-file", filepath.Join(dir, "sa.key"), "--root-ca-file", s.CAFile,
		"--kube-api-qps", unlimited, "--kube-api-burst", unlimited, "--kube-api-content-type", "application/vnd.kubernetes.protobuf",
		"--leader-elect=false", "--node-monitor-grace-period", silence)
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	return p.until(ctx, func(ctx context.Context) error {
		c, err := trusting(filepath.Join(certs, "kube-controller-manager.crt"))
		if err != nil {
			return err
		}
		defer c.CloseIdleConnections()
		return fetch(ctx, c, "https://"+address+"/healthz")
	})
}

// writeConfig writes the kubeconfig of an administrator.
func (s *Server) writeConfig(path string) error {
	c := clientcmdapi.NewConfig()
	c.Clusters["it"] = &clientcmdapi.Cluster{Server: s.URL, CertificateAuthority: s.CAFile}
	c.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: Admin}
	c.Contexts["it"] = &clientcmdapi.Context{Cluster: "it", AuthInfo: "admin"}
	c.CurrentContext = "it"
	return clientcmd.WriteToFile(*c, path)
}

// StartWholePintle starts etcd, which Build put into bin, and the server of the
// executable at path with all of its plugins, as WASM, with their data in dir.
// It returns when the plugins are loaded. The caller closes the server.
func StartWholePintle(ctx context.Context, path, bin, dir string, d Disk) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Server{Name: "pintle"}
	etcd, err := s.startEtcd(ctx, bin, dir, d)
	if err != nil {
		s.Close()
		return nil, err
	}
	if err := s.startPintle(ctx, path, dir, "pintle", "--etcd-endpoints", etcd, "--node-monitor-grace-period", silence); err != nil {
		return nil, err
	}
	if err := s.processes[len(s.processes)-1].until(ctx, s.loaded); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// loaded says whether each plugin is.
func (s *Server) loaded(ctx context.Context) error {
	list, err := s.plugins(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if len(p.Status.Points) == 0 {
			return fmt.Errorf("plugin %s is not loaded", p.Metadata.Name)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("%s has no plugins yet", s.URL)
	}
	return nil
}

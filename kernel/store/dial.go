package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// DialConfig names an external etcd. TLS is used when any of the files is set
// or an endpoint begins with https://.
type DialConfig struct {
	Endpoints []string
	CAFile    string // verifies the servers; "" is the system's pool
	CertFile  string // client certificate, with KeyFile
	KeyFile   string
	// Timeout bounds the first contact. 0 is 10 seconds.
	Timeout time.Duration
}

// maxSend is above any server's --max-request-bytes that makes sense, so that
// the server's limit is the one that holds, and is named in its error.
const maxSend = 64 << 20

// Dial connects to an external etcd and reads from it once, so that a wrong
// address or certificate is reported here.
func Dial(ctx context.Context, c DialConfig) (Store, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint given")
	}
	cc, err := c.client()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(cc)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	s := New(client, Config{Fragments: true})
	ctx, cancel := context.WithTimeout(ctx, cc.DialTimeout)
	defer cancel()
	if _, err := s.Revision(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd at %s: %w", strings.Join(c.Endpoints, ", "), err), s.Close())
	}
	return s, nil
}

func (c *DialConfig) client() (clientv3.Config, error) {
	cc := clientv3.Config{
		Endpoints:            c.Endpoints,
		DialTimeout:          c.Timeout,
		DialKeepAliveTime:    30 * time.Second,
		DialKeepAliveTimeout: 10 * time.Second,
		MaxCallSendMsgSize:   maxSend,
		Logger:               zap.NewNop(),
	}
	if cc.DialTimeout == 0 {
		cc.DialTimeout = 10 * time.Second
	}
	secure := c.CAFile != "" || c.CertFile != "" || c.KeyFile != ""
	for _, e := range c.Endpoints {
		secure = secure || strings.HasPrefix(e, "https://") || strings.HasPrefix(e, "unixs://")
	}
	if !secure {
		return cc, nil
	}
	info := transport.TLSInfo{TrustedCAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Logger: zap.NewNop()}
	tls, err := info.ClientConfig()
	if err != nil {
		return cc, fmt.Errorf("etcd client certificates: %w", err)
	}
	cc.TLS = tls
	return cc, nil
}

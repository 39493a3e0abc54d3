// Package kmstest is a KMS v2 plugin for tests: a key service on a unix socket whose
// keys are XOR pads of its key ID. It protects nothing. It cannot lose a key, nor keep
// one to itself: every plugin of this package opens what another one sealed.
package kmstest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/kms/pkg/service"
)

// Plugin is a plugin that runs. It is safe for concurrent use.
type Plugin struct {
	Endpoint string // for the configuration

	path   string
	mu     sync.Mutex
	server *service.GRPCService
	done   chan error
	keyID  string // guarded by mu
	broken error  // guarded by mu
	calls  Calls  // guarded by mu
}

// Calls are how often a plugin was asked.
type Calls struct{ Encrypt, Decrypt, Status int }

// Start runs a plugin that lasts as long as the test.
func Start(t testing.TB, keyID string) *Plugin {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kms.sock")
	p := &Plugin{Endpoint: "unix://" + path, path: path, keyID: keyID}
	p.server, p.done = service.NewGRPCService(path, 5*time.Second, p), make(chan error, 1)
	go func() { p.done <- p.server.ListenAndServe() }()
	t.Cleanup(func() { p.server.Shutdown() })
	return p
}

// Rotate makes another key the one of new values.
func (p *Plugin) Rotate(keyID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keyID = keyID
}

// Break makes every call fail; nil mends it.
func (p *Plugin) Break(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

// Calls are those up to now.
func (p *Plugin) Calls() Calls {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Encrypt implements service.Service.
func (p *Plugin) Encrypt(_ context.Context, _ string, data []byte) (*service.EncryptResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls.Encrypt++; p.broken != nil {
		return nil, p.broken
	}
	return &service.EncryptResponse{Ciphertext: pad(p.keyID, data), KeyID: p.keyID, Annotations: map[string][]byte{"version.kmstest.pintle.dev": []byte("1")}}, nil
}

// Decrypt implements service.Service.
func (p *Plugin) Decrypt(_ context.Context, _ string, r *service.DecryptRequest) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls.Decrypt++; p.broken != nil {
		return nil, p.broken
	}
	if string(r.Annotations["version.kmstest.pintle.dev"]) != "1" {
		return nil, errors.New("the annotations of the key are lost")
	}
	return pad(r.KeyID, r.Ciphertext), nil
}

// Status implements service.Service.
func (p *Plugin) Status(context.Context) (*service.StatusResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls.Status++; p.broken != nil {
		return nil, p.broken
	}
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: p.keyID}, nil
}

func pad(key string, data []byte) []byte {
	out := make([]byte, len(data))
	for i := range data {
		out[i] = data[i] ^ key[i%len(key)] ^ 0x5a
	}
	return out
}

var _ service.Service = (*Plugin)(nil)

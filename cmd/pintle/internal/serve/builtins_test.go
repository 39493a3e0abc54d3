package serve_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/standard"
)

// TestBuiltinsAreReady: everything that ships is loaded with the permissions
// that it ships with; one that watches what it may not would not be.
func TestBuiltinsAreReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve.DefaultServer()
	s.Dir, s.PluginHost, s.UnsafeNoFsync, s.Log = paths.Dir(t.TempDir()), "native", true, slog.New(slog.DiscardHandler)
	s.Listeners, s.Advertise = []net.Listener{l}, netip.MustParseAddrPort(l.Addr().String())
	s.Report = steps.NewReporter(steps.Terminal(t.Output()), time.Now)
	controlPlane, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controlPlane.Run(ctx, nil) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	api := controlPlane.Kernel().Access().As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	<-controlPlane.Kernel().PluginsSynced()
	for _, p := range standard.Plugins {
		var status v1alpha1.PluginStatus
		for deadline := time.Now().Add(time.Minute); status.Phase != v1alpha1.Ready; time.Sleep(10 * time.Millisecond) {
			o, err := api.Get(ctx, registry.Target{Resource: v1alpha1.Plugins, Name: p.Name}, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if status = o.Obj.(*v1alpha1.Plugin).Status; status.Phase == v1alpha1.Failed || time.Now().After(deadline) {
				t.Errorf("plugin %s is %s: %s", p.Name, status.Phase, status.Message)
				break
			}
		}
	}
}

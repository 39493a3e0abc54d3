package kerneltest_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/keystore"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// A table without a kind that the control plane itself follows is refused by
// name: a server that started with it would never be ready.
func TestTableLacksAKind(t *testing.T) {
	table, err := kerneltest.Table()
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range table.Definitions {
		if d.GroupResource() == v1alpha1.Plugins.GroupResource() {
			table.Definitions = append(table.Definitions[:i], table.Definitions[i+1:]...)
			break
		}
	}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k, err := kernel.New(t.Context(), kernel.Config{Dir: t.TempDir(), Table: table, Store: memory.New(), Listeners: []net.Listener{l},
		Advertise: l.Addr().(*net.TCPAddr).AddrPort(), ServiceIP: netip.MustParseAddr("10.96.0.1")})
	if err == nil {
		_ = k.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "plugins.pintle.dev") || strings.Contains(err.Error(), "pluginmodules") {
		t.Errorf("got %v, want plugins.pintle.dev named, and nothing else", err)
	}
}

// TestServerTokensByItsClock: a server token is made, and runs out, by the clock
// that certificates and other tokens go by.
func TestServerTokensByItsClock(t *testing.T) {
	now := time.Now().Add(-time.Minute).Truncate(time.Second)
	s := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{Clock: testclock.NewFakeClock(now)}})
	resp, err := s.HTTP().Post(s.URL+keystore.TokensPath+"?ttl=1h", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var made keystore.Created
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil {
		t.Fatal(err)
	}
	if !made.Created.Equal(now) || !made.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("made at %s until %s, want %s and an hour", made.Created, made.Expires, now)
	}
}

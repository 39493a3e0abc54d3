package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/pintle-io/pintle/kernel/resource"
)

func TestTransports(t *testing.T) {
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not dialled here") }
	n := newNodeTransports(&tls.Config{}, refuse)
	of := func(node string) any {
		tr, err := n.transport(&resource.Target{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	if of("a") != of("a") || of("a") == of("b") || of("a") == of("") {
		t.Error("a node has one transport, and shares it with nobody")
	}
	for i := range maxNodeTransports {
		of(fmt.Sprint(i))
	}
	if len(n.nodes) > maxNodeTransports {
		t.Errorf("%d transports kept", len(n.nodes))
	}
	if _, err := newNodeTransports(nil, refuse).transport(&resource.Target{Node: "a"}); err == nil {
		t.Error("an agent was reached without credentials")
	}
}

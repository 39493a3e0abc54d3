package hostile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// TestAnswers: what a guest answers is held against bounds before anybody uses,
// keeps or prints it.
func TestAnswers(t *testing.T) {
	beside(t)
	s := start(t)
	const wasm, native = v1alpha1.HostWASM, v1alpha1.HostNative
	patient := timeout(20 * time.Second) // what is made is large, the making is not the point
	for _, a := range []attack{
		{name: "long message", spec: rawPolicy(wire.Verdict{Denied: true, Message: strings.Repeat("m", 33<<10)}), says: "the message has 33792 bytes, 32768 are allowed"},
		{name: "many warnings", spec: rawPolicy(wire.Verdict{Warnings: make([]string, 65)}), says: "65 warnings, 64 are allowed"},
		// What is written with the SDK keeps within the bounds by itself.
		{name: "long message, cut", spec: hostileAt(wasm, "validate", "long message", patient), harmless: true},
		{name: "long message, native", spec: hostileAt(native, "validate", "long message"), harmless: true},
		{name: "many warnings, cut", spec: hostileAt(wasm, "validate", "many warnings", patient), harmless: true},
		{name: "long error", spec: hostileAt(wasm, "validate", "long error", patient), harmless: true, says: "^.{0,900}$"},
		{name: "deep patch", spec: hostileAt(wasm, "mutate", "deep patch", patient), says: "the path of a change has .* bytes, 4096 are allowed"},
		{name: "deep patch, native", spec: hostileAt(native, "mutate", "deep patch"), says: "the path of a change has .* bytes, 4096 are allowed"},
		{name: "many patches", spec: hostileAt(wasm, "mutate", "many patches", patient), says: "16384 changes, 4000 are allowed"},
		{name: "long reason", spec: hostileAt(wasm, "filter", "long reason", patient), says: "one of the reasons has 20971520 bytes, 1024 are allowed"},
		{name: "long reason of a PreFilter", spec: hostileAt(wasm, "prefilter", "long reason", patient), says: "one of the reasons has 20971520 bytes, 1024 are allowed"},
		{name: "many requests", spec: hostileAt(wasm, "reconcile", "many requests", patient), says: "262144 requests, 100000 are allowed"},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a) })
	}
}

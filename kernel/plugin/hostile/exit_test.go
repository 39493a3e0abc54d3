package hostile_test

import (
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestExit: a program that ends by itself is a plugin that is not there, and
// never memory that is looked at after it was given back.
func TestExit(t *testing.T) {
	beside(t)
	s := start(t)
	const wasm, process = v1alpha1.HostWASM, v1alpha1.HostProcess
	exits := func(host v1alpha1.HostKind) func(testing.TB, *server) v1alpha1.PluginSpec {
		return func(t testing.TB, s *server) v1alpha1.PluginSpec {
			return v1alpha1.PluginSpec{Host: host, Digest: s.upload(t, build(t, host, "exits"))}
		}
	}
	for _, a := range []attack{
		{name: "in init", spec: exits(wasm), refused: true, says: "the module has exited with code 0"},
		{name: "in init of a process", spec: exits(process), refused: true, says: "not a Pintle plugin, or it does not start"},
		{name: "in _initialize", spec: raw("exit_initialize"), refused: true, says: "the module has exited with code 0"},
		{name: "in the start function", spec: raw("exit_start"), refused: true, says: "the module has exited with code 0"},
		{name: "in pintle_abi", spec: raw("exit_abi"), refused: true, says: "the module has exited with code 0"},
		{name: "in open", spec: hostileAt(wasm, "open", "exit 0"), refused: true, says: "the module has exited with code 0"},
		{name: "in open of a process", spec: hostileAt(process, "open", "exit 0"), refused: true, says: "the process ended"},
		{name: "in validate", spec: hostileAt(wasm, "validate", "exit 0"), says: "the module has exited with code 0"},
		{name: "in validate, with an error", spec: hostileAt(wasm, "validate", "exit 3"), says: "the module has exited with code 3"},
		{name: "in validate of a process", spec: hostileAt(process, "validate", "exit 0"), says: "the process ended"},
		{name: "in filter", spec: hostileAt(wasm, "filter", "exit 0"), says: "the module has exited with code 0"},
		{name: "in reconcile", spec: hostileAt(wasm, "reconcile", "exit 0"), says: "the module has exited with code 0"},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a) })
	}
}

// TestExitAtEveryStart: a plugin that is there when the server starts is opened
// before anybody could remove it.
func TestExitAtEveryStart(t *testing.T) {
	beside(t)
	s := start(t)
	s.load(t, "bad", v1alpha1.PluginSpec{Digest: s.upload(t, build(t, v1alpha1.HostWASM, "exits"))})
	s.phase(t, "bad", v1alpha1.Failed)
	s.restart(t)
	s.phase(t, "bad", v1alpha1.Failed)
	s.neighbourAnswers(t)
}

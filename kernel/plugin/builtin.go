package plugin

import (
	"cmp"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// Builtin is a plugin that ships with Pintle. The loader makes a Plugin
// resource with the label v1alpha1.BuiltinLabel of it when there is none, and
// brings host, digest and permissions of an existing one to this version's.
type Builtin struct {
	Name string
	// Formerly is the name that it shipped under before; "" when it had none. A
	// Plugin of that name, which an older version made, gives way to this one.
	Formerly string
	// Account is the service account of kube-system under whose name its
	// controller acts; "": under the plugin's own name.
	Account string
	// Component is the source of its controller's events; "": Account, or else Name.
	Component string
	Spec      v1alpha1.PluginSpec // Digest is filled in from Module
	// Module's bytes are used without being stored; empty for the native host.
	Module Module
}

// Source is the component that the events of its controller name.
func (b *Builtin) Source() string { return cmp.Or(b.Component, b.Account, b.Name) }

// Runs tells whether a Plugin resource of a name runs this very plugin, and not
// what an operator has put in its place.
func (b *Builtin) Runs(name string, spec *v1alpha1.PluginSpec) bool {
	if name != b.Name || spec.Plugin != b.Spec.Plugin {
		return false
	}
	if spec.Host == v1alpha1.HostNative {
		return b.Spec.Host == v1alpha1.HostNative
	}
	return b.Module.Digest != "" && spec.Digest == b.Module.Digest
}

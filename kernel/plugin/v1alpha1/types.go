// Package v1alpha1 holds the API group pintle.dev: Plugin, which says what to
// run, and PluginModule, in which uploaded modules are stored. [Extend] adds
// them to a table of kinds.
package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Group and Version of the API.
const (
	Group   = "pintle.dev"
	Version = "v1alpha1"
)

// BuiltinLabel marks the plugins that ship with this version of Pintle.
const BuiltinLabel = "pintle.dev/builtin"

// Plugin is one plugin that the cluster runs.
type Plugin struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PluginSpec   `json:"spec"`
	Status PluginStatus `json:"status,omitempty"`
}

// PluginSpec says what to run and how.
type PluginSpec struct {
	// Digest of the module, "sha256:<hex>": uploaded before, or shipped with
	// Pintle. Needed for the hosts wasm and process.
	Digest string `json:"digest,omitempty"`
	// Plugin to open when the module holds several; its only one by default.
	Plugin string `json:"plugin,omitempty"`
	// Host that runs it: wasm (default), process or native.
	Host HostKind `json:"host,omitempty"`
	// Config handed to the plugin, any JSON.
	Config *runtime.RawExtension `json:"config,omitempty"`
	// Permissions that the plugin's controller has, as RBAC rules, in all
	// namespaces.
	Permissions []rbacv1.PolicyRule `json:"permissions,omitempty"`
	Limits      Limits              `json:"limits,omitempty"`
	// FailurePolicy says what happens to a request or a pod when the plugin
	// fails: Fail (default) or Ignore.
	FailurePolicy FailurePolicy `json:"failurePolicy,omitempty"`
	// Mode is Enforce (default); Monitor asks admission policies but refuses
	// nothing and only warns; Shadow asks and only counts.
	Mode Mode `json:"mode,omitempty"`
	// Match narrows what the plugin's admission points see.
	Match []MatchRule `json:"match,omitempty"`
	// Order among admission policies, lowest first, between -10000 and 10000; 0 by
	// default.
	Order int32 `json:"order,omitempty"`
	// Weight of the plugin's score; 1 by default.
	Weight *int64 `json:"weight,omitempty"`
	// Members say how the members of a set of scheduling plugins are used.
	Members []MemberUse `json:"members,omitempty"`
}

// HostKind names a host.
type HostKind string

// The hosts.
const (
	HostWASM    HostKind = "wasm"
	HostProcess HostKind = "process"
	HostNative  HostKind = "native"
)

// FailurePolicy says what a fault means.
type FailurePolicy string

// The failure policies.
const (
	Fail   FailurePolicy = "Fail"
	Ignore FailurePolicy = "Ignore"
)

// Mode says how seriously a plugin's word is taken.
type Mode string

// The modes.
const (
	Enforce Mode = "Enforce"
	Monitor Mode = "Monitor"
	Shadow  Mode = "Shadow"
)

// Rehearses tells that a plugin in this mode is asked and decides nothing.
func (m Mode) Rehearses() bool { return m == Monitor || m == Shadow }

// Limits bound each instance, and a plugin as a whole.
type Limits struct {
	// Memory of an instance; 256Mi by default.
	Memory *resource.Quantity `json:"memory,omitempty"`
	// Timeout of a call; 1s by default, 30s for controllers.
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// WritesPerSecond is how many objects a controller may write a second, all
	// its instances together; 500 by default. Twenty times as many at once.
	WritesPerSecond int32 `json:"writesPerSecond,omitempty"`
}

// MatchRule selects admission requests; see the SDK's MatchRule.
type MatchRule struct {
	Operations       []string `json:"operations,omitempty"`
	Resources        []string `json:"resources,omitempty"`
	Namespaces       []string `json:"namespaces,omitempty"`
	ExceptNamespaces []string `json:"exceptNamespaces,omitempty"`
	// Present are fields that must be set, "spec.runtimeClassName".
	Present []string `json:"present,omitempty"`
}

// MemberUse says how one member of a set is used.
type MemberUse struct {
	Name string `json:"name"`
	// DisableFilter switches its filter off.
	DisableFilter bool `json:"disableFilter,omitempty"`
	// Weight of its score; 1 by default, 0 switches it off.
	Weight *int64 `json:"weight,omitempty"`
}

// PluginStatus says how it goes.
type PluginStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Phase is Pending, Loading, Ready, Degraded, Quarantined, Failed or Disabled.
	Phase Phase `json:"phase,omitempty"`
	// Message explains a phase other than Ready.
	Message string `json:"message,omitempty"`
	// Digest of the module that runs.
	Digest string `json:"digest,omitempty"`
	// ABI version of the module, "1.0".
	ABI string `json:"abi,omitempty"`
	// Version of the plugin, as its author wrote it.
	Version string `json:"version,omitempty"`
	// Points that it serves.
	Points []string `json:"points,omitempty"`
	// Match is what its admission points match by themselves. With Points it
	// says what must not pass while the plugin is not there: after a start of
	// the server, and when it cannot be loaded.
	Match []MatchRule `json:"match,omitempty"`
	// Implements are the resources whose objects it brings about.
	Implements []string           `json:"implements,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Calls, Errors and Faults since it was loaded.
	Calls  int64 `json:"calls,omitempty"`
	Errors int64 `json:"errors,omitempty"`
	Faults int64 `json:"faults,omitempty"`
	// LastError is what went wrong last, errors and faults alike.
	LastError *PluginError `json:"lastError,omitempty"`
	// P50 and P99 of the time of a call.
	P50 metav1.Duration `json:"p50,omitempty"`
	P99 metav1.Duration `json:"p99,omitempty"`
	// Memory of all instances.
	Memory    *resource.Quantity `json:"memory,omitempty"`
	Instances int32              `json:"instances,omitempty"`
}

// PluginError is something that went wrong in a call of a plugin.
type PluginError struct {
	// Call is what was asked of it: "reconcile", "filter and score", ...
	Call string `json:"call,omitempty"`
	// Message is the plugin's own, or why it could not answer.
	Message string `json:"message"`
	// Fault tells that the plugin broke off and its instance was thrown away;
	// else it answered with an error.
	Fault bool        `json:"fault,omitempty"`
	Time  metav1.Time `json:"time,omitempty"`
}

// Phase is where a plugin is in its life.
type Phase string

// The phases.
const (
	Pending     Phase = "Pending"
	Loading     Phase = "Loading"
	Ready       Phase = "Ready"
	Degraded    Phase = "Degraded"    // runs, but an older version, or after faults
	Quarantined Phase = "Quarantined" // not asked until its back-off is over
	Failed      Phase = "Failed"      // cannot be loaded, or is not used although it is
	Disabled    Phase = "Disabled"    // the server was told not to run it
)

// ConditionReady is the condition that says whether the plugin is asked.
const ConditionReady = "Ready"

// ConditionWatching is False while a controller watches resources that nobody has
// defined, for longer than a moment. They may come: it is Ready all the same.
const ConditionWatching = "Watching"

// PluginList is a list of plugins.
type PluginList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Plugin `json:"items"`
}

// PluginModule is a piece of an uploaded module. A module is stored as objects
// named "<hex of its sha256>-<piece>", written and read by package modules.
type PluginModule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Digest of the whole module, Piece the number of this piece from 0, and
	// Pieces how many there are.
	Digest string `json:"digest"`
	Piece  int32  `json:"piece"`
	Pieces int32  `json:"pieces"`
	Data   []byte `json:"data"`
}

// PluginModuleList is a list of pieces.
type PluginModuleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PluginModule `json:"items"`
}

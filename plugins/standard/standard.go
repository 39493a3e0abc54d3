// Package standard is the list of what ships: every plugin that a Pintle
// cluster starts with, the module it comes in, and what it may do.
//
// The list is data. What turns it into Plugin resources is cmd.
package standard

// Plugin is one plugin that ships.
type Plugin struct {
	// Name of the Plugin resource.
	Name string
	// Module is the file of the payload that holds it, Member its name there.
	Module, Member string
	// Rules are what its controller may do.
	Rules []Rule
	// Order among admission rules.
	Order int32
}

// Rule is an RBAC rule.
type Rule struct {
	Groups, Resources, Verbs []string
}

// The modules, one for each point.
const (
	Scheduling  = "scheduling.wasm"
	Controllers = "controllers.wasm"
	Admission   = "admission.wasm"
)

var (
	read  = []string{"get", "list", "watch"}
	write = []string{"get", "list", "watch", "create", "update", "patch", "delete"}
)

// Plugins are all that ship.
var Plugins = []Plugin{
	{Name: "scheduling", Module: Scheduling, Member: "scheduling"},

	{Name: "service-account", Module: Admission, Member: "service-account", Order: -20},
	{Name: "default-tolerations", Module: Admission, Member: "default-tolerations", Order: -10},

	{Name: "deployment", Module: Controllers, Member: "deployment", Rules: []Rule{
		{[]string{"apps"}, []string{"deployments", "deployments/status", "replicasets"}, write},
		{[]string{""}, []string{"pods"}, read},
	}},
	{Name: "replicaset", Module: Controllers, Member: "replicaset", Rules: []Rule{
		{[]string{"apps"}, []string{"replicasets", "replicasets/status"}, write},
		{[]string{""}, []string{"pods"}, write},
	}},
	{Name: "endpointslice", Module: Controllers, Member: "endpointslice", Rules: []Rule{
		{[]string{""}, []string{"services", "pods", "nodes"}, read},
		{[]string{"discovery.k8s.io"}, []string{"endpointslices"}, write},
	}},
	{Name: "node-lifecycle", Module: Controllers, Member: "node-lifecycle", Rules: []Rule{
		{[]string{""}, []string{"nodes", "nodes/status", "pods", "pods/status"}, write},
		{[]string{"coordination.k8s.io"}, []string{"leases"}, read},
	}},
	{Name: "node-ipam", Module: Controllers, Member: "node-ipam", Rules: []Rule{
		{[]string{""}, []string{"nodes"}, write},
	}},
	{Name: "namespace", Module: Controllers, Member: "namespace", Rules: []Rule{
		{[]string{"*"}, []string{"*"}, []string{"get", "list", "watch", "update", "patch", "delete"}},
	}},
	{Name: "garbage-collector", Module: Controllers, Member: "garbage-collector", Rules: []Rule{
		{[]string{"*"}, []string{"*"}, []string{"get", "list", "watch", "update", "patch", "delete"}},
	}},
	{Name: "serviceaccount", Module: Controllers, Member: "serviceaccount", Rules: []Rule{
		{[]string{""}, []string{"namespaces"}, read},
		{[]string{""}, []string{"serviceaccounts"}, write},
	}},
	{Name: "root-ca", Module: Controllers, Member: "root-ca", Rules: []Rule{
		{[]string{""}, []string{"namespaces"}, read},
		{[]string{""}, []string{"configmaps"}, write},
	}},
}

// Package standard is the list of what ships: every plugin that a Pintle
// cluster starts with, and what it may do. All come in one module (see
// plugins/cmd/standard).
//
// The list is data. What turns it into Plugin resources is cmd.
//
// RATIONALE.md: "What was decided differently from the first design"
package standard

// Plugin is one plugin that ships.
type Plugin struct {
	// Name of the Plugin resource.
	Name string
	// Formerly is the name that it had in an older version.
	Formerly string
	// Member is its name in the module.
	Member string
	// Rules are what it may do.
	Rules []Rule
	// Account is the service account of kube-system under whose name it acts: that
	// of the controller in Kubernetes that does the same. "": under its own name.
	Account string
	// Component is what its events name as their source, where that is not the
	// account in Kubernetes.
	Component string
	// Order among admission rules; docs/plugins.md lists them.
	Order int32
}

// Rule is an RBAC rule.
type Rule struct {
	Groups, Resources, Verbs []string
}

var (
	read  = []string{"get", "list", "watch"}
	write = []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	// events: to record some about what it may read.
	events = Rule{[]string{""}, []string{"events"}, []string{"create"}}
	// node: to look at the one that a pod is on.
	node = Rule{[]string{""}, []string{"nodes"}, []string{"get"}}
)

// Plugins are all that ship.
var Plugins = []Plugin{
	{Name: "scheduling", Member: "scheduling", Rules: []Rule{
		node,
		{[]string{""}, []string{"persistentvolumes", "persistentvolumeclaims"}, []string{"get", "list", "watch", "patch"}},
		{[]string{"storage.k8s.io"}, []string{"storageclasses", "csidrivers", "csistoragecapacities"}, read},
	}},

	{Name: "limit-ranger", Member: "limit-ranger", Order: -30, Rules: []Rule{
		{[]string{""}, []string{"limitranges"}, []string{"list"}},
	}},
	{Name: "service-account", Member: "service-account", Order: -20, Rules: []Rule{
		{[]string{""}, []string{"serviceaccounts"}, []string{"get"}},
	}},
	{Name: "taint-nodes", Member: "taint-nodes", Order: -18},
	{Name: "pod-security", Member: "pod-security", Order: -16, Rules: []Rule{
		{[]string{""}, []string{"namespaces"}, []string{"get"}},
		{[]string{""}, []string{"pods"}, []string{"list"}},
	}},
	{Name: "priority", Member: "priority", Order: -15, Rules: []Rule{
		{[]string{"scheduling.k8s.io"}, []string{"priorityclasses"}, []string{"get", "list"}},
	}},
	{Name: "default-tolerations", Member: "default-tolerations", Order: -10},
	{Name: "default-storage-class", Member: "default-storage-class", Order: -9, Rules: []Rule{
		{[]string{"storage.k8s.io"}, []string{"storageclasses"}, []string{"list"}},
	}},
	{Name: "storage-protection", Member: "storage-protection", Order: -8},
	{Name: "claim-resize", Member: "claim-resize", Order: -6, Rules: []Rule{
		{[]string{"storage.k8s.io"}, []string{"storageclasses"}, []string{"get"}},
	}},
	{Name: "runtime-class", Member: "runtime-class", Order: -5, Rules: []Rule{
		{[]string{"node.k8s.io"}, []string{"runtimeclasses"}, []string{"get"}},
	}},
	{Name: "default-ingress-class", Member: "default-ingress-class", Order: -4, Rules: []Rule{
		{[]string{"networking.k8s.io"}, []string{"ingressclasses"}, []string{"list"}},
	}},
	{Name: "pod-topology-labels", Member: "pod-topology-labels", Order: -3, Rules: []Rule{node}},
	{Name: "declared-features", Member: "declared-features", Order: -2, Rules: []Rule{node}},
	{Name: "pod-resize", Member: "pod-resize", Order: -1, Rules: []Rule{node}},

	// What is charged is final: it is asked when nothing else can refuse any more.
	{Name: "resource-quota", Member: "resource-quota", Order: 10_000, Rules: []Rule{
		{[]string{""}, []string{"resourcequotas"}, []string{"list"}},
		{[]string{""}, []string{"resourcequotas/status"}, []string{"update"}},
	}},

	{Name: "deployment", Member: "deployment", Account: "deployment-controller", Rules: []Rule{
		events,
		{[]string{"apps"}, []string{"deployments", "deployments/status", "replicasets"}, write},
		{[]string{""}, []string{"pods"}, read},
	}},
	{Name: "replicaset", Member: "replicaset", Account: "replicaset-controller", Rules: []Rule{
		events,
		{[]string{"apps"}, []string{"replicasets"}, read},
		{[]string{"apps"}, []string{"replicasets/status"}, []string{"update"}},
		{[]string{""}, []string{"pods"}, []string{"get", "list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "replicationcontroller", Member: "replicationcontroller", Account: "replication-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"replicationcontrollers"}, read},
		{[]string{""}, []string{"replicationcontrollers/status"}, []string{"update"}},
		{[]string{""}, []string{"pods"}, []string{"get", "list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "endpoints", Member: "endpoints", Account: "endpoint-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"services", "pods"}, read},
		{[]string{""}, []string{"endpoints"}, write},
	}},
	{Name: "job", Member: "job", Account: "job-controller", Rules: []Rule{
		events,
		{[]string{"batch"}, []string{"jobs"}, read},
		{[]string{"batch"}, []string{"jobs/status"}, []string{"update"}},
		{[]string{""}, []string{"pods"}, []string{"get", "list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "cronjob", Member: "cronjob", Account: "cronjob-controller", Rules: []Rule{
		events,
		{[]string{"batch"}, []string{"cronjobs"}, read},
		{[]string{"batch"}, []string{"cronjobs/status"}, []string{"update"}},
		{[]string{"batch"}, []string{"jobs"}, []string{"get", "list", "watch", "create", "delete"}},
	}},
	{Name: "ttl-after-finished", Member: "ttl-after-finished", Account: "ttl-after-finished-controller", Rules: []Rule{
		{[]string{"batch"}, []string{"jobs"}, []string{"get", "list", "watch", "delete"}},
	}},
	{Name: "horizontal-pod-autoscaler", Member: "horizontal-pod-autoscaler", Account: "horizontal-pod-autoscaler", Rules: []Rule{
		events,
		{[]string{"autoscaling"}, []string{"horizontalpodautoscalers"}, read},
		{[]string{"autoscaling"}, []string{"horizontalpodautoscalers/status"}, []string{"update"}},
		{[]string{"*"}, []string{"*/scale"}, []string{"get", "update"}},
		{[]string{"", "metrics.k8s.io"}, []string{"pods"}, []string{"list"}},
		{[]string{"custom.metrics.k8s.io", "external.metrics.k8s.io"}, []string{"*"}, []string{"get", "list"}},
	}},
	{Name: "statefulset", Member: "statefulset", Account: "statefulset-controller", Rules: []Rule{
		events,
		{[]string{"apps"}, []string{"statefulsets"}, read},
		{[]string{"apps"}, []string{"statefulsets/status"}, []string{"update"}},
		{[]string{"apps"}, []string{"controllerrevisions"}, []string{"get", "list", "create", "patch", "delete"}},
		{[]string{""}, []string{"pods"}, []string{"get", "list", "watch", "create", "patch", "delete"}},
		{[]string{""}, []string{"persistentvolumeclaims"}, []string{"get", "list", "watch", "create", "patch"}},
	}},
	{Name: "daemonset", Member: "daemonset", Account: "daemon-set-controller", Component: "daemonset-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"nodes"}, []string{"list", "watch"}},
		{[]string{"apps"}, []string{"daemonsets"}, read},
		{[]string{"apps"}, []string{"daemonsets/status"}, []string{"update"}},
		{[]string{"apps"}, []string{"controllerrevisions"}, []string{"get", "list", "watch", "create", "patch", "delete"}},
		{[]string{""}, []string{"pods"}, []string{"list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "endpointslice", Member: "endpointslice", Account: "endpointslice-controller", Component: "endpoint-slice-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"services", "pods", "nodes"}, read},
		{[]string{"discovery.k8s.io"}, []string{"endpointslices"}, write},
	}},
	{Name: "endpointslicemirroring", Member: "endpointslicemirroring", Account: "endpointslicemirroring-controller", Component: "endpoint-slice-mirroring-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"services", "endpoints"}, read},
		{[]string{"discovery.k8s.io"}, []string{"endpointslices"}, write},
	}},
	{Name: "disruption", Member: "disruption", Account: "disruption-controller", Component: "controllermanager", Rules: []Rule{
		events,
		{[]string{"policy"}, []string{"poddisruptionbudgets"}, read},
		{[]string{"policy"}, []string{"poddisruptionbudgets/status"}, []string{"update"}},
		{[]string{""}, []string{"pods"}, read},
		{[]string{""}, []string{"pods/status"}, []string{"patch"}},
		{[]string{""}, []string{"replicationcontrollers"}, []string{"get"}},
		{[]string{"apps"}, []string{"deployments", "replicasets", "statefulsets"}, []string{"get"}},
		{[]string{"*"}, []string{"*/scale"}, []string{"get"}},
	}},
	{Name: "pod-garbage-collector", Member: "pod-garbage-collector", Account: "pod-garbage-collector", Rules: []Rule{
		{[]string{""}, []string{"nodes"}, read},
		{[]string{""}, []string{"pods"}, []string{"get", "list", "watch", "delete"}},
		{[]string{""}, []string{"pods/status"}, []string{"patch"}},
	}},
	{Name: "node-lifecycle", Member: "node-lifecycle", Account: "node-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"nodes", "nodes/status", "pods", "pods/status"}, write},
		{[]string{"coordination.k8s.io"}, []string{"leases"}, read},
	}},
	{Name: "node-ipam", Member: "node-ipam", Account: "node-controller", Component: "cidrAllocator", Rules: []Rule{
		events,
		{[]string{""}, []string{"nodes"}, write},
	}},
	{Name: "namespace", Member: "namespace", Account: "namespace-controller", Rules: []Rule{
		{[]string{"*"}, []string{"*"}, []string{"get", "list", "watch", "update", "patch", "delete"}},
	}},
	{Name: "garbage-collector", Member: "garbage-collector", Account: "generic-garbage-collector", Component: "garbage-collector-controller", Rules: []Rule{
		events,
		{[]string{"*"}, []string{"*"}, []string{"get", "list", "watch", "update", "patch", "delete"}},
	}},
	{Name: "resource-quota-status", Member: "resource-quota-status", Account: "resourcequota-controller", Rules: []Rule{
		{[]string{"*"}, []string{"*"}, []string{"list", "watch"}},
		{[]string{""}, []string{"resourcequotas/status"}, []string{"update"}},
	}},
	{Name: "default-service-account", Formerly: "serviceaccount", Member: "default-service-account", Account: "service-account-controller", Rules: []Rule{
		{[]string{""}, []string{"namespaces"}, read},
		{[]string{""}, []string{"serviceaccounts"}, write},
	}},
	{Name: "persistent-volume-binder", Member: "persistent-volume-binder", Account: "persistent-volume-binder", Component: "persistentvolume-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"persistentvolumeclaims", "persistentvolumes"}, []string{"get", "list", "watch", "patch"}},
		{[]string{""}, []string{"persistentvolumeclaims/status", "persistentvolumes/status"}, []string{"patch"}},
		{[]string{""}, []string{"pods"}, []string{"list", "watch"}},
		{[]string{"storage.k8s.io"}, []string{"storageclasses"}, read},
	}},
	{Name: "local-path", Member: "local-path", Rules: []Rule{
		events,
		{[]string{""}, []string{"persistentvolumes"}, []string{"get", "list", "watch", "create", "patch", "delete"}},
		{[]string{""}, []string{"persistentvolumeclaims"}, []string{"get", "list", "watch", "patch"}},
		{[]string{""}, []string{"persistentvolumeclaims/status"}, []string{"patch"}},
		{[]string{""}, []string{"nodes"}, read},
		{[]string{"storage.k8s.io"}, []string{"storageclasses"}, read},
	}},
	{Name: "ephemeral-volume", Member: "ephemeral-volume", Account: "ephemeral-volume-controller", Component: "ephemeral_volume", Rules: []Rule{
		events,
		{[]string{""}, []string{"pods"}, read},
		{[]string{""}, []string{"persistentvolumeclaims"}, []string{"get", "list", "watch", "create"}},
	}},
	{Name: "volume-expand", Member: "volume-expand", Account: "expand-controller", Component: "volume_expand", Rules: []Rule{
		events,
		{[]string{""}, []string{"persistentvolumes"}, []string{"get"}},
		{[]string{""}, []string{"persistentvolumeclaims"}, []string{"get", "list", "watch", "patch"}},
	}},
	{Name: "pvc-protection", Member: "pvc-protection", Account: "pvc-protection-controller", Rules: []Rule{
		{[]string{""}, []string{"persistentvolumeclaims"}, []string{"get", "list", "watch", "patch"}},
		{[]string{""}, []string{"pods"}, read},
	}},
	{Name: "pv-protection", Member: "pv-protection", Account: "pv-protection-controller", Rules: []Rule{
		{[]string{""}, []string{"persistentvolumes"}, []string{"get", "list", "watch", "patch"}},
	}},
	{Name: "pod-certificate-cleaner", Member: "pod-certificate-cleaner", Account: "podcertificaterequestcleaner", Rules: []Rule{
		{[]string{"certificates.k8s.io"}, []string{"podcertificaterequests"}, []string{"get", "list", "watch", "delete"}},
	}},
	{Name: "vac-protection", Member: "vac-protection", Account: "volumeattributesclass-protection-controller", Rules: []Rule{
		{[]string{"storage.k8s.io"}, []string{"volumeattributesclasses"}, []string{"get", "list", "watch", "patch"}},
		{[]string{""}, []string{"persistentvolumeclaims", "persistentvolumes"}, read},
	}},
	{Name: "service-cidr", Member: "service-cidr", Account: "service-cidrs-controller", Component: "service-cidr-controller", Rules: []Rule{
		events,
		{[]string{"networking.k8s.io"}, []string{"servicecidrs"}, []string{"get", "list", "watch", "patch"}},
		{[]string{"networking.k8s.io"}, []string{"servicecidrs/status"}, []string{"patch"}},
		{[]string{"networking.k8s.io"}, []string{"ipaddresses"}, read},
	}},
	{Name: "ip-address-repair", Member: "ip-address-repair", Account: "service-cidrs-controller", Component: "ipallocator-repair-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"services"}, read},
		{[]string{"networking.k8s.io"}, []string{"servicecidrs"}, []string{"list"}},
		{[]string{"networking.k8s.io"}, []string{"ipaddresses"}, []string{"get", "list", "watch", "create", "delete"}},
	}},
	{Name: "load-balancer", Member: "load-balancer", Account: "service-controller", Rules: []Rule{
		events,
		{[]string{""}, []string{"services"}, []string{"get", "list", "watch", "patch"}},
		{[]string{""}, []string{"services/status"}, []string{"patch"}},
		{[]string{""}, []string{"nodes"}, read},
		{[]string{"discovery.k8s.io"}, []string{"endpointslices"}, read},
	}},
	{Name: "node-ttl", Member: "node-ttl", Account: "ttl-controller", Rules: []Rule{
		{[]string{""}, []string{"nodes"}, []string{"list", "watch", "patch"}},
	}},
	{Name: "bootstrap-signer", Member: "bootstrap-signer", Account: "bootstrap-signer", Rules: []Rule{
		{[]string{""}, []string{"secrets"}, []string{"list", "watch"}},
		{[]string{""}, []string{"configmaps"}, []string{"get", "list", "watch", "update"}},
	}},
	{Name: "root-ca", Member: "root-ca", Account: "root-ca-cert-publisher", Rules: []Rule{
		{[]string{""}, []string{"namespaces"}, read},
		{[]string{""}, []string{"configmaps"}, write},
	}},
}

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
	Names                    []string // of objects, in whatever namespace; none: all
}

var (
	read  = []string{"get", "list", "watch"}
	write = []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	// events: to record some about what it may read.
	events = Rule{Groups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create"}}
	// node: to look at the one that a pod is on.
	node = Rule{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}}
)

// Plugins are all that ship.
var Plugins = []Plugin{
	{Name: "scheduling", Member: "scheduling", Rules: []Rule{
		node,
		{Groups: []string{""}, Resources: []string{"persistentvolumes", "persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses", "csidrivers", "csistoragecapacities"}, Verbs: read},
	}},

	{Name: "limit-ranger", Member: "limit-ranger", Order: -30, Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"limitranges"}, Verbs: []string{"list"}},
	}},
	{Name: "service-account", Member: "service-account", Order: -20, Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"get"}},
	}},
	{Name: "taint-nodes", Member: "taint-nodes", Order: -18},
	{Name: "pod-security", Member: "pod-security", Order: -16, Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
	}},
	{Name: "priority", Member: "priority", Order: -15, Rules: []Rule{
		{Groups: []string{"scheduling.k8s.io"}, Resources: []string{"priorityclasses"}, Verbs: []string{"get", "list"}},
	}},
	{Name: "default-tolerations", Member: "default-tolerations", Order: -10},
	{Name: "default-storage-class", Member: "default-storage-class", Order: -9, Rules: []Rule{
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: []string{"list"}},
	}},
	{Name: "storage-protection", Member: "storage-protection", Order: -8},
	{Name: "claim-resize", Member: "claim-resize", Order: -6, Rules: []Rule{
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: []string{"get"}},
	}},
	{Name: "runtime-class", Member: "runtime-class", Order: -5, Rules: []Rule{
		{Groups: []string{"node.k8s.io"}, Resources: []string{"runtimeclasses"}, Verbs: []string{"get"}},
	}},
	{Name: "default-ingress-class", Member: "default-ingress-class", Order: -4, Rules: []Rule{
		{Groups: []string{"networking.k8s.io"}, Resources: []string{"ingressclasses"}, Verbs: []string{"list"}},
	}},
	{Name: "pod-topology-labels", Member: "pod-topology-labels", Order: -3, Rules: []Rule{node}},
	{Name: "declared-features", Member: "declared-features", Order: -2, Rules: []Rule{node}},
	{Name: "pod-resize", Member: "pod-resize", Order: -1, Rules: []Rule{node}},

	// What is charged is final: it is asked when nothing else can refuse any more.
	{Name: "resource-quota", Member: "resource-quota", Order: 10_000, Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"resourcequotas"}, Verbs: []string{"list"}},
		{Groups: []string{""}, Resources: []string{"resourcequotas/status"}, Verbs: []string{"update"}},
	}},

	{Name: "deployment", Member: "deployment", Account: "deployment-controller", Rules: []Rule{
		events,
		{Groups: []string{"apps"}, Resources: []string{"deployments", "deployments/status", "replicasets"}, Verbs: write},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: read},
	}},
	{Name: "replicaset", Member: "replicaset", Account: "replicaset-controller", Rules: []Rule{
		events,
		{Groups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: read},
		{Groups: []string{"apps"}, Resources: []string{"replicasets/status"}, Verbs: []string{"update"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "replicationcontroller", Member: "replicationcontroller", Account: "replication-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"replicationcontrollers"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"replicationcontrollers/status"}, Verbs: []string{"update"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "endpoints", Member: "endpoints", Account: "endpoint-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"services", "pods"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"endpoints"}, Verbs: write},
	}},
	{Name: "job", Member: "job", Account: "job-controller", Rules: []Rule{
		events,
		{Groups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: read},
		{Groups: []string{"batch"}, Resources: []string{"jobs/status"}, Verbs: []string{"update"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "cronjob", Member: "cronjob", Account: "cronjob-controller", Rules: []Rule{
		events,
		{Groups: []string{"batch"}, Resources: []string{"cronjobs"}, Verbs: read},
		{Groups: []string{"batch"}, Resources: []string{"cronjobs/status"}, Verbs: []string{"update"}},
		{Groups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get", "list", "watch", "create", "delete"}},
	}},
	{Name: "ttl-after-finished", Member: "ttl-after-finished", Account: "ttl-after-finished-controller", Rules: []Rule{
		{Groups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get", "list", "watch", "delete"}},
	}},
	{Name: "horizontal-pod-autoscaler", Member: "horizontal-pod-autoscaler", Account: "horizontal-pod-autoscaler", Rules: []Rule{
		events,
		{Groups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers"}, Verbs: read},
		{Groups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers/status"}, Verbs: []string{"update"}},
		{Groups: []string{"*"}, Resources: []string{"*/scale"}, Verbs: []string{"get", "update"}},
		{Groups: []string{"", "metrics.k8s.io"}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		{Groups: []string{"custom.metrics.k8s.io", "external.metrics.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}},
	}},
	{Name: "statefulset", Member: "statefulset", Account: "statefulset-controller", Rules: []Rule{
		events,
		{Groups: []string{"apps"}, Resources: []string{"statefulsets"}, Verbs: read},
		{Groups: []string{"apps"}, Resources: []string{"statefulsets/status"}, Verbs: []string{"update"}},
		{Groups: []string{"apps"}, Resources: []string{"controllerrevisions"}, Verbs: []string{"get", "list", "create", "patch", "delete"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
	}},
	{Name: "daemonset", Member: "daemonset", Account: "daemon-set-controller", Component: "daemonset-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list", "watch"}},
		{Groups: []string{"apps"}, Resources: []string{"daemonsets"}, Verbs: read},
		{Groups: []string{"apps"}, Resources: []string{"daemonsets/status"}, Verbs: []string{"update"}},
		{Groups: []string{"apps"}, Resources: []string{"controllerrevisions"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch", "create", "patch", "delete"}},
	}},
	{Name: "endpointslice", Member: "endpointslice", Account: "endpointslice-controller", Component: "endpoint-slice-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"services", "pods", "nodes"}, Verbs: read},
		{Groups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: write},
	}},
	{Name: "endpointslicemirroring", Member: "endpointslicemirroring", Account: "endpointslicemirroring-controller", Component: "endpoint-slice-mirroring-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"services", "endpoints"}, Verbs: read},
		{Groups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: write},
	}},
	{Name: "disruption", Member: "disruption", Account: "disruption-controller", Component: "controllermanager", Rules: []Rule{
		events,
		{Groups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: read},
		{Groups: []string{"policy"}, Resources: []string{"poddisruptionbudgets/status"}, Verbs: []string{"update"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"patch"}},
		{Groups: []string{""}, Resources: []string{"replicationcontrollers"}, Verbs: []string{"get"}},
		{Groups: []string{"apps"}, Resources: []string{"deployments", "replicasets", "statefulsets"}, Verbs: []string{"get"}},
		{Groups: []string{"*"}, Resources: []string{"*/scale"}, Verbs: []string{"get"}},
	}},
	{Name: "pod-garbage-collector", Member: "pod-garbage-collector", Account: "pod-garbage-collector", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "delete"}},
		{Groups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"patch"}},
	}},
	{Name: "node-lifecycle", Member: "node-lifecycle", Account: "node-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"nodes", "nodes/status", "pods", "pods/status"}, Verbs: write},
		{Groups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: read},
	}},
	{Name: "node-ipam", Member: "node-ipam", Account: "node-controller", Component: "cidrAllocator", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: write},
	}},
	{Name: "namespace", Member: "namespace", Account: "namespace-controller", Rules: []Rule{
		{Groups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch", "update", "patch", "delete"}},
	}},
	{Name: "garbage-collector", Member: "garbage-collector", Account: "generic-garbage-collector", Component: "garbage-collector-controller", Rules: []Rule{
		events,
		{Groups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch", "update", "patch", "delete"}},
	}},
	{Name: "resource-quota-status", Member: "resource-quota-status", Account: "resourcequota-controller", Rules: []Rule{
		{Groups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"list", "watch"}},
		{Groups: []string{""}, Resources: []string{"resourcequotas/status"}, Verbs: []string{"update"}},
	}},
	{Name: "default-service-account", Formerly: "serviceaccount", Member: "default-service-account", Account: "service-account-controller", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"namespaces"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: write},
	}},
	{Name: "persistent-volume-binder", Member: "persistent-volume-binder", Account: "persistent-volume-binder", Component: "persistentvolume-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims", "persistentvolumes"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims/status", "persistentvolumes/status"}, Verbs: []string{"patch"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}},
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: read},
	}},
	{Name: "local-path", Member: "local-path", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims/status"}, Verbs: []string{"patch"}},
		{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: read},
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: read},
	}},
	{Name: "ephemeral-volume", Member: "ephemeral-volume", Account: "ephemeral-volume-controller", Component: "ephemeral_volume", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "create"}},
	}},
	{Name: "volume-expand", Member: "volume-expand", Account: "expand-controller", Component: "volume_expand", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: []string{"get"}},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "patch"}},
	}},
	{Name: "attachdetach", Member: "attachdetach", Account: "attachdetach-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims", "persistentvolumes"}, Verbs: []string{"list", "watch"}},
		{Groups: []string{""}, Resources: []string{"pods", "nodes"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"nodes/status"}, Verbs: []string{"patch"}},
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"csidrivers"}, Verbs: read},
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"volumeattachments"}, Verbs: []string{"list", "watch", "create", "delete"}},
	}},
	{Name: "pvc-protection", Member: "pvc-protection", Account: "pvc-protection-controller", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: read},
	}},
	{Name: "pv-protection", Member: "pv-protection", Account: "pv-protection-controller", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: []string{"get", "list", "watch", "patch"}},
	}},
	{Name: "pod-certificate-cleaner", Member: "pod-certificate-cleaner", Account: "podcertificaterequestcleaner", Rules: []Rule{
		{Groups: []string{"certificates.k8s.io"}, Resources: []string{"podcertificaterequests"}, Verbs: []string{"get", "list", "watch", "delete"}},
	}},
	{Name: "vac-protection", Member: "vac-protection", Account: "volumeattributesclass-protection-controller", Rules: []Rule{
		{Groups: []string{"storage.k8s.io"}, Resources: []string{"volumeattributesclasses"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{""}, Resources: []string{"persistentvolumeclaims", "persistentvolumes"}, Verbs: read},
	}},
	{Name: "resource-claim", Member: "resource-claim", Account: "resource-claim-controller", Component: "resource_claim", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"patch"}},
		{Groups: []string{"resource.k8s.io"}, Resources: []string{"resourceclaims"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{Groups: []string{"resource.k8s.io"}, Resources: []string{"resourceclaims/status"}, Verbs: []string{"patch"}},
		{Groups: []string{"resource.k8s.io"}, Resources: []string{"resourceclaimtemplates"}, Verbs: read},
	}},
	{Name: "device-taint-eviction", Member: "device-taint-eviction", Account: "device-taint-eviction-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch", "delete"}},
		{Groups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"patch"}},
		{Groups: []string{"resource.k8s.io"}, Resources: []string{"resourceclaims", "resourceslices", "devicetaintrules"}, Verbs: read},
		{Groups: []string{"resource.k8s.io"}, Resources: []string{"devicetaintrules/status"}, Verbs: []string{"patch"}},
	}},
	{Name: "service-cidr", Member: "service-cidr", Account: "service-cidrs-controller", Component: "service-cidr-controller", Rules: []Rule{
		events,
		{Groups: []string{"networking.k8s.io"}, Resources: []string{"servicecidrs"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{"networking.k8s.io"}, Resources: []string{"servicecidrs/status"}, Verbs: []string{"patch"}},
		{Groups: []string{"networking.k8s.io"}, Resources: []string{"ipaddresses"}, Verbs: read},
	}},
	{Name: "ip-address-repair", Member: "ip-address-repair", Account: "service-cidrs-controller", Component: "ipallocator-repair-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"services"}, Verbs: read},
		{Groups: []string{"networking.k8s.io"}, Resources: []string{"servicecidrs"}, Verbs: []string{"list"}},
		{Groups: []string{"networking.k8s.io"}, Resources: []string{"ipaddresses"}, Verbs: []string{"get", "list", "watch", "create", "delete"}},
	}},
	{Name: "load-balancer", Member: "load-balancer", Account: "service-controller", Rules: []Rule{
		events,
		{Groups: []string{""}, Resources: []string{"services"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"services/status"}, Verbs: []string{"patch"}},
		{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: read},
		{Groups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
	}},
	{Name: "node-ttl", Member: "node-ttl", Account: "ttl-controller", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list", "watch", "patch"}},
	}},
	{Name: "bootstrap-signer", Member: "bootstrap-signer", Account: "bootstrap-signer", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "watch"}},
		{Groups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list", "watch"}},
		{Groups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "update"}, Names: []string{"cluster-info"}},
	}},
	// Upstream's controller of tokens has no account: it acts as the controller manager.
	{Name: "service-account-token", Member: "service-account-token", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch", "patch", "delete"}},
		{Groups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{Groups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}},
	}},
	{Name: "legacy-token-cleaner", Member: "legacy-token-cleaner", Account: "legacy-service-account-token-cleaner", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}, Names: []string{"kube-apiserver-legacy-service-account-token-tracking"}},
		{Groups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch", "patch", "delete"}},
		{Groups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"get"}},
		{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
	}},
	{Name: "storage-version-migrator", Member: "storage-version-migrator", Account: "storage-version-migrator-controller", Rules: []Rule{
		{Groups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"list", "patch"}},
		{Groups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"get"}},
		{Groups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions/status"}, Verbs: []string{"patch"}},
		{Groups: []string{"storagemigration.k8s.io"}, Resources: []string{"storageversionmigrations"}, Verbs: read},
		{Groups: []string{"storagemigration.k8s.io"}, Resources: []string{"storageversionmigrations/status"}, Verbs: []string{"update"}},
	}},
	{Name: "root-ca", Member: "root-ca", Account: "root-ca-cert-publisher", Rules: []Rule{
		{Groups: []string{""}, Resources: []string{"namespaces"}, Verbs: read},
		{Groups: []string{""}, Resources: []string{"configmaps"}, Verbs: write},
	}},
}

package auth

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// The identities of what runs in the server's process, under upstream's names
// where upstream has the component. The default policy (rbac/policy.yaml) gives
// each its role; only APIServer needs none.
var (
	// APIServer makes the objects that every cluster has, as upstream's loopback
	// client does: who gives the first roles holds all of them.
	APIServer user.Info = &user.DefaultInfo{Name: user.APIServerUser, Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}
	// Scheduler binds pods and says why it could not.
	Scheduler user.Info = &user.DefaultInfo{Name: user.KubeScheduler, Groups: []string{user.AllAuthenticated}}
	// ControllerManager follows what controllers watch and records their events.
	// What a controller itself reads and writes, it does as its plugin.
	ControllerManager user.Info = &user.DefaultInfo{Name: user.KubeControllerManager, Groups: []string{user.AllAuthenticated}}
	// PluginLoader reads Plugins, keeps those that ship, and writes how they fare.
	PluginLoader user.Info = &user.DefaultInfo{Name: "system:pintle:plugin-loader", Groups: []string{user.AllAuthenticated}}

	// LeaderElection takes and renews the Lease of the server that leads.
	LeaderElection user.Info = &user.DefaultInfo{Name: "system:pintle:leader-election", Groups: []string{user.AllAuthenticated}}
	// Endpoints keeps the servers' Leases and the endpoints of Service kubernetes.
	Endpoints user.Info = &user.DefaultInfo{Name: "system:pintle:endpoints", Groups: []string{user.AllAuthenticated}}
	// ImageRegistry asks whose a token is and whether he may push images.
	ImageRegistry user.Info = &user.DefaultInfo{Name: "system:pintle:image-registry", Groups: []string{user.AllAuthenticated}}

	// RoleAggregator fills in the rules of aggregated ClusterRoles.
	RoleAggregator = controller("clusterrole-aggregation-controller")
	// CertificateController approves and signs certificates.
	CertificateController = controller("certificate-controller")
	// PolicyStatus says in the status of policies what their types are.
	PolicyStatus = controller("validatingadmissionpolicy-status-controller")
	// TokenCleaner removes join tokens that have run out and keeps count of their
	// use.
	TokenCleaner = controller("token-cleaner")
)

// PluginName is the key of what a user is besides, by which a controller that ships
// tells its plugin.
const PluginName = "pintle.dev/plugin"

// PluginController is a plugin's controller that acts under the service account of
// upstream's controller.
func PluginController(account, plugin string) user.Info {
	u := controller(account)
	return &user.DefaultInfo{Name: u.GetName(), Groups: u.GetGroups(), Extra: map[string][]string{PluginName: {plugin}}}
}

// controller is a controller of the kernel's own as upstream's controller manager
// lets it act: under its service account. No such account need exist.
func controller(name string) user.Info {
	u := serviceaccount.UserInfo(metav1.NamespaceSystem, name, "")
	return &user.DefaultInfo{Name: u.GetName(), Groups: append(u.GetGroups(), user.AllAuthenticated)}
}

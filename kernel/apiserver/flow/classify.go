package flow

import (
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Level is a group of requests with budgets of its own; the words are
// upstream's priority levels.
type Level int

// The levels.
const (
	// Exempt are cluster administrators and health checks: a flooded server
	// can be asked and repaired.
	Exempt Level = iota
	// System are node agents and leader election.
	System
	// Workload is everybody else.
	Workload
)

func (l Level) String() string { return [...]string{"exempt", "system", "workload"}[l] }

// Classify says at which level a request is served, and as whose. The service
// accounts of a namespace are one tenant: who may create one may create
// thousands.
func Classify(u user.Info, info *request.RequestInfo) (l Level, tenant string) {
	if u == nil {
		return Workload, user.Anonymous
	}
	tenant = u.GetName()
	namespace, _, err := serviceaccount.SplitUsername(tenant)
	if err == nil {
		tenant = serviceaccount.ServiceAccountGroupPrefix + namespace
	}
	groups := u.GetGroups()
	switch {
	case slices.Contains(groups, user.SystemPrivilegedGroup) || !info.IsResourceRequest && IsHealthPath(info.Path):
		return Exempt, tenant
	case slices.Contains(groups, user.NodesGroup):
		return System, tenant
	case electsLeader(info) && (namespace == "kube-system" || tenant == user.KubeControllerManager || tenant == user.KubeScheduler):
		return System, tenant
	}
	return Workload, tenant
}

// electsLeader tells a request by which a leader of the control plane keeps
// its place: upstream's schema system-leader-election.
func electsLeader(info *request.RequestInfo) bool {
	return info.IsResourceRequest && info.APIGroup == "coordination.k8s.io" && info.Resource == "leases" &&
		(info.Verb == "get" || info.Verb == "create" || info.Verb == "update")
}

// IsHealthPath tells whether a path is that of a health check.
func IsHealthPath(path string) bool {
	for _, h := range []string{"/healthz", "/livez", "/readyz"} {
		if path == h || strings.HasPrefix(path, h+"/") {
			return true
		}
	}
	return false
}

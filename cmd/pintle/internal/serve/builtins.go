package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// builtins makes the Plugin resources of what ships.
func (s *Server) builtins(caPEM []byte) ([]plugin.Builtin, error) {
	var module plugin.Module
	if s.PluginHost == "wasm" {
		var err error
		if module, err = standardModule(); err != nil {
			return nil, err
		}
	}
	configs := s.pluginConfigs(caPEM)
	var out []plugin.Builtin
	for _, p := range standard.Plugins {
		spec := v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostKind(s.PluginHost), Order: p.Order, Permissions: permissions(p.Rules)}
		if c, ok := configs[p.Name]; ok {
			raw, err := json.Marshal(c)
			if err != nil {
				return nil, fmt.Errorf("config of plugin %s: %w", p.Name, err)
			}
			spec.Config = &runtime.RawExtension{Raw: raw}
		}
		out = append(out, plugin.Builtin{Name: p.Name, Formerly: p.Formerly, Account: p.Account, Component: p.Component, Spec: spec, Module: module})
	}
	return out, nil
}

// standardModule is what ships, read when it is needed.
func standardModule() (plugin.Module, error) {
	f, err := payload.Open(payload.Standard)
	if err != nil {
		return plugin.Module{}, err
	}
	defer f.Close()
	digest, err := v1alpha1.DigestFrom(f)
	return plugin.Module{Digest: digest, Source: func() ([]byte, error) { return payload.Read(payload.Standard) }}, err
}

func permissions(rules []standard.Rule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, r := range rules {
		out = append(out, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs, ResourceNames: r.Names})
	}
	return out
}

// pluginConfigs are the configurations that depend on flags.
func (s *Server) pluginConfigs(caPEM []byte) map[string]any {
	return map[string]any{
		"node-lifecycle": map[string]any{
			"graceSeconds":              s.Grace.Seconds(),
			"unhealthyZoneThreshold":    s.Disruption.UnhealthyZoneThreshold,
			"largeClusterSizeThreshold": s.Disruption.LargeClusterSizeThreshold,
			"nodeEvictionRate":          s.Disruption.NodeEvictionRate,
			"secondaryNodeEvictionRate": s.Disruption.SecondaryNodeEvictionRate,
		},
		"pod-garbage-collector": map[string]any{"terminatedPodThreshold": s.Disruption.TerminatedPodThreshold, "quarantineSeconds": s.Grace.Seconds()},
		"node-ipam":             map[string]any{"clusterCIDR": s.Network.Pods.String(), "nodeMask": 24},
		"default-tolerations":   map[string]any{"notReadySeconds": s.NotReadySeconds, "unreachableSeconds": s.UnreachableSeconds},
		"load-balancer":         map[string]any{"serverPorts": s.ports()},
		"root-ca":               map[string]any{"ca": string(caPEM)},
		"service-account-token": map[string]any{"ca": string(caPEM)},
	}
}

// ports are those that the server and what belongs to it listen at: the API, the image
// registry, and etcd where it is reached by TCP. No Service may take them over at the
// nodes' addresses, of which one may be the server's.
func (s *Server) ports() []string {
	found := map[uint16]bool{s.Advertise.Port(): true}
	for _, l := range slices.Concat(s.Listeners, s.Registry) {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			found[a.AddrPort().Port()] = true
		}
	}
	for _, e := range s.EtcdEndpoints {
		_, hostPort, scheme := strings.Cut(e, "://")
		if !scheme {
			hostPort = e
		}
		if _, port, err := net.SplitHostPort(hostPort); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err == nil {
				found[uint16(n)] = true
			}
		}
	}
	delete(found, 0)
	out := []string{}
	for _, p := range slices.Sorted(maps.Keys(found)) {
		out = append(out, strconv.Itoa(int(p)))
	}
	return out
}

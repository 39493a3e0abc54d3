package serve

import (
	"encoding/json"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/standard"
)

// builtins makes the Plugin resources of what ships.
func (s *Server) builtins(t *resource.Table, caPEM []byte) ([]plugin.Builtin, error) {
	var module plugin.Module
	if s.PluginHost == "wasm" {
		var err error
		if module, err = standardModule(); err != nil {
			return nil, err
		}
	}
	configs := s.pluginConfigs(t, caPEM)
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
		out = append(out, plugin.Builtin{Name: p.Name, Spec: spec, Module: module})
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
		out = append(out, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
	}
	return out
}

// pluginConfigs are the configurations that depend on flags and on the table.
func (s *Server) pluginConfigs(t *resource.Table, caPEM []byte) map[string]any {
	return map[string]any{
		"node-lifecycle": map[string]any{
			"graceSeconds":              s.Grace.Seconds(),
			"unhealthyZoneThreshold":    s.Disruption.UnhealthyZoneThreshold,
			"largeClusterSizeThreshold": s.Disruption.LargeClusterSizeThreshold,
			"nodeEvictionRate":          s.Disruption.NodeEvictionRate,
			"secondaryNodeEvictionRate": s.Disruption.SecondaryNodeEvictionRate,
		},
		"node-ipam":           map[string]any{"clusterCIDR": s.Network.Pods.String(), "nodeMask": 24},
		"default-tolerations": map[string]any{"notReadySeconds": s.NotReadySeconds, "unreachableSeconds": s.UnreachableSeconds},
		"root-ca":             map[string]any{"ca": string(caPEM)},
		"namespace":           map[string]any{"resources": namespaced(t)},
		"garbage-collector":   map[string]any{"resources": collectable(t)},
	}
}

// stored lists the resources whose objects can be listed and deleted, each
// under its preferred version. Kinds that are two names of one store count
// once.
func stored(t *resource.Table) []*resource.Definition {
	seen := map[string]bool{}
	var out []*resource.Definition
	for _, d := range t.Definitions {
		if d.Virtual || seen[d.KeyPrefix] || !slices.Contains(d.Verbs, "delete") || !slices.Contains(d.Verbs, "list") {
			continue
		}
		seen[d.KeyPrefix] = true
		out = append(out, d)
	}
	return out
}

func name(d *resource.Definition) string {
	gv := schema.GroupVersion{Group: d.Group, Version: d.Versions[0]}
	return gv.String() + "/" + d.Resource
}

func namespaced(t *resource.Table) []string {
	var out []string
	for _, d := range stored(t) {
		if d.Namespaced {
			out = append(out, name(d))
		}
	}
	return out
}

type collected struct {
	Resource   string `json:"resource"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespaced bool   `json:"namespaced"`
}

// collectable leaves out the kinds that take no part, as their strategies say.
func collectable(t *resource.Table) []collected {
	var out []collected
	for _, d := range stored(t) {
		if d.Strategy.NotCollected {
			continue
		}
		gv := schema.GroupVersion{Group: d.Group, Version: d.Versions[0]}
		out = append(out, collected{name(d), gv.String(), d.Kind, d.Namespaced})
	}
	return out
}

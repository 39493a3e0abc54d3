package main

import (
	"encoding/json"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// builtinPlugins are all plugins that ship, as WASM, configured as in `pintle
// server`.
func builtinPlugins() ([]plugin.Builtin, error) {
	configs := map[string]any{
		"node-lifecycle":        map[string]any{"graceSeconds": 40},
		"node-ipam":             map[string]any{"clusterCIDR": "10.224.0.0/11", "nodeMask": 24},
		"default-tolerations":   map[string]any{"notReadySeconds": 300, "unreachableSeconds": 300},
		"root-ca":               map[string]any{"ca": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
		"service-account-token": map[string]any{"ca": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
	}
	b, err := payload.Read(payload.Standard)
	if err != nil {
		return nil, err
	}
	module := plugin.Module{Digest: v1alpha1.DigestOf(b), Bytes: b}
	var out []plugin.Builtin
	for _, p := range standard.Plugins {
		spec := v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostWASM, Order: p.Order}
		for _, r := range p.Rules {
			spec.Permissions = append(spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
		}
		if c, ok := configs[p.Name]; ok {
			raw, err := json.Marshal(c)
			if err != nil {
				return nil, fmt.Errorf("config of plugin %s: %w", p.Name, err)
			}
			spec.Config = &runtime.RawExtension{Raw: raw}
		}
		out = append(out, plugin.Builtin{Name: p.Name, Account: p.Account, Component: p.Component, Spec: spec, Module: module})
	}
	return out, nil
}

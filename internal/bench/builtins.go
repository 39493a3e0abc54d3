package main

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

// builtinPlugins are all plugins that ship, as WASM, configured as in `pintle
// server`.
func builtinPlugins(t *resource.Table) ([]plugin.Builtin, error) {
	configs := map[string]any{
		"node-lifecycle":      map[string]any{"graceSeconds": 40},
		"node-ipam":           map[string]any{"clusterCIDR": "10.224.0.0/11", "nodeMask": 24},
		"default-tolerations": map[string]any{"notReadySeconds": 300, "unreachableSeconds": 300},
		"root-ca":             map[string]any{"ca": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
		"namespace":           map[string]any{"resources": namespaced(t)},
		"garbage-collector":   map[string]any{"resources": collectable(t)},
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
		out = append(out, plugin.Builtin{Name: p.Name, Spec: spec, Module: module})
	}
	return out, nil
}

// stored are the resources whose objects can be listed and deleted.
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

func groupVersion(d *resource.Definition) string {
	return schema.GroupVersion{Group: d.Group, Version: d.Versions[0]}.String()
}

func namespaced(t *resource.Table) []string {
	var out []string
	for _, d := range stored(t) {
		if d.Namespaced {
			out = append(out, groupVersion(d)+"/"+d.Resource)
		}
	}
	return out
}

func collectable(t *resource.Table) []map[string]any {
	var out []map[string]any
	for _, d := range stored(t) {
		if !d.Strategy.NotCollected {
			out = append(out, map[string]any{"resource": groupVersion(d) + "/" + d.Resource, "apiVersion": groupVersion(d), "kind": d.Kind, "namespaced": d.Namespaced})
		}
	}
	return out
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	customObjects = 10000
	customBatch   = 250
	customGroup   = "bench.pintle.dev"
	batchesPath   = "/apis/pintle.dev/v1alpha1/batches"
	crdsPath      = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	converter     = "addresses" // the plugin that `pintle plugin new conversion` writes
)

// customKind is one way to have two versions.
type customKind struct {
	plural     string
	name       string // in the table
	conversion map[string]any
	notes      map[string]string // annotations of its definition
}

// custom measures custom objects: a list of all of them in the version that is stored,
// and what a conversion costs, by nobody, by a webhook on this machine, and by a
// plugin in WASM.
func (b *bench) custom(ctx context.Context) error {
	p, err := b.startControlPlane(ctx, "custom")
	if err != nil {
		return err
	}
	defer p.close()
	if err := b.loadConverter(ctx, p); err != nil {
		return err
	}
	hook := serveConversion()
	defer hook.Close()
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	kinds := []customKind{
		{plural: "plains", name: "strategy None"},
		{plural: "modules", name: "a plugin in WASM", notes: map[string]string{"pintle.dev/conversion-plugin": converter}},
		{plural: "hooks", name: "a webhook", conversion: hook.conversion()},
	}
	for _, k := range kinds {
		if err := c.define(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.plural, err)
		}
		if err := c.fill(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.plural, err)
		}
	}
	if err := b.customReads(ctx, p, c, kinds[0], "v1", "LIST of 10,000 custom objects, as stored"); err != nil {
		return err
	}
	for _, k := range kinds {
		if err := b.customReads(ctx, p, c, k, "v2", "the same in another version, converted by "+k.name); err != nil {
			return fmt.Errorf("%s: %w", k.plural, err)
		}
	}
	return nil
}

// loadConverter makes and loads the conversion plugin as its author would.
func (b *bench) loadConverter(ctx context.Context, p *controlPlaneClient) error {
	dir := filepath.Join(p.dir, converter)
	for _, args := range [][]string{
		{"new", "conversion", converter, "--dir", dir},
		{"build", dir},
		{"load", filepath.Join(dir, converter+".wasm"), "--kubeconfig", kubeconfig(p.dir)},
	} {
		cmd := exec.CommandContext(ctx, b.pintle, append([]string{"plugin"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

// define creates the kind and waits until it is served.
func (c *client) define(ctx context.Context, k customKind) error {
	text := map[string]any{"type": "string"}
	schema := func(spec ...string) map[string]any {
		fields := map[string]any{"notes": map[string]any{"type": "array", "items": text}}
		for _, f := range spec {
			fields[f] = text
		}
		return map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{
			"spec": map[string]any{"type": "object", "properties": fields}}}}
	}
	spec := map[string]any{
		"group": customGroup, "scope": "Namespaced",
		"names": map[string]any{"plural": k.plural, "kind": "Kind" + k.plural, "listKind": "Kind" + k.plural + "List"},
		"versions": []any{
			map[string]any{"name": "v1", "served": true, "storage": true, "schema": schema("address")},
			map[string]any{"name": "v2", "served": true, "storage": false, "schema": schema("host", "port")},
		},
	}
	if k.conversion != nil {
		spec["conversion"] = k.conversion
	}
	name := k.plural + "." + customGroup
	body, err := json.Marshal(map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": name, "annotations": k.notes}, "spec": spec})
	if err != nil {
		return err
	}
	if _, err := c.fetch(ctx, "POST", crdsPath, jsonType, jsonType, bytes.NewReader(body)); err != nil {
		return err
	}
	for {
		if _, err = c.fetch(ctx, "GET", k.path("v1"), "", jsonType, nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (k customKind) path(version string) string {
	return "/apis/" + customGroup + "/" + version + "/namespaces/default/" + k.plural
}

// fill stores its objects, of about 1 KB each.
func (c *client) fill(ctx context.Context, k customKind) error {
	notes := slices.Repeat([]string{strings.Repeat("n", 60)}, 10)
	for i := 0; i < customObjects; i += customBatch {
		var items []any
		for j := i; j < i+customBatch; j++ {
			items = append(items, map[string]any{"verb": "create", "object": map[string]any{
				"apiVersion": customGroup + "/v1", "kind": "Kind" + k.plural, "metadata": map[string]any{"namespace": "default", "name": fmt.Sprintf("o-%05d", j)},
				"spec": map[string]any{"address": fmt.Sprintf("host-%d:80", j), "notes": notes}}})
		}
		body, err := json.Marshal(map[string]any{"apiVersion": "pintle.dev/v1alpha1", "kind": "Batch", "spec": map[string]any{"items": items}})
		if err != nil {
			return err
		}
		if _, err := c.fetch(ctx, "POST", batchesPath, jsonType, jsonType, bytes.NewReader(body)); err != nil {
			return err
		}
	}
	return nil
}

// customReads gets some objects of a kind one by one, none of which was read before,
// then lists all of them, and lists them again: what was converted and encoded is kept.
func (b *bench) customReads(ctx context.Context, p *controlPlaneClient, c *client, k customKind, version, name string) error {
	const gets = 500
	one, oneCPU, err := p.repeated(gets, func(i int) error {
		_, err := c.fetch(ctx, "GET", fmt.Sprintf("%s/o-%05d", k.path(version), i), "", jsonType, nil)
		return err
	})
	if err != nil {
		return err
	}
	var size int64
	list := func(int) (err error) {
		size, err = c.fetch(ctx, "GET", k.path(version), "", jsonType, nil)
		return err
	}
	first, firstCPU, err := p.repeated(1, list)
	if err != nil {
		return err
	}
	const lists = 20
	again, againCPU, err := p.repeated(lists, list)
	if err != nil {
		return err
	}
	b.report.most(name+", the first", ms(first[0]), 0, "ms", fmt.Sprintf("%.0f ms of server CPU; %.1f MB of JSON through TLS and HTTP/2", ms(firstCPU), float64(size)/1e6))
	b.report.most("  again", ms(percentile(again, 50)), 0, "ms", fmt.Sprintf("p50 of %d; %.0f ms of server CPU", lists, ms(againCPU)/lists))
	b.report.most("  GET of one, never read before", ms(percentile(one, 50)), 0, "ms", fmt.Sprintf("p50 of %d; %.2f ms of server CPU", gets, ms(oneCPU)/gets))
	return nil
}

// repeated runs f some times, and returns how long each took and the server's CPU time
// of all.
func (p *controlPlaneClient) repeated(times int, f func(i int) error) (took []time.Duration, cpu time.Duration, err error) {
	_, cpu, err = p.measured(func() error {
		for i := range times {
			begin := time.Now()
			if err := f(i); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		return nil
	})
	return took, cpu, err
}

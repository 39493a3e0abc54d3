package charts

const deliveryGroup = "delivery.charts.example"

// delivery is of the size and features of Argo CD: few kinds with very large nested
// schemas, open parts, numbers that may be words, embedded objects.
func delivery(seed uint64) *Chart {
	w := newWriter(seed, "delivery")
	specOf := func(bytes int) object {
		source := w.record(object{"repoURL": w.text(), "targetRevision": w.text(), "path": w.text(), "values": w.open(), "port": w.portOrName(), "manifests": w.list(w.embedded())}, "repoURL")
		return w.record(object{"project": with(w.text(), object{"default": "default"}), "source": w.fill(source, bytes), "syncPolicy": w.tree(3, 5)}, "source")
	}
	status := w.record(object{"sync": w.record(object{"status": w.choice("Synced", "OutOfSync", "Unknown")}), "health": w.record(object{"status": w.text()}),
		"conditions": w.list(w.record(object{"type": w.text(), "message": w.text(), "lastTransitionTime": object{"type": "string", "format": "date-time"}}, "type"))})
	application := specOf(40_000)
	// Generators hold generators, three deep, each with a template of its own.
	generator := w.record(object{"list": w.list(w.open()), "template": application})
	for range 2 {
		generator = w.record(object{"list": w.list(w.open()), "template": application, "matrix": w.record(object{"generators": w.list(generator)}),
			"merge": w.record(object{"generators": w.list(generator), "mergeKeys": w.list(w.text())})})
	}
	kinds := []kind{
		{name: "Application", plural: "applications", short: []any{"chartapp"}, versions: []object{shown(version("v1alpha1", true, specOf(260_000), status),
			column("Sync Status", "string", ".status.sync.status"), column("Health Status", "string", ".status.health.status"))}},
		{name: "ApplicationSet", plural: "applicationsets", versions: []object{version("v1alpha1", true,
			w.record(object{"generators": w.list(generator), "template": application, "goTemplate": w.boolean()}, "generators", "template"), status)}},
		{name: "AppProject", plural: "appprojects", versions: []object{version("v1alpha1", true, w.fill(w.record(object{"sourceRepos": w.list(w.text()), "quota": w.quantity()}), 25_000), nil)}},
	}
	c := &Chart{Name: "delivery", group: deliveryGroup, ServerSide: true}
	for i := range kinds {
		kinds[i].group = deliveryGroup
		c.Definitions = append(c.Definitions, kinds[i].definition())
	}
	c.Objects = manifests(c.Name, deliveryGroup, "applications", "Fail")
	src := object{"repoURL": "https://charts.example/shop.git", "port": 8080, "values": object{"image": object{"tag": "v1"}, "replicas": 2, "list": []any{1, "two", object{}}},
		"manifests": []any{object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "inner"}, "data": object{"a": "b"}}}}
	c.Customs = []object{
		custom(c, "v1alpha1", "AppProject", "default", object{"sourceRepos": []any{"*"}, "quota": "1.5Gi"}),
		custom(c, "v1alpha1", "Application", "shop", object{"source": src}),
		custom(c, "v1alpha1", "ApplicationSet", "shops", object{"template": object{"source": src}, "generators": []any{object{"matrix": object{"generators": []any{object{
			"merge": object{"mergeKeys": []any{"town"}, "generators": []any{object{"list": []any{object{"town": "Bergen"}}, "template": object{"source": src}}}}}}}}}}),
	}
	return c
}

func (k *tool) deliverySteps(c *Chart) []step {
	bad := func(source object) object {
		return custom(c, "v1alpha1", "Application", "wrong", object{"source": with(object{"repoURL": "x"}, source)})
	}
	return []step{
		{what: "what is open is kept", do: k.wants("v1 2 two", c.Name, "get", "application/shop", "-o", "jsonpath={.spec.source.values.image.tag} {.spec.source.values.replicas} {.spec.source.values.list[1]}")},
		{what: "a default", do: k.wants("default", c.Name, "get", "application/shop", "-o", "jsonpath={.spec.project}")},
		{what: "a number that may be a word", do: k.does(c.Name, "patch", "application/shop", "--type=merge", "-p", `{"spec": {"source": {"port": "http"}}}`)},
		{what: "is a word then", do: k.wants("http", c.Name, "get", "application/shop", "-o", "jsonpath={.spec.source.port}")},
		{what: "what is neither is refused", do: k.refuses("spec.source.port", bad(object{"port": true}))},
		{what: "an embedded object needs its kind", do: k.refuses("kind", bad(object{"manifests": []any{object{"metadata": object{"name": "x"}}}}))},
		{what: "six levels down", do: k.wants("Bergen", c.Name, "get", "applicationset/shops", "-o", "jsonpath={.spec.generators[0].matrix.generators[0].merge.generators[0].list[0].town}")},
		{what: "a quantity that is none is refused", do: k.refuses("spec.quota", custom(c, "v1alpha1", "AppProject", "wrong", object{"quota": "much"}))},
		{what: "its status", do: k.does(c.Name, "patch", "application/shop", "--subresource=status", "--type=merge", "-p", `{"status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}}`)},
		{what: "columns", do: k.wantsFields([]string{"SYNC", "HEALTH", "shop", "Synced", "Healthy"}, c.Name, "get", "chartapp")},
		{what: "explain all that is below it", do: k.wants("repoURL", "", "explain", "applicationsets."+deliveryGroup+".spec.generators", "--recursive")},
	}
}

package charts

const monitoringGroup = "monitoring.charts.example"

// large is the size of the definition that is too large for an annotation.
const large = 700_000

// monitoring is of the size and features of prometheus-operator: a definition of 700 KB,
// which only server-side apply can write, with scale, quantities, numbers that may be
// words, and lists that are maps.
func monitoring(seed uint64) *Chart {
	w := newWriter(seed, "monitoring")
	status := w.record(object{"replicas": w.number(), "selector": w.text(), "availableReplicas": w.number(), "paused": w.boolean(), "conditions": w.conditions()})
	container := w.record(object{"name": w.name(), "image": w.text(), "args": w.list(w.text()), "resources": w.record(object{"limits": w.quantities(), "requests": w.quantities()}),
		"ports": with(w.list(w.record(object{"containerPort": w.number(), "protocol": with(w.choice("TCP", "UDP", "SCTP"), object{"default": "TCP"}), "name": w.text()}, "containerPort")),
			object{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"containerPort", "protocol"}}),
	}, "name")
	agent := func(bytes int) object {
		return w.fill(w.record(object{"replicas": with(w.number(), object{"minimum": 0}), "version": w.text(), "containers": w.keyed("name", container),
			"storage": w.quantity(), "podMonitorSelector": w.selector(), "retention": with(w.text(), object{"pattern": `^([0-9]+(ms|[smhdwy]))*$`, "default": "24h"})}), bytes)
	}
	endpoint := w.record(object{"port": w.text(), "targetPort": w.portOrName(), "interval": w.text(), "scheme": w.choice("http", "https")})
	monitor := w.fill(w.record(object{"selector": w.selector(), "endpoints": w.list(endpoint)}, "selector"), 60_000)
	rules := w.record(object{"groups": w.keyed("name", w.record(object{"name": w.name(), "rules": w.list(with(w.record(
		object{"alert": w.text(), "record": w.text(), "expr": w.portOrName(), "for": w.text(), "labels": w.labels()}, "expr"),
		object{"x-kubernetes-validations": []any{rule("has(self.alert) != has(self.record)", "a rule alerts or records")}, "maxProperties": 8}))}, "name"))})
	rules["properties"].(object)["groups"].(object)["maxItems"] = 64
	groupRules := rules["properties"].(object)["groups"].(object)["items"].(object)["properties"].(object)["rules"].(object)
	groupRules["maxItems"] = 128
	kinds := []kind{
		{name: "Monitor", plural: "monitors", short: []any{"chartmon"}, versions: []object{shown(scaled(version("v1", true, agent(large), status)),
			column("Version", "string", ".spec.version"), column("Desired", "integer", ".spec.replicas"), column("Ready", "integer", ".status.availableReplicas"))}},
		{name: "Bell", plural: "bells", versions: []object{scaled(version("v1", true, agent(380_000), status))}},
		{name: "ServiceMonitor", plural: "servicemonitors", versions: []object{version("v1", true, monitor, nil)}},
		{name: "PodMonitor", plural: "podmonitors", versions: []object{version("v1", true, monitor, nil)}},
		{name: "Rule", plural: "rules", versions: []object{version("v1", true, rules, nil)}},
	}
	c := &Chart{Name: "monitoring", group: monitoringGroup, ServerSide: true}
	for i := range kinds {
		kinds[i].group = monitoringGroup
		c.Definitions = append(c.Definitions, kinds[i].definition())
	}
	c.Objects = manifests(c.Name, monitoringGroup, "rules", "Ignore")
	c.Customs = []object{
		custom(c, "v1", "Monitor", "tides", object{"replicas": 1, "version": "v1.0.0", "storage": "10Gi", "containers": []any{
			object{"name": "main", "image": "charts.invalid/monitor:v1", "resources": object{"limits": object{"cpu": 2, "memory": "1Gi"}}, "ports": []any{object{"containerPort": 9090}}}}}),
		custom(c, "v1", "ServiceMonitor", "shop", object{"selector": object{"matchLabels": object{"app": "shop"}}, "endpoints": []any{object{"port": "web", "targetPort": 8080}, object{"targetPort": "metrics"}}}),
		custom(c, "v1", "Rule", "floods", object{"groups": []any{object{"name": "water", "rules": []any{
			object{"alert": "High", "expr": "level > 3", "for": "5m"}, object{"record": "level:max", "expr": 1}}}}}),
	}
	return c
}

func (w writer) quantities() object {
	return object{"type": "object", "additionalProperties": w.quantity(), "description": w.prose(6)}
}

func (k *tool) monitoringSteps(c *Chart) []step {
	return []step{
		{what: "a default beside a key of a list", do: k.wants("TCP", c.Name, "get", "monitor/tides", "-o", "jsonpath={.spec.containers[0].ports[0].protocol}")},
		{what: "another manager's entry of a list stays", do: k.applies(custom(c, "v1", "Monitor", "tides", object{"containers": []any{object{"name": "side"}}}), "--server-side", "--field-manager=sidecars")},
		{what: "both are there", do: k.wants("main side", c.Name, "get", "monitor/tides", "-o", "jsonpath={.spec.containers[*].name}")},
		{what: "a rule in a list of lists refuses", do: k.refuses("a rule alerts or records", custom(c, "v1", "Rule", "wrong", object{"groups": []any{object{"name": "g", "rules": []any{object{"expr": "1"}}}}}))},
		{what: "scale", do: k.does(c.Name, "scale", "--replicas=2", "monitor/tides")},
		{what: "columns", do: k.wantsFields([]string{"VERSION", "DESIRED", "READY", "tides", "v1.0.0", "2"}, c.Name, "get", "chartmon")},
		{what: "explain the large one", do: k.wants("containers", "", "explain", "monitors."+monitoringGroup+".spec")},
		{what: "apply the large one again changes nothing", do: k.unchanged(c.Definitions[0])},
	}
}

package charts

import "strings"

const certificatesGroup = "certificates.charts.example"

// certificates is of the size and features of cert-manager: six kinds, two versions of
// one, conditions, columns, status and scale, lists that are sets and maps, rules in
// CEL, defaults, selectable fields.
func certificates(seed uint64) *Chart {
	w := newWriter(seed, "certificates")
	issuer := w.fill(w.record(object{"selfSigned": w.record(object{"urls": w.list(w.text())}), "acme": w.tree(3, 5)}), 90_000)
	status := w.record(object{"conditions": w.conditions()})
	kinds := []kind{
		{name: "Certificate", plural: "certificates", short: []any{"chartcert"}, categories: []any{"charts"}, versions: w.certificateVersions()},
		{name: "CertificateRequest", plural: "certificaterequests", versions: []object{shown(version("v1", true,
			w.fill(w.record(object{"request": object{"type": "string", "format": "byte"}, "isCA": w.boolean()}, "request"), 12_000), status), ready("Approved"), ready("Ready"))}},
		{name: "Issuer", plural: "issuers", versions: []object{shown(version("v1", true, issuer, status), ready("Ready"))}},
		{name: "ClusterIssuer", plural: "clusterissuers", cluster: true, versions: []object{shown(version("v1", true, issuer, status), ready("Ready"))}},
		{name: "Order", plural: "orders", versions: []object{shown(version("v1", true, w.fill(w.record(object{"dnsNames": w.set(w.name())}), 9_000),
			w.record(object{"state": w.choice("valid", "ready", "pending", "expired")})), column("State", "string", ".status.state"))}},
		{name: "Challenge", plural: "challenges", versions: []object{version("v1", true, w.fill(w.record(object{"dnsName": w.name(), "solver": w.tree(3, 5)}, "dnsName"), 60_000), status)}},
	}
	c := &Chart{Name: "certificates", group: certificatesGroup}
	for i := range kinds {
		kinds[i].group = certificatesGroup
		c.Definitions = append(c.Definitions, kinds[i].definition())
	}
	c.Objects = manifests(c.Name, certificatesGroup, "certificates", "Fail")
	c.Customs = []object{
		custom(c, "v1", "Issuer", "harbour", object{"selfSigned": object{}}),
		customIn("", c, "v1", "ClusterIssuer", "harbours", object{"selfSigned": object{}}),
		custom(c, "v1", "Certificate", "lantern", object{"secretName": "lantern-tls", "dnsNames": []any{"lantern.example", "beacon.example"}, "issuerRef": object{"name": "harbour"}}),
		custom(c, "v1alpha1", "Certificate", "buoy", object{"secretName": "buoy-tls", "dnsNames": []any{"buoy.example"}, "issuerRef": object{"name": "harbour"}}),
	}
	return c
}

// name is a DNS name.
func (w writer) name() object {
	return with(w.text(), object{"minLength": 1, "maxLength": 253})
}

func (w writer) certificateVersions() []object {
	key := with(w.record(object{
		"algorithm":      with(w.choice("RSA", "ECDSA", "Ed25519"), object{"default": "RSA"}),
		"size":           with(w.number(), object{"minimum": 256, "maximum": 8192}),
		"rotationPolicy": with(w.choice("Never", "Always"), object{"default": "Always"}),
	}), object{"default": object{}, "x-kubernetes-validations": []any{rule("self.algorithm != 'Ed25519' || !has(self.size)", "an Ed25519 key has no size")}})
	spec := w.fill(with(w.record(object{
		"secretName": with(w.name(), object{"x-kubernetes-validations": []any{rule("self == oldSelf", "secretName is immutable")}}),
		"dnsNames":   w.set(w.name()),
		"duration":   with(w.text(), object{"default": "2160h", "maxLength": 32}), "renewBefore": with(w.text(), object{"maxLength": 32}),
		"issuerRef": with(w.record(object{"name": w.name(), "kind": with(w.choice("Issuer", "ClusterIssuer"), object{"default": "Issuer"})}, "name"),
			object{"x-kubernetes-map-type": "atomic"}),
		"privateKey": key, "usages": w.list(w.choice("signing", "digital signature", "server auth", "client auth")),
		"replicas": with(w.number(), object{"minimum": 0, "default": 1}),
	}, "secretName", "issuerRef"), object{"x-kubernetes-validations": []any{
		rule("!has(self.renewBefore) || duration(self.renewBefore) < duration(self.duration)", "renewBefore must be shorter than duration")}}), 30_000)
	status := w.record(object{"conditions": w.conditions(), "notAfter": object{"type": "string", "format": "date-time"}, "revision": w.number(), "replicas": w.number(), "selector": w.text()})
	make := func(name string, stored bool) object {
		v := shown(scaled(version(name, stored, spec, status)), ready("Ready"), column("Secret", "string", ".spec.secretName"),
			with(column("Issuer", "string", ".spec.issuerRef.name"), object{"priority": 1}))
		v["selectableFields"] = []any{object{"jsonPath": ".spec.issuerRef.name"}}
		return v
	}
	old := make("v1alpha1", false)
	old["deprecated"], old["deprecationWarning"] = true, certificatesGroup+"/v1alpha1 Certificate is deprecated; use v1"
	return []object{make("v1", true), old}
}

func (k *tool) certificateSteps(c *Chart) []step {
	const lantern = "certificate/lantern"
	full := func(version string) string { return "certificates." + version + "." + certificatesGroup }
	edit := func(name string, spec object) object {
		spec["issuerRef"] = object{"name": "harbour"}
		return custom(c, "v1", "Certificate", name, spec)
	}
	return []step{
		{what: "defaults are there", do: k.wants("2160h RSA Issuer", c.Name, "get", lantern, "-o", "jsonpath={.spec.duration} {.spec.privateKey.algorithm} {.spec.issuerRef.kind}")},
		{what: "a rule of two fields refuses", do: k.refuses("renewBefore must be shorter than duration", edit("wrong", object{"secretName": "x", "duration": "1h", "renewBefore": "2h"}))},
		{what: "a rule below a default refuses", do: k.refuses("an Ed25519 key has no size", edit("wrong", object{"secretName": "x", "privateKey": object{"algorithm": "Ed25519", "size": 256}}))},
		{what: "an enum refuses", do: k.refuses("Unsupported value", edit("wrong", object{"secretName": "x", "privateKey": object{"algorithm": "DSA"}}))},
		{what: "a set refuses what is there twice", do: k.refuses("uplicate", edit("wrong", object{"secretName": "x", "dnsNames": []any{"a", "a"}}))},
		{what: "a rule on change refuses", do: k.refuses("secretName is immutable", edit("lantern", object{"secretName": "other"}))},
		{what: "an unknown field is refused", do: k.refusesBy(`unknown field "spec.sekret"`, []object{edit("wrong", object{"secretName": "x", "sekret": true})})},
		{what: "the other version shows it", do: k.wants(certificatesGroup+"/v1alpha1", c.Name, "get", full("v1alpha1"), "lantern", "-o", "jsonpath={.apiVersion}")},
		{what: "a deprecated version warns", do: k.wants("is deprecated; use v1", c.Name, "get", full("v1alpha1"))},
		{what: "a field selector finds it", do: k.wants("lantern", c.Name, "get", full("v1"), "--field-selector", "spec.issuerRef.name=harbour", "-o", "name")},
		{what: "a condition is written to its status", do: k.does(c.Name, "patch", lantern, "--subresource=status", "--type=merge", "-p",
			`{"status": {"replicas": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Issued"}]}}`)},
		{what: "columns", do: k.wantsFields([]string{"NAME", "READY", "SECRET", "AGE", "lantern", "True", "lantern-tls"}, c.Name, "get", full("v1"), "lantern")},
		{what: "wait for its condition", do: k.does(c.Name, "wait", "--for=condition=Ready", lantern, "--timeout=40s")},
		{what: "patch", do: k.does(c.Name, "patch", lantern, "--type=merge", "-p", `{"spec": {"dnsNames": ["mast.example"]}}`)},
		{what: "generation counts changes of the spec", do: k.wants("2", c.Name, "get", lantern, "-o", "jsonpath={.metadata.generation}")},
		{what: "scale", do: k.does(c.Name, "scale", "--replicas=3", lantern)},
		{what: "scaled", do: k.wants("3", c.Name, "get", lantern, "-o", "jsonpath={.spec.replicas}")},
		{what: "short name and category", do: k.wants(strings.ToLower("certificate."+certificatesGroup+"/lantern"), c.Name, "get", "chartcert,charts", "-o", "name")},
		{what: "explain a deep field", do: k.wants("rotationPolicy", "", "explain", "certificates.spec.privateKey", "--api-version="+certificatesGroup+"/v1")},
	}
}
